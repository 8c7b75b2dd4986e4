package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/config"
)

const schemaFile = "../../../configs/regsync.schema.json"

// TestSchemaFile: what lies in configs for editors is what the tables of the loader make.
func TestSchemaFile(t *testing.T) {
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(config.Schema()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%v; make it with: regsync config schema > configs/regsync.schema.json", err)
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// asJSON is a YAML document as an editor gives it to a JSON Schema: merge keys are done.
func asJSON(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// TestSchemaTakesWhatLoads: the examples, and what the reference shows.
func TestSchemaTakesWhatLoads(t *testing.T) {
	schema := compileSchema(t)
	files, err := filepath.Glob("../../../configs/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(asJSON(t, string(raw))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	reference, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	complete := regexp.MustCompile("(?s)```yaml\n(version: 1.*?)```").FindSubmatch(reference)
	if complete == nil {
		t.Fatal("the reference has no complete example")
	}
	if err := schema.Validate(asJSON(t, string(complete[1]))); err != nil {
		t.Errorf("the reference's example: %v", err)
	}
}

// entryKeysThatLoad are values for every key of an entry, as people write them.
var entryKeysThatLoad = []string{
	"to: a.example/b", "to: [a.example/b, 'oci:./c']", "rename: '{{.Tag}}-x'",
	"tags: {include: '1.*'}", "tags: {include: [1.20, 2024-01-01, latest], exclude: [true]}", "tags: [{include: ['1.*']}, {include: ['2.*']}]",
	"tags: {semver: '>=1 <2', variants: [alpine], newest: 3}", "tags: {newest: {count: 2, by: created}}",
	"tags: {createdWithin: 90d, olderThan: 12h}", "tags: {pushedWithin: 2w}",
	"platforms: linux/amd64", "platforms: all", "{platforms: [linux/amd64, linux/arm64], requirePlatforms: true}", "{platforms: [linux/amd64], ignoreMissingPlatforms: true}",
	"referrers: true", "referrers: changed", "referrers: required", "referrers: {types: [a/b], required: true}", "referrers: [application/spdx+json]",
	"referrers: {changed: false}", "referrers: ['${NOT_SET:-a/b}']", "referrers: '${NOT_SET:-required}'",
	"verify: always", "verify: sampled", "verify: '${NOT_SET:-sampled}'", "verify: {sampled: 5%}", "verify: {sampled: 100%}",
	"attestations: auto", "attestations: keep", "attestations: drop", "attestations: true", "attestations: false", "attestations: '${NOT_SET:-keep}'",
	"requireSource: true", "requireSource: '${NOT_SET:-false}'", "referrers: application/spdx+json",
	"overwrite: newer", "immutable: 'v*'", "immutable: [v*, '/[0-9.]+/']", "maxSize: 5GiB", "maxSize: 1000000", "timeout: 30m",
}

// entryKeysThatDoNot are mistakes that a schema can know: of keys and of types.
var entryKeysThatDoNot = []string{
	"too: x", "to: {a: b}", "rename: [a]", "tags: latest", "tags: [latest]", "tags: {includes: [a]}", "tags: {include: {a: b}}",
	"tags: {newest: 0}", "tags: {newest: {count: 2, by: size}}", "tags: {newest: [1]}", "tags: {createdWithin: [1]}", "tags: {createdWithin: soon}",
	"platforms: {os: linux}", "requirePlatforms: perhaps", "referrers: 3", "referrers: sometimes", "referrers: []", "referrers: [a/b, a/b]", "referrers: [sbom]",
	"referrers: {types: []}", "referrers: {type: [a/b]}", "referrers: {required: perhaps}", "referrers: 'true'", "overwrite: sometimes", "immutable: {a: b}",
	"attestations: 'true'", "attestations: never", "attestations: [keep]", "requireSource: perhaps",
	"verify: sometimes", "verify: 5%", "verify: {sampled: 5}", "verify: {sampled: 0%}", "verify: {sample: 5%}", "verify: [sampled]",
	"maxSize: large", "maxSize: -1", "timeout: soon", "timeout: [30m]", "prune: {maxDelete: 3}", "from: null",
}

// TestSchemaAgreesWithLoader: for one key at a time, both take it or both refuse it.
func TestSchemaAgreesWithLoader(t *testing.T) {
	schema := compileSchema(t)
	for _, test := range []struct {
		keys []string
		want bool
	}{{entryKeysThatLoad, true}, {entryKeysThatDoNot, false}} {
		for _, key := range test.keys {
			text := document(t, key)
			_, loadErr := config.Load([]string{"-"}, config.Options{Stdin: strings.NewReader(text)})
			schemaErr := schema.Validate(asJSON(t, text))
			if (loadErr == nil) != test.want || (schemaErr == nil) != test.want {
				t.Errorf("%s: want it taken: %v\nloader: %v\nschema: %v", key, test.want, loadErr, schemaErr)
			}
		}
	}
}

// document is a configuration of one entry with a key, or with several in braces.
func document(t *testing.T, key string) string {
	t.Helper()
	keys := strings.TrimSuffix(strings.TrimPrefix(key, "{"), "}")
	if !strings.HasPrefix(key, "{") {
		keys = key
	}
	text := "version: 1\nsync: [{" + keys
	if !strings.HasPrefix(key, "from:") {
		text += ", from: quay.io/app"
	}
	if !strings.HasPrefix(key, "to:") {
		text += ", to: b.example/app"
	}
	return text + "}]\n"
}

// TestSchemaAgreesAboutTheRest: what is no entry.
func TestSchemaAgreesAboutTheRest(t *testing.T) {
	schema := compileSchema(t)
	const entry = "sync: [{from: quay.io/app, to: b.example/app}]\n"
	for text, want := range map[string]bool{
		"version: 1\n" + entry:                                                                       true,
		"version: 1\nx-mine: {anything: [goes]}\n" + entry:                                           true,
		"version: 1\ndefaults: {platforms: linux/amd64}\n" + entry:                                   true,
		"version: 1\nregistries: {'a.example:5000': {tls: disabled}}\n" + entry:                      true,
		"version: 1\nregistries: {a.example: {maxConnections: 3, mirrors: 'https://m.e'}}\n" + entry: true,
		entry:                                                                   false, // no version
		"version: 2\n" + entry:                                                  false,
		"version: 1\nmine: 1\n" + entry:                                         false,
		"version: 1\nsync: {}\n":                                                false,
		"version: 1\nsync: []\n":                                                false,
		"version: 1\nsync: [nginx]\n":                                           false,
		"version: 1\ndefaults: {name: x}\n" + entry:                             false,
		"version: 1\ndefaults: {from: x}\n" + entry:                             false,
		"version: 1\nregistries: [a.example]\n" + entry:                         false,
		"version: 1\nregistries: {a.example: {tls: off}}\n" + entry:             false,
		"version: 1\nregistries: {a.example: {maxConnections: 2}}\n" + entry:    false,
		"version: 1\nregistries: {a.example: {maxConnections: many}}\n" + entry: false,
		"version: 1\nregistries: {a.example: {user: me}}\n" + entry:             false,
	} {
		_, loadErr := config.Load([]string{"-"}, config.Options{Stdin: strings.NewReader(text)})
		schemaErr := schema.Validate(asJSON(t, text))
		if (loadErr == nil) != want || (schemaErr == nil) != want {
			t.Errorf("%swant it taken: %v\nloader: %v\nschema: %v", text, want, loadErr, schemaErr)
		}
	}
}
