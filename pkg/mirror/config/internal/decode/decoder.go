// Package decode turns YAML nodes into values and collects what is wrong with them.
//
// A mapping of the format is a [Form] with a table of its keys; a type of value is a [Kind].
// Both know how a node is read and what its JSON Schema is, so that the loader and editors
// accept the same. Start at [Mapping].
package decode

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/internal/typo"
	"github.com/regsync/regsync/pkg/mirror/config/internal/document"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// Decoder decodes the nodes of one file. Its methods do not stop at a problem: they add it,
// and their last result says whether the value may be used.
type Decoder struct {
	Source   *document.Source
	Problems *document.Problems
	// Warnings are what is unwise but works.
	Warnings []string
	env      func(string) (string, bool)
	// work counts down: aliases of aliases, and braces, must not make a small file a huge one.
	work int
}

// New is a decoder for a file, with what looks variables up.
func New(src *document.Source, found *document.Problems, env func(string) (string, bool)) *Decoder {
	d := &Decoder{Source: src, Problems: found, env: env}
	d.Allow(src.Size())
	return d
}

// Allow adds the work that a file of so many bytes may make: nodes that are decoded, those
// behind aliases each time, images that braces stand for, and destinations that are tried. A
// file without aliases stays far below it.
func (d *Decoder) Allow(size int) { d.work += 4*size + 20_000 }

// Visit counts the work that a node makes. Too much of it is a problem.
func (d *Decoder) Visit(n *yaml.Node) {
	d.work--
	if d.work == 0 {
		d.Fail(n, "the aliases and braces of this file expand to too many values")
	}
}

// Exhausted reports whether there was too much work: then not all values are decoded.
func (d *Decoder) Exhausted() bool { return d.work <= 0 }

