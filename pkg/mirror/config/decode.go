package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// decoder turns the nodes of one file into values and collects the mistakes. Its methods
// never stop at one; their second result says whether the value may be used.
type decoder struct {
	src      *source
	problems *problems
	env      func(string) (string, bool)
	// visits counts down: aliases of aliases must not make a small file a huge one.
	visits   int
	warnings []string
}

// visitsFor is how much work a file of so many bytes may make: nodes that are decoded, those
// behind aliases each time, and destinations that are tried. A file without aliases comes
// nowhere near it.
func visitsFor(size int) int { return 4*size + 20_000 }

// fail records a mistake at a node.
func (d *decoder) fail(n *yaml.Node, format string, args ...any) {
	d.suggest(n, "", format, args...)
}

// suggest is fail with what to write instead.
func (d *decoder) suggest(n *yaml.Node, suggestion, format string, args ...any) {
	d.problems.add(d.src, d.src.at(n), fmt.Sprintf(format, args...), suggestion)
}

// invalid records why a scalar is not what it should be. Where variables were replaced in
// it, the cause is left out: it may show their values.
func (d *decoder) invalid(n *yaml.Node, err error) {
	if hasVariable(n) {
		d.fail(n, "%s is not valid once its variables are replaced", quote(n.Value))
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
		d.fail(n, "the aliases of this file multiply to too many values")
	}
}

// exhausted reports whether there was too much work: what was decoded is not all there is.
func (d *decoder) exhausted() bool { return d.visits <= 0 }

// fields is the table of a mapping's keys: how each one's value is decoded into a T. A key
// that only entries have, and that people look for here, has no function.
type fields[T any] map[string]func(d *decoder, n *yaml.Node, into *T)

// names are the keys that may stand in the mapping, sorted.
func (f fields[T]) names() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(f)), func(key string) bool { return f[key] == nil })
}

// pair is a key of a mapping with its value.
type pair struct {
	key        string
	name, node *yaml.Node
}

// decodeMapping decodes a mapping by its table. Keys in later are those of the format
// whose function is not there yet. It returns the nodes of the keys that were there.
func decodeMapping[T any](d *decoder, n *yaml.Node, what string, table fields[T], later []string, into *T) (map[string]*yaml.Node, bool) {
	pairs, ok := d.mapping(n, what)
	if !ok {
		return nil, false
	}
	present := make(map[string]*yaml.Node, len(pairs))
	for _, p := range pairs {
		decode, known := table[p.key]
		switch {
		case d.exhausted():
			return present, false
		case p.key == "<<":
			d.suggest(p.name, "put what entries share under `defaults`", "merge keys are not supported")
			ok = false
		case known && decode == nil:
			d.fail(p.name, "`%s` belongs to an entry of `sync`, not to %s", p.key, what)
		case known:
			present[p.key] = p.name
			decode(d, p.node, into)
		case slices.Contains(later, p.key):
			present[p.key] = p.name
			d.fail(p.name, "`%s` is not supported yet", p.key)
		default:
			meant := d.unknownKey(p, what, table.names(), later)
			if present[meant] == nil {
				present[meant] = p.name // it is misspelled, not missing: one mistake, not two
			}
		}
	}
	return present, ok
}

// unknownKey records a key that is in no table, and gives the one that was probably meant.
func (d *decoder) unknownKey(p pair, what string, known, later []string) string {
	meant, suggestion := meantKey(p.key, slices.Concat(known, later))
	if suggestion == "" {
		suggestion = "the keys of " + what + " are " + enumerate(known, "and")
	}
	d.suggest(p.name, suggestion, "unknown key %s", quote(p.key))
	return meant
}

// mapping gives the keys and values of a mapping, each key once.
func (d *decoder) mapping(n *yaml.Node, what string) ([]pair, bool) {
	n = d.resolve(n)
	if n.Kind != yaml.MappingNode || !plainTag(n) {
		d.wrongType(n, what, "a mapping (`key: value`)")
		return nil, false
	}
	var pairs []pair
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		if name.Kind != yaml.ScalarNode || name.Tag == "!!null" {
			d.fail(name, "a key must be a plain word")
			continue
		}
		if line, again := first[name.Value]; again {
			d.fail(name, "%s is repeated; it is on line %d already", quote(name.Value), line)
			continue
		}
		first[name.Value] = name.Line
		pairs = append(pairs, pair{name.Value, name, n.Content[i+1]})
	}
	return pairs, true
}

// list gives the elements of a list, which may not be empty. With single, one value that is
// no list counts as a list of one.
func (d *decoder) list(n *yaml.Node, what string, single bool) []*yaml.Node {
	target := d.resolve(n)
	switch {
	case target.Kind == yaml.SequenceNode && plainTag(target):
		if len(target.Content) == 0 {
			d.fail(target, "%s is an empty list", what)
		}
		return target.Content
	case single && target.Kind == yaml.ScalarNode && target.Tag != "!!null":
		return []*yaml.Node{target}
	case single:
		d.wrongType(target, what, "text or a list")
	default:
		d.wrongType(target, what, "a list")
	}
	return nil
}

// text gives a scalar as it stands in the file, with its variables replaced.
func (d *decoder) text(n *yaml.Node, what string) (string, bool) {
	n = d.resolve(n)
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || !plainTag(n) {
		d.wrongType(n, what, "text")
		return "", false
	}
	return d.expand(n)
}

// filled is text that is not empty.
func (d *decoder) filled(n *yaml.Node, what string) (string, bool) {
	s, ok := d.text(n, what)
	if ok && strings.TrimSpace(s) == "" {
		d.fail(d.resolve(n), "%s is empty", what)
		return "", false
	}
	return s, ok
}

// boolean reads true or false; as text only where that comes from a variable.
func (d *decoder) boolean(n *yaml.Node, what string) (bool, bool) {
	n = d.resolve(n)
	if n.Kind == yaml.ScalarNode && (n.Tag == "!!bool" || hasVariable(n)) {
		s, ok := d.expand(n)
		if !ok {
			return false, false
		}
		switch strings.ToLower(s) {
		case "true":
			return true, true
		case "false":
			return false, true
		}
	}
	d.wrongType(n, what, "true or false")
	return false, false
}

// integer reads a whole number from least on.
func (d *decoder) integer(n *yaml.Node, what string, least int) (int, bool) {
	n = d.resolve(n)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && !hasVariable(n) {
		d.wrongType(n, what, "a whole number")
		return 0, false
	}
	s, ok := d.expand(n)
	if !ok {
		return 0, false
	}
	number, err := strconv.Atoi(s)
	if err != nil {
		d.wrongType(n, what, "a whole number")
		return 0, false
	}
	if number < least {
		d.fail(n, "%s must be at least %d", what, least)
		return 0, false
	}
	return number, true
}

// choice reads one of several words.
func (d *decoder) choice(n *yaml.Node, what string, words ...string) (string, bool) {
	s, ok := d.text(n, what)
	if !ok {
		return "", false
	}
	if slices.Contains(words, s) {
		return s, true
	}
	d.suggest(d.resolve(n), didYouMean(s, words), "%s must be %s", what, enumerate(words, "or"))
	return "", false
}

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

// quote shows a word of the file in a message: short, and without what could trouble a
// terminal.
func quote(word string) string {
	runes := []rune(word)
	if len(runes) > 80 {
		runes = append(runes[:80], '…')
	}
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = '?'
		}
	}
	return "`" + string(runes) + "`"
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
