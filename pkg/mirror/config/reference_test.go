package config

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readReference gives the reference of the format, by the headings of its sections.
func readReference(t *testing.T) (whole string, sections map[string]string) {
	t.Helper()
	raw, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	sections = map[string]string{}
	for _, section := range strings.Split(string(raw), "\n## ")[1:] {
		heading, body, _ := strings.Cut(section, "\n")
		sections[heading] = body
	}
	return string(raw), sections
}

// TestReferenceHasEveryKey: the tables of docs/configuration.md are those of the loader, key
// by key, and list the keys that are not supported yet.
func TestReferenceHasEveryKey(t *testing.T) {
	_, sections := readReference(t)
	row := regexp.MustCompile("(?m)^\\| `([a-zA-Z]+)` \\|")
	for heading, keys := range map[string][]string{
		"The file":   slices.Collect(maps.Keys(fileForm().Fields)),
		"Registries": slices.Collect(maps.Keys(registryForm().Fields)),
		"Entries":    slices.Collect(maps.Keys(entryForm().Fields)),
		"Tags":       slices.Collect(maps.Keys(tagsForm().Fields)),
	} {
		var documented []string
		for _, match := range row.FindAllStringSubmatch(sections[heading], -1) {
			documented = append(documented, match[1])
		}
		slices.Sort(documented)
		slices.Sort(keys)
		if !slices.Equal(documented, keys) {
			t.Errorf("%s: the reference has %q, the loader %q", heading, documented, keys)
		}
	}
	for _, key := range slices.Concat(registryForm().Later, entryForm().Later) {
		if !strings.Contains(sections["What is refused"], "`"+key+"`") {
			t.Errorf("%s is refused, and the reference does not say so", key)
		}
	}
	for _, part := range partNames() {
		if !strings.Contains(sections["Destinations"], "| `{{."+part+"}}` |") {
			t.Errorf("{{.%s}} is not in the reference", part)
		}
	}
}

// TestReferenceExample: the complete example loads, and has every key of a registry or of an
// entry.
func TestReferenceExample(t *testing.T) {
	whole, _ := readReference(t)
	_, rest, _ := strings.Cut(whole, "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("there is no example")
	}
	dir := t.TempDir()
	files := map[string]string{"corp-ca.pem": "", "client.pem": "", "client-key.pem": "", "robot.txt": "secret\n", "images.txt": "nginx:1.29\n", "c.yaml": example}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := Load([]string{filepath.Join(dir, "c.yaml")}, Options{Env: func(name string) (string, bool) { return "x", strings.HasPrefix(name, "HUB_") }})
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Warnings) > 0 || len(cfg.Entries) != 5 {
		t.Errorf("got %d entries, warnings %q", len(cfg.Entries), cfg.Warnings)
	}
	for _, key := range slices.Concat(slices.Collect(maps.Keys(registryForm().Fields)), slices.Collect(maps.Keys(entryForm().Fields)), slices.Collect(maps.Keys(tagsForm().Fields))) {
		if !strings.Contains(example, key+":") {
			t.Errorf("the example does not show %s", key)
		}
	}
}

// TestReferenceNamesEveryProperty: what the schema allows anywhere, in mappings below a key
// too, is in the reference.
func TestReferenceNamesEveryProperty(t *testing.T) {
	whole, _ := readReference(t)
	seen := map[string]bool{}
	var walk func(value any)
	walk = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, inner := range value {
				if properties, ok := inner.(map[string]any); ok && key == "properties" {
					for name := range properties {
						seen[name] = true
					}
				}
				walk(inner)
			}
		case []any:
			for _, inner := range value {
				walk(inner)
			}
		}
	}
	walk(plainSchema(t))
	if len(seen) < 40 {
		t.Errorf("only %d keys: %q", len(seen), slices.Sorted(maps.Keys(seen)))
	}
	for name := range seen {
		if !strings.Contains(whole, "`"+name+"`") && !strings.Contains(whole, name+": ") {
			t.Errorf("%s is not in docs/configuration.md", name)
		}
	}
}

// TestSchemaDescribesEveryKey: editors show these descriptions.
func TestSchemaDescribesEveryKey(t *testing.T) {
	var walk func(value any)
	walk = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			properties, _ := value["properties"].(map[string]any)
			for name, property := range properties {
				if text, _ := property.(map[string]any)["description"].(string); text == "" && name != "<<" {
					t.Errorf("%s has no description", name)
				}
			}
			for _, inner := range value {
				walk(inner)
			}
		case []any:
			for _, inner := range value {
				walk(inner)
			}
		}
	}
	walk(plainSchema(t))
}

// plainSchema is the schema as a reader of its JSON sees it.
func plainSchema(t *testing.T) (plain any) {
	t.Helper()
	raw, err := json.Marshal(Schema())
	if err == nil {
		err = json.Unmarshal(raw, &plain)
	}
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