// Resolve follows an alias to what it stands for, and counts the visit.
func (d *Decoder) Resolve(n *yaml.Node) *yaml.Node {
	d.Visit(n)
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// Fail adds a problem at a node.
func (d *Decoder) Fail(n *yaml.Node, format string, args ...any) { d.Suggest(n, "", format, args...) }

// Suggest is Fail with what to write instead. If the node has a character that only looks
// right, that is the suggestion.
func (d *Decoder) Suggest(n *yaml.Node, suggestion, format string, args ...any) {
	if n.Kind == yaml.ScalarNode && document.HasLookalike(n.Value) {
		suggestion = cmp.Or(d.Source.Lookalike(n.Line), suggestion)
	}
	d.Problems.Add(d.Source, d.Source.At(n), fmt.Sprintf(format, args...), suggestion)
}

// Invalid adds why the value of a scalar is wrong. If it has variables, the cause is left
// out: it may show what they hold.
func (d *Decoder) Invalid(n *yaml.Node, what string, err error, suggestion string) {
	if n = d.Resolve(n); hasVariable(n) {
		d.Suggest(n, suggestion, "%s is not valid after its variables are replaced", what)
		return
	}
	d.Suggest(n, suggestion, "%s: %v", what, err)
}

func (d *Decoder) wrongType(n *yaml.Node, what, want string) {
	suggestion := ""
	if strings.HasPrefix(n.Tag, "!") && !plainTag(n) {
		suggestion = "text that begins with `!` needs quotes"
	}
	d.Suggest(n, suggestion, "%s must be %s, not %s", what, want, KindOf(n))
}

// Text gives a scalar as it stands in the file, with its variables replaced.
func (d *Decoder) Text(n *yaml.Node, what string) (string, bool) {
	n = d.Resolve(n)
	if !isScalar(n) {
		d.wrongType(n, what, "text")
		return "", false
	}
	return d.expand(n)
}

// Filled is text that is not empty.
func (d *Decoder) Filled(n *yaml.Node, what string) (string, bool) {
	s, ok := d.Text(n, what)
	if ok && strings.TrimSpace(s) == "" {
		d.Fail(d.Resolve(n), "%s is empty", what)
		return "", false
	}
	return s, ok
}

// Choice reads one of several words. `true` and `false` among them stand without quotes.
// Others describes values of other types, which the caller has read.
func (d *Decoder) Choice(n *yaml.Node, what string, words []string, others ...string) (string, bool) {
	n = d.Resolve(n)
	list := make([]string, len(words), len(words)+len(others))
	for i, w := range words {
		list[i] = "`" + w + "`"
	}
	want := enumerate(append(list, others...), "or")
	if !isScalar(n) {
		d.wrongType(n, what, want)
		return "", false
	}
	s, ok := d.expand(n)
	if !ok {
		return "", false
	}
	isBool := n.Tag == "!!bool" || hasVariable(n)
	if lower := strings.ToLower(s); isBool && (lower == "true" || lower == "false") {
		s = lower
	}
	quotedBool := !isBool && (s == "true" || s == "false")
	if slices.Contains(words, s) && !quotedBool {
		return s, true
	}
	suggestion := ""
	if best, ok := typo.Closest(s, words); quotedBool {
		suggestion = "remove the quotes"
	} else if ok {
		suggestion = fmt.Sprintf("did you mean `%s`?", best)
	}
	d.Suggest(n, suggestion, "%s must be %s", what, want)
	return "", false
}

// Integer reads a whole number that is at least least.
func (d *Decoder) Integer(n *yaml.Node, what string, least int) (int, bool) {
	n = d.Resolve(n)
	if number := n.Tag == "!!int" || n.Tag == "!!float" || hasVariable(n); !number || n.Kind != yaml.ScalarNode {
		d.wrongType(n, what, "a whole number")
		return 0, false
	}
	s, ok := d.expand(n)
	if !ok {
		return 0, false
	}
	value, err := strconv.Atoi(s)
	if err != nil {
		d.Fail(n, "%s must be a whole number, not %s", what, quote.Word(n.Value))
	} else if value < least {
		d.Fail(n, "%s must be at least %d", what, least)
	}
	return value, err == nil && value >= least
}

// List gives the elements of a list, which may not be empty. With single, one value that is
// no list counts as a list of one.
func (d *Decoder) List(n *yaml.Node, what string, single bool) []*yaml.Node {
	n = d.Resolve(n)
	switch {
	case n.Kind == yaml.SequenceNode && plainTag(n):
		if len(n.Content) == 0 {
			d.Fail(n, "%s is an empty list", what)
		}
		return n.Content
	case single && n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		return []*yaml.Node{n}
	case single:
		d.wrongType(n, what, "text or a list")
	default:
		d.wrongType(n, what, "a list")
	}
	return nil
}

// ReadFile reads the file that a node names. The second result is what to call it in messages.
func (d *Decoder) ReadFile(n *yaml.Node, what string) (data []byte, path, shown string, ok bool) {
	text, ok := d.Filled(n, what)
	if !ok {
		return nil, "", "", false
	}
	n, path = d.Resolve(n), d.Source.Path(text)
	shown = path
	if hasVariable(n) {
		shown = quote.Word(n.Value)
	}
	data, err := document.ReadFile(path)
	if err != nil {
		d.Fail(n, "%s: %s: %s", what, shown, err)
	}
	return data, path, shown, err == nil
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// hasVariable reports whether a scalar is more than its text.
func hasVariable(n *yaml.Node) bool { return strings.Contains(n.Value, "${") }

// expand replaces the variables in a scalar: `${NAME}`, `${NAME:-default}` where NAME is
// unset or empty; `$${` is a literal `${`, and a lone `$` stays.
func (d *Decoder) expand(n *yaml.Node) (string, bool) {
	var b strings.Builder
	complete := true
	rest := n.Value
	for {
		at := strings.Index(rest, "${")
		if at < 0 {
			b.WriteString(rest)
			return b.String(), complete
		}
		if at > 0 && rest[at-1] == '$' {
			b.WriteString(rest[:at-1] + "${")
			rest = rest[at+2:]
			continue
		}
		b.WriteString(rest[:at])
		inside, after, closed := strings.Cut(rest[at+2:], "}")
		name, fallback, hasFallback := strings.Cut(inside, ":-")
		value, set := "", false
		switch {
		case !closed:
			d.Suggest(n, "write a literal `${` as `$${`", "a variable has no closing `}`")
			return "", false
		case !variableName.MatchString(name):
			d.Suggest(n, "write a variable as `${NAME}` or `${NAME:-default}`, and a literal `${` as `$${`",
				"%s is not a valid variable name", quote.Word(name))
			complete = false
		default:
			value, set = d.env(name)
		}
		switch {
		case hasFallback && value == "":
			value = fallback
		case !set && complete:
			d.Suggest(n, "set it, or give it a default: `${"+name+":-…}`", "the variable `%s` is not set", name)
			complete = false
		}
		b.WriteString(value)
		rest = after
	}
}

func isScalar(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag != "!!null" && plainTag(n)
}

// plainTag reports whether a node has the type of its form, not one that a tag in the file
// gives it. `!!str` on a scalar is harmless.
func plainTag(n *yaml.Node) bool {
	return n.Style&yaml.TaggedStyle == 0 || n.Tag == "!!str" || n.Tag == "!!seq" || n.Tag == "!!map"
}

// KindOf is what a node looks like, for messages.
func KindOf(n *yaml.Node) string {
	switch {
	case !plainTag(n):
		return "a value with a YAML tag"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null" && n.Value == "":
		return "nothing"
	case n.Tag == "!!null":
		return "null"
	case n.Tag == "!!bool":
		return "true or false"
	case n.Tag == "!!int", n.Tag == "!!float":
		return "a number"
	case n.Tag == "!!timestamp":
		return "a date"
	default:
		return "text"
	}
}

func enumerate(words []string, conjunction string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + conjunction + " " + words[len(words)-1]
}
