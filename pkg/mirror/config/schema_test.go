package config

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
)

// TestSchemaHasEveryKey: the schema is JSON, and knows the keys of the tables and no others.
func TestSchemaHasEveryKey(t *testing.T) {
	raw, err := json.Marshal(Schema())
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties           map[string]json.RawMessage `json:"properties"`
		AdditionalProperties json.RawMessage            `json:"additionalProperties"`
		Items                *object                    `json:"items"`
	}
	read := func(raw []byte) object {
		t.Helper()
		var o object
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	root := read(raw)
	for _, test := range []struct {
		what string
		got  object
		want []string
	}{
		{"the file", root, fileKeys().names()},
		{"defaults", read(root.Properties["defaults"]), settingsKeys().names()},
		{"an entry", *read(root.Properties["sync"]).Items, entryKeys().names()},
		{"a registry", read(read(root.Properties["registries"]).AdditionalProperties), registryKeys().names()},
	} {
		got := slices.DeleteFunc(slices.Sorted(maps.Keys(test.got.Properties)), func(key string) bool { return key == "<<" })
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.what, got, test.want)
		}
		if string(test.got.AdditionalProperties) != "false" {
			t.Errorf("%s allows other keys: %s", test.what, test.got.AdditionalProperties)
		}
	}
}
