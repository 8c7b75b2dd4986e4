// Package format prints items by a Go template, as docker's --format does.
//
// Start at [Parse]. It checks the fields in a template against the type of the items, so that a mistake is found before
// anything is read. What is printed is safe for a terminal.
package format

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/cmd/regsync/internal/ui"
)

// Format prints items of a type.
type Format[T any] struct {
	template *template.Template // nil for JSON
	header   []string           // nil without a table
}

// Parse reads a format: "json", a template of the fields of T, or, where the fields have headers (`header:"IMAGE ID"`),
// "table" and a template whose columns are separated by \t; elsewhere, a table is an [ErrNoTable]. Outside of {{ }}, \t and
// \n are a tab and a line break. An unknown field is a [FieldError], and a template that is not defined an [UndefinedError].
func Parse[T any](text string) (*Format[T], error) {
	if text == "json" {
		return &Format[T]{}, nil
	}
	item := reflect.TypeFor[T]()
	headers := headersOf(item)
	columns, table := strings.CutPrefix(text, "table ")
	switch {
	case len(headers) == 0 && (table || text == "table"):
		return nil, ErrNoTable
	case table:
		text = columns
	}
	parsed, err := template.New("--format").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, err
	}
	for _, t := range parsed.Templates() {
		unescape(t.Root)
	}
	if err := checkAll(parsed, item); err != nil {
		return nil, err
	}
	f := &Format[T]{template: parsed}
	if table {
		header, err := parsed.Clone()
		if err != nil {
			return nil, err
		}
		line, err := execute(header.Funcs(headerFunctions()), headers)
		if err != nil {
			return nil, err
		}
		f.header = strings.Split(line, "\t")
	}
	return f, nil
}

// ErrNoTable is a table of items whose fields have no headers.
var ErrNoTable = errors.New("this command prints no table; write a template, or json")

// HasTable reports whether a format of T may be a table.
func HasTable[T any]() bool { return len(headersOf(reflect.TypeFor[T]())) > 0 }

// Write prints items, each on a line of its own. The error of a template is a [template.ExecError]; nothing is printed then.
func (f *Format[T]) Write(w io.Writer, items []T) error {
	rows := make([][]string, 0, len(items))
	var lines strings.Builder
	for _, item := range items {
		line, err := f.line(item)
		if err != nil {
			return err
		}
		if f.header == nil {
			lines.WriteString(line + "\n")
			continue
		}
		rows = append(rows, strings.Split(line, "\t"))
	}
	if f.header == nil {
		_, err := io.WriteString(w, lines.String())
		return err
	}
	return ui.WriteTable(w, f.header, rows)
}

func (f *Format[T]) line(item T) (string, error) {
	if f.template == nil {
		return safe.JSONLine(item)
	}
	text, err := execute(f.template, item)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		cells := strings.Split(line, "\t")
		for j, cell := range cells {
			cells[j] = safe.Clean(cell)
		}
		lines[i] = strings.Join(cells, "\t")
	}
	return strings.Join(lines, "\n"), err
}

func execute(t *template.Template, item any) (string, error) {
	var text strings.Builder
	err := t.Execute(&text, item)
	return text.String(), err
}

// headersOf returns the headers of the fields of a type.
func headersOf(item reflect.Type) map[string]string {
	headers := map[string]string{}
	if item.Kind() != reflect.Struct {
		return headers
	}
	for _, field := range reflect.VisibleFields(item) {
		if header := field.Tag.Get("header"); header != "" {
			headers[field.Name] = header
		}
	}
	return headers
}

// unescape makes of \t and \n, which a shell passes on as they are typed, a tab and a line break.
func unescape(root parse.Node) {
	escapes := strings.NewReplacer(`\t`, "\t", `\n`, "\n")
	walk(root, func(node parse.Node) {
		if text, ok := node.(*parse.TextNode); ok {
			text.Text = []byte(escapes.Replace(string(text.Text)))
		}
	})
}

// walk calls visit for a node and for the nodes of the text below it, but not for those of pipelines.
func walk(node parse.Node, visit func(parse.Node)) {
	visit(node)
	var lists []*parse.ListNode
	switch node := node.(type) {
	case *parse.ListNode:
		for _, child := range node.Nodes {
			walk(child, visit)
		}
	case *parse.IfNode:
		lists = append(lists, node.List, node.ElseList)
	case *parse.RangeNode:
		lists = append(lists, node.List, node.ElseList)
	case *parse.WithNode:
		lists = append(lists, node.List, node.ElseList)
	}
	for _, list := range lists {
		if list != nil {
			walk(list, visit)
		}
	}
}
