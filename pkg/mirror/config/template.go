package config

import (
	"bytes"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/internal/typo"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/reference"
)

// insertion is text in which the parts of an image's name may be inserted, as in
// "hub/{{.Repository}}".
type insertion struct {
	text     string
	template *template.Template // nil where nothing is inserted
}

// parts are what may be inserted; the names are those in the file.
type parts struct {
	Registry, Repository, Base, Tag, Date string
}

func partNames() []string { return []string{"Registry", "Repository", "Base", "Tag", "Date"} }

func partsOf(from reference.Reference, date string) parts {
	p := parts{Registry: from.Registry, Repository: from.Repository, Tag: from.Tag, Date: date}
	if from.Path != "" {
		p.Repository = filepath.Base(from.Path)
	}
	p.Base = path.Base(p.Repository)
	return p
}

// fill gives the text for an image.
func (i insertion) fill(p parts) (string, error) {
	if i.template == nil {
		return i.text, nil
	}
	var b bytes.Buffer
	err := i.template.Execute(&b, p)
	return b.String(), err
}

// checkPath refuses parts that lead out of the directory that they are inserted into.
func (i insertion) checkPath(p parts) error {
	for _, part := range []struct{ name, value string }{
		{"Registry", p.Registry}, {"Repository", p.Repository}, {"Base", p.Base}, {"Tag", p.Tag},
	} {
		elements := strings.Split(part.value, "/")
		if i.inserts(part.name) && (slices.Contains(elements, ".") || slices.Contains(elements, "..")) {
			return fmt.Errorf("{{.%s}} is %q, which is no name of a directory", part.name, part.value)
		}
	}
	return nil
}

// inserts reports whether a part is inserted.
func (i insertion) inserts(part string) bool {
	if i.template == nil {
		return false
	}
	return slices.ContainsFunc(i.template.Root.Nodes, func(n parse.Node) bool {
		action, ok := n.(*parse.ActionNode)
		return ok && insertsPart(action, part)
	})
}

// insertion reads text that may insert parts.
func (d *decoder) insertion(n *yaml.Node, text string) (insertion, bool) {
	if !strings.Contains(text, "{{") {
		return insertion{text: text}, true
	}
	parsed, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		d.suggest(n, "parts are inserted as "+partList(), "%s is no template", quote.Word(n.Value))
		return insertion{}, false
	}
	if strange, ok := strangePart(parsed); ok {
		suggestion := "parts are " + partList()
		if best, near := typo.Closest(strings.Trim(strange, "{}."), partNames()); near {
			suggestion = fmt.Sprintf("did you mean `{{.%s}}`?", best)
		}
		d.suggest(n, suggestion, "%s cannot be inserted", quote.Word(strange))
		return insertion{}, false
	}
	return insertion{text, parsed}, true
}

// strangePart finds what a template does besides inserting a part: the format promises no
// more, and a loop in a destination helps nobody.
func strangePart(t *template.Template) (string, bool) {
	if len(t.Templates()) != 1 {
		return "{{define}}", true
	}
	for _, n := range t.Root.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
		case *parse.ActionNode:
			if !insertsPart(n, partNames()...) {
				return n.String(), true
			}
		default:
			return n.String(), true
		}
	}
	return "", false
}

// insertsPart reports whether an action inserts one of some parts and does nothing else.
func insertsPart(n *parse.ActionNode, names ...string) bool {
	if len(n.Pipe.Decl) != 0 || len(n.Pipe.Cmds) != 1 || len(n.Pipe.Cmds[0].Args) != 1 {
		return false
	}
	field, ok := n.Pipe.Cmds[0].Args[0].(*parse.FieldNode)
	return ok && len(field.Ident) == 1 && slices.Contains(names, field.Ident[0])
}

func partList() string {
	var list []string
	for _, name := range partNames() {
		list = append(list, "{{."+name+"}}")
	}
	return enumerate(list, "or")
}
