package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestJSONDocs: docs/json.md has a table of the fields of each JSON object that regsync prints, and no other table, and
// the names of all documents and events.
func TestJSONDocs(t *testing.T) {
	page := fileText(t, "docs/json.md")
	objects := map[string]string{} // names of fields: where the object is
	for _, name := range []string{"report", "event", "explanation"} {
		var schema any
		if err := json.Unmarshal([]byte(fileText(t, "docs/"+name+".schema.json")), &schema); err != nil {
			t.Fatal(err)
		}
		schemaObjects(schema, name+".schema.json", objects)
	}
	schemas := map[string]bool{"regsync.report/v2": true, "regsync.event/v1": true, "regsync.explain/v2": true}
	for _, file := range productFiles(t, ".", "internal/ui") {
		typeObjects(file, objects)
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := n.(*ast.BasicLit); ok && regexp.MustCompile(`^"regsync\.[a-z-]+/v[0-9]+"$`).MatchString(text.Value) {
				schemas[strings.Trim(text.Value, `"`)] = true
			}
			return true
		})
	}

	tables := map[string]bool{}
	for _, rows := range firstColumns(page, "field") {
		tables[fieldSet(rows)] = true
	}
	for fields, where := range objects {
		if where != untagged && !tables[fields] {
			t.Errorf("docs/json.md has no table of exactly the fields of %s: %s", where, fields)
		}
	}
	for fields := range tables {
		if objects[fields] == "" {
			t.Errorf("docs/json.md has a table of an object that does not exist: %s", fields)
		}
	}

	listed := firstColumns(page, "schema")[0]
	for name := range schemas {
		if !slices.Contains(listed, name) {
			t.Errorf("docs/json.md does not list %s", name)
		}
	}
	if len(listed) != len(schemas) {
		t.Errorf("docs/json.md lists %d schemas, there are %d", len(listed), len(schemas))
	}
	var events []string
	for _, match := range regexp.MustCompile(`(?m)^//\t([a-z]+(?:-[a-z]+)*)  `).FindAllStringSubmatch(fileText(t, "pkg/report/event.go"), -1) {
		events = append(events, match[1])
	}
	if got := firstColumns(page, "event")[0]; !slices.Equal(got, events) {
		t.Errorf("docs/json.md has the events\n%q, package report\n%q", got, events)
	}
}

// schemaObjects adds the objects with properties in a JSON Schema.
func schemaObjects(schema any, where string, objects map[string]string) {
	switch node := schema.(type) {
	case []any:
		for _, child := range node {
			schemaObjects(child, where, objects)
		}
	case map[string]any:
		if properties, ok := node["properties"].(map[string]any); ok && node["type"] == "object" {
			objects[fieldSet(slices.Collect(maps.Keys(properties)))] = where
		}
		for name, child := range node {
			schemaObjects(child, where+" "+name, objects)
		}
	}
}

// untagged is where a struct type comes from that may be part of a document, or no JSON at all.
const untagged = "no tags"

// typeObjects adds the struct types of a file that are written as JSON, also by --format. Those that embed another one are
// only read.
func typeObjects(file *ast.File, objects map[string]string) {
	ast.Inspect(file, func(n ast.Node) bool {
		object, ok := n.(*ast.StructType)
		if !ok {
			return true
		}
		var fields []string
		tagged := false
		for _, field := range object.Fields.List {
			if len(field.Names) == 0 {
				return true
			}
			name := ""
			if field.Tag != nil {
				text, _ := strconv.Unquote(field.Tag.Value) // a literal of the compiler
				tag, has := reflect.StructTag(text).Lookup("json")
				_, column := reflect.StructTag(text).Lookup("header")
				tagged = tagged || has || column
				name, _, _ = strings.Cut(tag, ",")
			}
			for _, ident := range field.Names {
				switch {
				case name != "" && name != "-":
					fields = append(fields, name)
				case name == "" && ident.IsExported():
					fields = append(fields, ident.Name)
				}
			}
		}
		switch set := fieldSet(fields); {
		case tagged:
			objects[set] = "package " + file.Name.Name
		case objects[set] == "":
			objects[set] = untagged
		}
		return true
	})
}

// fieldSet is the names of the fields of an object in one text.
func fieldSet(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), " ")
}

// firstColumns returns the names in the first column of each table of a page whose first title is given.
func firstColumns(page, title string) [][]string {
	var all [][]string
	in := false
	row := regexp.MustCompile("^\\| `([^`]+)` \\|")
	for line := range strings.Lines(page) {
		switch match := row.FindStringSubmatch(line); {
		case strings.HasPrefix(line, "| "+title+" |"):
			in = true
			all = append(all, nil)
		case !strings.HasPrefix(line, "|"):
			in = false
		case in && match != nil:
			all[len(all)-1] = append(all[len(all)-1], match[1])
		}
	}
	return all
}

// productFiles parses the files of packages that are no tests.
func productFiles(t *testing.T, dirs ...string) []*ast.File {
	t.Helper()
	var all []*ast.File
	for _, dir := range dirs {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, file)
		}
	}
	return all
}
