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
	"github.com/regsync/regsync/pkg/reference"
)

// Destination is where images go: a reference in which the parts of the source may be
// inserted, as in "harbor.corp/hub/{{.Repository}}".
type Destination struct {
	text     string
	template *template.Template // nil where nothing is inserted
	node     *yaml.Node
	src      *source
	Position Position
}

// parts are what a destination may insert; the names are those in the file.
type parts struct {
	Registry, Repository, Base, Tag string
}

func partNames() []string { return []string{"Registry", "Repository", "Base", "Tag"} }

func partsOf(from reference.Reference) parts {
	p := parts{Registry: from.Registry, Repository: from.Repository, Tag: from.Tag}
	if from.Path != "" {
		p.Repository = filepath.Base(from.Path)
	}
	p.Base = path.Base(p.Repository)
	return p
}

// String is the destination as it was written, with its variables replaced.
func (d Destination) String() string { return d.text }

// Reference is where an image goes, given by its tag or digest. A destination that states
// neither takes the source's tag or, where it has none, its digest.
func (d Destination) Reference(from reference.Reference) (reference.Reference, error) {
	text := d.text
	if d.template != nil {
		var b bytes.Buffer
		if err := d.template.Execute(&b, partsOf(from)); err != nil {
			return reference.Reference{}, fmt.Errorf("destination %s of %s: %w", d.text, from.Familiar(), err)
		}
		text = b.String()
	}
	to, err := parseReference(text)
	if err != nil {
		return reference.Reference{}, fmt.Errorf("destination of %s: %w", from.Familiar(), err)
	}
	if to.Path != "" {
		to.Path = d.src.path(to.Path)
	}
	switch {
	case to.Tag != "" || to.Digest != "":
		return to, nil
	case from.Tag != "":
		return to.WithTag(from.Tag), nil
	default:
		return to.WithDigest(from.Digest), nil
	}
}

// parseReference reads a reference that has a tag or digest only where one is written.
func parseReference(s string) (reference.Reference, error) {
	if repository, err := reference.ParseRepository(s); err == nil {
		return repository, nil
	}
	return reference.Parse(s)
}

// destinations reads the value of `to`.
func (d *decoder) destinations(n *yaml.Node) []Destination {
	elements := d.list(n, "`to`", true)
	var all []Destination
	for _, e := range elements {
		if text, ok := d.filled(e, "`to`"); ok {
			if to, ok := d.destination(d.resolve(e), text); ok {
				all = append(all, to)
			}
		}
	}
	return all
}

func (d *decoder) destination(n *yaml.Node, text string) (Destination, bool) {
	to := Destination{text: text, node: n, src: d.src, Position: d.src.at(n)}
	if !strings.Contains(text, "{{") {
		if _, err := parseReference(text); err != nil {
			d.invalid(n, err)
			return Destination{}, false
		}
		return to, true
	}
	parsed, err := template.New("to").Option("missingkey=error").Parse(text)
	if err != nil {
		d.suggest(n, "parts are inserted as "+partList(), "%s is no template", quote(n.Value))
		return Destination{}, false
	}
	if strange, ok := strangePart(parsed); ok {
		suggestion := "parts are " + partList()
		if best, near := typo.Closest(strings.Trim(strange, "{}."), partNames()); near {
			suggestion = fmt.Sprintf("did you mean `{{.%s}}`?", best)
		}
		d.suggest(n, suggestion, "%s cannot be inserted", quote(strange))
		return Destination{}, false
	}
	to.template = parsed
	return to, true
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
			if !insertsPart(n) {
				return n.String(), true
			}
		default:
			return n.String(), true
		}
	}
	return "", false
}

func insertsPart(n *parse.ActionNode) bool {
	if len(n.Pipe.Decl) != 0 || len(n.Pipe.Cmds) != 1 || len(n.Pipe.Cmds[0].Args) != 1 {
		return false
	}
	field, ok := n.Pipe.Cmds[0].Args[0].(*parse.FieldNode)
	return ok && len(field.Ident) == 1 && slices.Contains(partNames(), field.Ident[0])
}

func partList() string {
	var list []string
	for _, name := range partNames() {
		list = append(list, "{{."+name+"}}")
	}
	return enumerate(list, "or")
}
