package format_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/regsync/regsync/cmd/regsync/internal/format"
)

type config struct {
	Env    []string
	Labels map[string]string
}

type item struct {
	Repository string `header:"REPOSITORY"`
	ID         string `header:"IMAGE ID"`
	Config     config
	Raw        any
}

func items() []item {
	return []item{
		{Repository: "nginx", ID: "0123", Config: config{Env: []string{"A=1", "B=<&>"}, Labels: map[string]string{"a": "\x1b[2J"}}},
		{Repository: "team/app", ID: "4567", Raw: map[string]any{"os": "linux", "list": []any{1, "x"}}},
	}
}

func TestWrite(t *testing.T) {
	for _, test := range []struct{ format, want string }{
		{`{{.Repository}}:{{.ID}}`, "nginx:0123\nteam/app:4567\n"},
		{`{{.Repository}}\t{{upper .ID}}\n`, "nginx\t0123\n\nteam/app\t4567\n\n"},
		{`{{join .Config.Env "\n"}}`, "A=1\nB=<&>\n\n"},
		{`{{json .Config}}`, `{"Env":["A=1","B=<&>"],"Labels":{"a":"\u001b[2J"}}` + "\n" + `{"Env":null,"Labels":null}` + "\n"},
		{`{{range .Config.Env}}{{.}};{{end}}`, "A=1;B=<&>;\n\n"},
		{`{{index .Config.Labels "a"}}`, `\x1b[2J` + "\n\n"},
		{`{{with .Raw}}{{.os}} {{join .list ","}}{{else}}{{title .Repository}}{{end}}`, "Nginx\nlinux 1,x\n"},
		{`{{with .Config}}{{len .Env}} {{$.ID}}{{end}}`, "2 0123\n0 4567\n"},
		{`{{(index (split .Repository "/") 0) | printf "%q"}} {{pad .ID 1 1}}{{truncate .ID 2}}`, "\"nginx\"  0123 01\n\"team\"  4567 45\n"},
		{`{{println .ID}}`, "0123\n\n4567\n\n"},
		{`table {{.Repository}}\t{{lower .ID}}`, "REPOSITORY   IMAGE ID\nnginx        0123\nteam/app     4567\n"},
	} {
		f, err := format.Parse[item](test.format)
		if err != nil {
			t.Errorf("%s: %v", test.format, err)
			continue
		}
		var out strings.Builder
		if err := f.Write(&out, items()); err != nil || out.String() != test.want {
			t.Errorf("%s: got %q, %v, want %q", test.format, out.String(), err, test.want)
		}
	}
}

func TestJSONIsOneLineAnItem(t *testing.T) {
	f, err := format.Parse[item]("json")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := f.Write(&out, items()); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(out.String()) {
		var read item
		if err := json.Unmarshal([]byte(line), &read); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		ids = append(ids, read.ID)
	}
	if !slices.Equal(ids, []string{"0123", "4567"}) {
		t.Errorf("got %q", ids)
	}
}

func TestUnknownFields(t *testing.T) {
	for _, test := range []struct{ format, field string }{
		{`{{.Id}}`, ".Id"},
		{`table {{.Repository}}\t{{.Nope}}`, ".Nope"},
		{`{{.Config.Envs}}`, ".Config.Envs"},
		{`{{if .ID}}{{else}}{{json .Size}}{{end}}`, ".Size"},
		{`{{range .Config.Env}}{{$.Tag}}{{end}}`, "$.Tag"},
		{`{{with .Tags}}{{.}}{{end}}`, ".Tags"},
		{`{{(.Config).Envs}}`, ".Config.Envs"},
		{`{{(index .Configs 0).Env}}`, ".Configs"},
		{`{{define "x"}}{{end}}{{template "x" .Nope}}`, ".Nope"},
		{`{{block "x" .Nope}}{{end}}`, ".Nope"},
	} {
		_, err := format.Parse[item](test.format)
		unknown, ok := errors.AsType[*format.FieldError](err)
		if !ok || unknown.Field != test.field || len(unknown.Known) == 0 {
			t.Errorf("%s: got %v", test.format, err)
		}
	}
}

func TestWrongTemplates(t *testing.T) {
	for _, wrong := range []string{`{{.ID`, `{{nope .ID}}`, `{{end}}`} {
		if _, err := format.Parse[item](wrong); err == nil {
			t.Errorf("%s passes", wrong)
		}
	}
	f, err := format.Parse[item](`{{index .Config.Env 5}}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write(&strings.Builder{}, items()); !is[template.ExecError](err) {
		t.Errorf("got %v", err)
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

type plain struct{ Name string }

// A table needs headers: without them it would be printed as text.
func TestTableNeedsHeaders(t *testing.T) {
	for _, text := range []string{"table", `table {{.Name}}`} {
		if _, err := format.Parse[plain](text); !errors.Is(err, format.ErrNoTable) {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if format.HasTable[plain]() || !format.HasTable[item]() {
		t.Error("wrong types have tables")
	}
}

func TestUndefinedTemplate(t *testing.T) {
	_, err := format.Parse[item](`{{template "x" .}}`)
	if undefined, ok := errors.AsType[*format.UndefinedError](err); !ok || undefined.Name != "x" {
		t.Errorf("got %v", err)
	}
	f, err := format.Parse[item](`{{define "x"}}{{.Env}} {{$.Labels}}{{end}}{{template "x" .Config}}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write(&strings.Builder{}, items()); err != nil {
		t.Error(err)
	}
}

// A row that fails prints nothing, not the rows before it either.
func TestFailingRow(t *testing.T) {
	f, err := format.Parse[item](`{{.ID}} {{index .Config.Env 1}}`)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := f.Write(&out, items()); !is[template.ExecError](err) || out.Len() > 0 {
		t.Errorf("got %v, printed %q", err, out.String())
	}
}
