package report_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

var updateSchemas = flag.Bool("update-schemas", false, "write docs/*.schema.json from the types of this package")

// TestSchemas holds the JSON Schemas in docs to the types, with their doc comments and constants, and the documents of
// this package's golden files to the schemas.
func TestSchemas(t *testing.T) {
	for name, document := range map[string]reflect.Type{
		"report":      reflect.TypeFor[report.Report](),
		"event":       reflect.TypeFor[report.Event](),
		"explanation": reflect.TypeFor[report.Explanation](),
	} {
		schema := schemaOf(t, document)
		got, err := json.MarshalIndent(schema, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		file := filepath.Join("..", "..", "docs", name+".schema.json")
		if *updateSchemas {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not that of the types; -update-schemas writes it anew", file)
		}
		validate(t, schema, name)
	}
}

// validate checks testdata/*NAME*.json.golden.
func validate(t *testing.T, schema *jsonschema.Schema, name string) {
	t.Helper()
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*"+name+"*.json.golden"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var document any
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := resolved.Validate(document); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// schemaOf is the schema of a document. It allows further properties, because fields are added within a version.
func schemaOf(t *testing.T, document reflect.Type) *jsonschema.Schema {
	t.Helper()
	here, engine := parse(t, "."), parse(t, "../transfer")
	schema, err := jsonschema.ForType(document, &jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[time.Time]():            {Type: "string", Format: "date-time"},
		reflect.TypeFor[reference.Reference]():  {Type: "string"},
		reflect.TypeFor[report.NearKind]():      here.enum(t, "NearKind"),
		reflect.TypeFor[report.Status]():        here.enum(t, "Status"),
		reflect.TypeFor[transfer.Action]():      engine.enum(t, "Action"),
		reflect.TypeFor[transfer.RuleKind]():    engine.enum(t, "RuleKind"),
		reflect.TypeFor[transfer.Side]():        engine.enum(t, "Side"),
		reflect.TypeFor[transfer.BlobOutcome](): engine.enum(t, "BlobOutcome"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	schema.Schema = "https://json-schema.org/draft/2020-12/schema"
	here.describe(schema, document)
	return schema
}

// declarations are what is declared in the files of a package.
type declarations []*ast.File

func parse(t *testing.T, dir string) declarations {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all declarations
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parsed)
	}
	return all
}

// enum has the string constants of a type.
func (d declarations) enum(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	schema := &jsonschema.Schema{Type: "string"}
	for _, file := range d {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if ok && spec.Type != nil && len(spec.Values) == 1 {
				if of, ok := spec.Type.(*ast.Ident); ok && of.Name == name {
					value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
					if err != nil {
						t.Fatal(err)
					}
					schema.Enum = append(schema.Enum, value)
				}
			}
			return true
		})
	}
	if len(schema.Enum) == 0 {
		t.Fatalf("%s has no constants", name)
	}
	return schema
}

// describe takes the descriptions of properties from the doc comments of the fields.
func (d declarations) describe(schema *jsonschema.Schema, of reflect.Type) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		if of.Kind() == reflect.Slice {
			schema.Type, schema.Types = "array", nil // never null
			schema = schema.Items
		} else if len(schema.Types) > 0 { // a field without a value is left out
			schema.Type, schema.Types = schema.Types[len(schema.Types)-1], nil
		}
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || schema.Properties == nil {
		return
	}
	schema.AdditionalProperties = nil
	for field := range of.Fields() {
		if field.Anonymous {
			d.describe(schema, field.Type)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if property := schema.Properties[name]; property != nil {
			property.Description = d.comment(of.Name(), field.Name)
			d.describe(property, field.Type)
		}
	}
}

// comment is the doc comment of a field.
func (d declarations) comment(of, field string) string {
	text := ""
	for _, file := range d {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != of {
				return true
			}
			for _, f := range spec.Type.(*ast.StructType).Fields.List {
				if slices.ContainsFunc(f.Names, func(name *ast.Ident) bool { return name.Name == field }) {
					text = strings.Join(strings.Fields(f.Doc.Text()), " ")
				}
			}
			return false
		})
	}
	return text
}
