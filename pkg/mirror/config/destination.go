package config

import (
	"fmt"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/reference"
)

// Destination is where images go: a reference in which the parts of the source may be
// inserted, as in "harbor.corp/hub/{{.Repository}}", and what their tags are there.
type Destination struct {
	name     insertion
	rename   *rename // nil keeps the source's tag
	date     string
	node     *yaml.Node
	src      *source
	Position Position
}

// rename is the value of `rename`.
type rename struct {
	insertion
	node *yaml.Node
}

// String is the destination as it was written, with its variables replaced.
func (d Destination) String() string { return d.name.text }

// Reference is where an image goes, given by its tag or digest. A destination that states
// neither takes the tag that `rename` makes or, without that, the source's; an image that
// has no tag to rename keeps its digest.
func (d Destination) Reference(from reference.Reference) (reference.Reference, error) {
	p := partsOf(from, d.date)
	text, err := d.name.fill(p)
	if err != nil {
		return reference.Reference{}, fmt.Errorf("destination %s of %s: %w", d, from.Familiar(), err)
	}
	to, err := parseReference(text)
	if err != nil {
		return reference.Reference{}, fmt.Errorf("destination of %s: %w", from.Familiar(), err)
	}
	if to.Path != "" {
		if err := d.name.checkPath(p); err != nil {
			return reference.Reference{}, fmt.Errorf("destination %s of %q: %w", d, from.Familiar(), err)
		}
		to.Path = d.src.path(to.Path)
	}
	switch {
	case to.Tag != "" || to.Digest != "":
		return to, nil
	case d.rename != nil && (from.Tag != "" || !d.rename.inserts("Tag")):
		tag, err := d.rename.tag(from, p)
		return to.WithTag(tag), err
	case from.Tag != "":
		return to.WithTag(from.Tag), nil
	default:
		return to.WithDigest(from.Digest), nil
	}
}

// tag makes the tag of an image.
func (r *rename) tag(from reference.Reference, p parts) (string, error) {
	tag, err := r.fill(p)
	if err != nil {
		return "", fmt.Errorf("rename %s: %w", from.Familiar(), err)
	}
	if named, err := reference.Parse("renamed:" + tag); err != nil || named.Tag != tag {
		return "", &renameError{from, tag}
	}
	return tag, nil
}

// renameError is a tag that no registry takes.
type renameError struct {
	from reference.Reference
	tag  string
}

func (e *renameError) Error() string {
	return fmt.Sprintf("`rename` makes %s of %s, which is no tag: letters, digits, `_`, `.` and `-`, at most 128",
		quote.Word(e.tag), e.from.Familiar())
}

// statesTag reports whether the destination has a tag or a digest of its own, fixed or
// inserted. An image of any name shows it.
func (d Destination) statesTag(from reference.Reference) bool {
	text, err := d.name.fill(partsOf(from.WithTag("a"), d.date))
	if err != nil {
		return false
	}
	to, err := parseReference(text)
	return err == nil && to.Identifier() != ""
}

// parseReference reads a reference that has a tag or digest only where one is written.
func parseReference(s string) (reference.Reference, error) {
	ref, err := reference.ParseRepository(s)
	if err != nil {
		ref, err = reference.Parse(s)
	}
	if err != nil {
		return reference.Reference{}, err
	}
	switch ref.Transport {
	case reference.Registry, reference.Layout, reference.Store:
		return ref, nil
	default:
		return reference.Reference{}, fmt.Errorf("%s: `%s:` is not supported yet; registries, `oci:` and `store:` are", quote.Word(s), ref.Transport)
	}
}

// destinations are one or several, each once.
func destinations() kind[[]Destination] {
	list := listOf(destination())
	return kind[[]Destination]{list.schema, func(d *decoder, n *yaml.Node, what string) ([]Destination, bool) {
		all, ok := list.read(d, n, what)
		seen := map[string]bool{}
		for _, to := range all {
			if seen[to.String()] {
				d.fail(to.node, "the destination %s is there twice", quote.Word(to.node.Value))
			}
			seen[to.String()] = true
		}
		return all, ok
	}}
}

func destination() kind[Destination] {
	return kind[Destination]{textSchema(), (*decoder).destination}
}

func (d *decoder) destination(n *yaml.Node, what string) (Destination, bool) {
	text, ok := d.filled(n, what)
	if !ok {
		return Destination{}, false
	}
	n = d.resolve(n)
	name, ok := d.insertion(n, text)
	if !ok {
		return Destination{}, false
	}
	if name.template == nil {
		if _, err := parseReference(text); err != nil {
			d.invalid(n, err)
			return Destination{}, false
		}
	}
	return Destination{name: name, date: d.date, node: n, src: d.src, Position: d.src.at(n)}, true
}

func renaming() kind[*rename] {
	return kind[*rename]{textSchema(), func(d *decoder, n *yaml.Node, what string) (*rename, bool) {
		text, ok := d.filled(n, what)
		if !ok {
			return nil, false
		}
		n = d.resolve(n)
		tag, ok := d.insertion(n, text)
		return &rename{tag, n}, ok
	}}
}
