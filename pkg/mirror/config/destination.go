package config

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/internal/typo"
	"github.com/regsync/regsync/pkg/mirror/config/internal/decode"
	"github.com/regsync/regsync/pkg/mirror/config/internal/document"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/reference"
)

// Destination is where images are copied: a reference into which parts of the source's name may be
// inserted, as in "harbor.corp/hub/{{.Repository}}", and the rule for their tags there.
type Destination struct {
	name   template
	rename *rename // nil keeps the source's tag
	date   string
	node   *yaml.Node
	src    *document.Source
}

// rename is the value of `rename`.
type rename struct {
	template
	node *yaml.Node
}

// String returns the destination as it was written, with its variables replaced.
func (d Destination) String() string { return string(d.name) }

// Reference returns the reference of an image at the destination. A destination without a tag or
// digest gets the tag that `rename` makes or, without `rename`, the source's. An image without a
// tag keeps its digest.
func (d Destination) Reference(from reference.Reference) (reference.Reference, error) {
	parts := partsOf(from, d.date)
	to, err := parseReference(d.name.fill(parts))
	if err != nil {
		return reference.Reference{}, fmt.Errorf("destination of %s: %w", from.Familiar(), err)
	}
	if to.Path != "" {
		if err := d.name.checkPath(parts); err != nil {
			return reference.Reference{}, fmt.Errorf("destination %s of %q: %w", d, from.Familiar(), err)
		}
		to.Path = d.src.Path(to.Path)
	}
	switch {
	case to.Identifier() != "":
		return to, nil
	case d.rename != nil && (from.Tag != "" || !slices.Contains(d.rename.inserted(), "Tag")):
		tag := d.rename.fill(parts)
		if reference.CheckTag(tag) != nil {
			return reference.Reference{}, &renameError{from, tag}
		}
		return to.WithTag(tag), nil
	case from.Tag != "":
		return to.WithTag(from.Tag), nil
	default:
		return to.WithDigest(from.Digest), nil
	}
}

// renameError reports a tag that no registry accepts.
type renameError struct {
	from reference.Reference
	tag  string
}

func (e *renameError) Error() string {
	return fmt.Sprintf("%s of %s is not a valid tag: a tag has up to 128 letters, digits, `_`, `.` and `-`", quote.Word(e.tag), e.from.Familiar())
}

// statesTag reports whether the destination has a tag or a digest of its own, fixed or inserted.
// Any image can be used to find out.
func (d Destination) statesTag(from reference.Reference) bool {
	to, err := parseReference(d.name.fill(partsOf(from.WithTag("a"), d.date)))
	return err == nil && to.Identifier() != ""
}

// parseReference parses a reference without adding a default tag.
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
		return reference.Reference{}, fmt.Errorf("%s: `%s:` is not supported yet; use a registry, `oci:` or `store:`", quote.Word(s), ref.Transport)
	}
}

// destinations decodes one or several destinations, each listed once.
func destinations() decode.Kind[[]Destination] {
	return decode.SetOf(decode.Kind[Destination]{
		Schema: decode.TextSchema(),
		Read: func(d *decode.Decoder, n *yaml.Node, what string) (Destination, bool) {
			name, node, ok := readTemplate(d, n, what)
			if !ok {
				return Destination{}, false
			}
			if len(name.inserted()) == 0 {
				if _, err := parseReference(string(name)); err != nil {
					d.Invalid(node, what, err, "")
					return Destination{}, false
				}
			}
			return Destination{name: name, node: node, src: d.Source}, true
		},
	}, Destination.String)
}

func readRename(d *decode.Decoder, n *yaml.Node, what string) (*rename, bool) {
	tag, node, ok := readTemplate(d, n, what)
	return &rename{tag, node}, ok
}

// template is text in which the parts of an image's name may be inserted, as in
// "hub/{{.Repository}}".
type template string

// insertion is where a template inserts something.
var insertion = regexp.MustCompile(`\{\{(.*?)\}\}`)

// partNames are the parts that may be inserted.
func partNames() []string { return []string{"Registry", "Repository", "Base", "Tag", "Date"} }

func partsOf(from reference.Reference, date string) map[string]string {
	repository := from.Repository
	if repository == "" { // a whole layout
		repository = filepath.Base(from.Path)
	}
	return map[string]string{
		"Registry": from.Registry, "Repository": repository, "Base": path.Base(repository), "Tag": from.Tag, "Date": date,
	}
}

// partOf is the name of the part that `{{.Name}}` inserts, or nothing.
func partOf(inserted string) string {
	name, ok := strings.CutPrefix(strings.TrimSpace(strings.Trim(inserted, "{}")), ".")
	if !ok || !slices.Contains(partNames(), name) {
		return ""
	}
	return name
}

// fill returns the text for an image.
func (t template) fill(parts map[string]string) string {
	if !strings.Contains(string(t), "{{") {
		return string(t)
	}
	return insertion.ReplaceAllStringFunc(string(t), func(found string) string { return parts[partOf(found)] })
}

// inserted returns the names of the inserted parts.
func (t template) inserted() []string {
	names := insertion.FindAllString(string(t), -1)
	for i, found := range names {
		names[i] = partOf(found)
	}
	return names
}

// checkPath refuses parts that would lead out of the directory into which they are inserted.
func (t template) checkPath(parts map[string]string) error {
	for _, name := range t.inserted() {
		if elements := strings.Split(parts[name], "/"); slices.Contains(elements, ".") || slices.Contains(elements, "..") {
			return fmt.Errorf("{{.%s}} is %q, which is not a valid directory name", name, parts[name])
		}
	}
	return nil
}

// readTemplate reads text that may insert parts, and returns it with its node.
func readTemplate(d *decode.Decoder, n *yaml.Node, what string) (template, *yaml.Node, bool) {
	text, ok := d.Filled(n, what)
	n = d.Resolve(n)
	if !ok {
		return "", n, false
	}
	list := "`{{." + strings.Join(partNames(), "}}`, `{{.") + "}}`"
	for _, found := range insertion.FindAllString(text, -1) {
		if partOf(found) != "" {
			continue
		}
		suggestion := "the parts are " + list
		if best, near := typo.Closest(strings.Trim(found, "{}. "), partNames()); near {
			suggestion = fmt.Sprintf("did you mean `{{.%s}}`?", best)
		}
		d.Invalid(n, what, fmt.Errorf("unknown part %s", quote.Word(found)), suggestion)
		return "", n, false
	}
	if strings.Contains(insertion.ReplaceAllString(text, ""), "{{") {
		d.Suggest(n, "the parts are "+list, "unclosed `{{` in %s", quote.Word(n.Value))
		return "", n, false
	}
	return template(text), n, true
}
