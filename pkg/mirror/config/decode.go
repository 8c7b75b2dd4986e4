package config

import (
	"cmp"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// decoder turns the nodes of one file into values and collects the mistakes. Its methods
// never stop at one; their second result says whether the value may be used.
type decoder struct {
	src      *source
	problems *problems
	env      func(string) (string, bool)
	// visits counts down: aliases of aliases, and braces, must not make a small file a huge one.
	visits   int
	warnings []string
	// date is what {{.Date}} inserts.
	date string
}

// visitsFor is how much work a file of so many bytes may make: nodes that are decoded, those
// behind aliases each time, images that braces stand for, and destinations that are tried. A
// file without aliases comes nowhere near it.
func visitsFor(size int) int { return 4*size + 20_000 }

// fail records a mistake at a node.
func (d *decoder) fail(n *yaml.Node, format string, args ...any) {
	d.suggest(n, "", format, args...)
}

// suggest is fail with what to write instead. Where the node has a character that only looks
// right, that is the better advice.
func (d *decoder) suggest(n *yaml.Node, suggestion, format string, args ...any) {
	if n.Kind == yaml.ScalarNode && lookalikeIn(n.Value) {
		suggestion = cmp.Or(lookalikes(d.src, n.Line), suggestion)
	}
	d.problems.add(d.src, d.src.at(n), fmt.Sprintf(format, args...), suggestion)
}

// invalid records why a scalar is not what it should be. Where variables were replaced in
// it, the cause is left out: it may show their values.
func (d *decoder) invalid(n *yaml.Node, err error) {
	if hasVariable(n) {
		d.fail(n, "%s is not valid once its variables are replaced", quote.Word(n.Value))
		return
	}
	d.fail(n, "%v", err)
}

// warn records what is unwise but works.
func (d *decoder) warn(format string, args ...any) {
	d.warnings = append(d.warnings, fmt.Sprintf(format, args...))
}

// resolve follows an alias to what it stands for, and counts the visit.
func (d *decoder) resolve(n *yaml.Node) *yaml.Node {
	d.visit(n)
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// visit counts the work that a node makes. It records the mistake of a file that makes too
// much of it.
func (d *decoder) visit(n *yaml.Node) {
	d.visits--
	if d.visits == 0 {
		d.fail(n, "the aliases and braces of this file multiply to too many values")
	}
}

// exhausted reports whether there was too much work: what was decoded is not all there is.
func (d *decoder) exhausted() bool { return d.visits <= 0 }

func (d *decoder) wrongType(n *yaml.Node, what, want string) {
	d.fail(n, "%s must be %s, not %s", what, want, kindOf(n))
}

// plainTag reports whether a node has the type that its form gives it, not one that the
// file forces on it. `!!str` on a scalar is harmless.
func plainTag(n *yaml.Node) bool {
	if n.Style&yaml.TaggedStyle == 0 {
		return true
	}
	return n.Tag == "!!str" || n.Tag == "!!seq" || n.Tag == "!!map"
}

func kindOf(n *yaml.Node) string {
	switch {
	case !plainTag(n):
		return "a value with a tag of its own"
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

// enumerate shows words of the file in a sentence.
func enumerate(words []string, conjunction string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "`" + w + "`"
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " " + conjunction + " " + quoted[len(quoted)-1]
}
