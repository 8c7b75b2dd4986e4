package config

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// form is what a mapping of the file may hold.
type form[T any] struct {
	// what it is called in messages.
	what   string
	fields fields[T]
	// later are the keys of the format whose function is not there yet.
	later []string
	// extras allows keys that begin with `x-`, whatever they hold: homes for anchors.
	extras bool
}

// fields is the table of a mapping's keys.
type fields[T any] map[string]field[T]

// field is one key of a mapping: what its value looks like, how it is decoded into a T, and
// how it is taken over from another T. A key that only entries have, and that people look
// for here, has no decode.
type field[T any] struct {
	schema schema
	decode func(d *decoder, n *yaml.Node, what string, into *T)
	copy   func(into, from *T)
}

// is makes a field of a kind of value and the part of T that holds it. A value that is wrong
// leaves the part alone.
func is[T, V any](k kind[V], part func(*T) *V) field[T] {
	return field[T]{
		schema: k.schema,
		decode: func(d *decoder, n *yaml.Node, what string, into *T) {
			if v, ok := k.read(d, n, what); ok {
				*part(into) = v
			}
		},
		copy: func(into, from *T) { *part(into) = *part(from) },
	}
}

// inside makes a field of T out of one of a part of it.
func inside[T, P any](f field[P], part func(*T) *P) field[T] {
	return field[T]{
		schema: f.schema,
		decode: func(d *decoder, n *yaml.Node, what string, into *T) { f.decode(d, n, what, part(into)) },
		copy:   func(into, from *T) { f.copy(part(into), part(from)) },
	}
}

// names are the keys that may stand in the mapping, sorted.
func (f fields[T]) names() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(f)), func(key string) bool { return f[key].decode == nil })
}

// pair is a key of a mapping with its value.
type pair struct {
	key        string
	name, node *yaml.Node
	// merged: it was brought in by a merge key, so others may share it.
	merged bool
	// wrong: there is a mistake in the value, or the key is misspelled.
	wrong bool
}

// pairs are the keys that a mapping has, known or not.
type pairs map[string]pair

func (p pairs) has(key string) bool { return p[key].name != nil }

// said reports whether the mapping itself has the key, and shares it with no other.
func (p pairs) said(key string) bool { return p.has(key) && !p[key].merged }

// decodeMapping decodes a mapping by its form, and returns the keys that were there.
func decodeMapping[T any](d *decoder, n *yaml.Node, f form[T], into *T) (pairs, bool) {
	list, ok := d.mapping(n, f.what)
	if !ok {
		return nil, false
	}
	present := make(pairs, len(list))
	for _, p := range list {
		field, known := f.fields[p.key]
		switch {
		case d.exhausted():
			return present, false
		case known && field.decode == nil:
			d.fail(p.name, "`%s` belongs to an entry of `sync`, not to %s", p.key, f.what)
		case known:
			before := d.problems.tried
			field.decode(d, p.node, "`"+p.key+"`", into)
			p.wrong = d.problems.tried != before
			present[p.key] = p
		case slices.Contains(f.later, p.key):
			present[p.key] = p
			d.fail(p.name, "`%s` is not supported yet", p.key)
		case f.extras && strings.HasPrefix(p.key, "x-"):
		default:
			meant := d.unknownKey(p, f.what, f.fields.names(), f.later)
			if p.wrong = true; !present.has(meant) {
				present[meant] = p // it is misspelled, not missing: one mistake, not two
			}
		}
	}
	return present, true
}

// unknownKey records a key that is in no table, and gives the one that was probably meant.
func (d *decoder) unknownKey(p pair, what string, known, later []string) string {
	meant, suggestion := meantKey(p.key, slices.Concat(known, later))
	if strings.HasPrefix(p.key, "else ") {
		suggestion = "a `bandwidth` with a comma needs quotes here"
	}
	if suggestion == "" {
		suggestion = "the keys of " + what + " are " + enumerate(known, "and")
	}
	d.suggest(p.name, suggestion, "unknown key %s", quote.Word(p.key))
	return meant
}

// mapping gives the keys and values of a mapping, each key once: its own, then those that
// `<<` merges into it.
func (d *decoder) mapping(n *yaml.Node, what string) ([]pair, bool) {
	return d.mappingWithin(n, what, nil)
}

// mappingWithin is mapping, inside the merge keys of some mappings.
func (d *decoder) mappingWithin(n *yaml.Node, what string, outer []*yaml.Node) ([]pair, bool) {
	n = d.resolve(n)
	if n.Kind != yaml.MappingNode || !plainTag(n) {
		d.wrongType(n, what, "a mapping (`key: value`)")
		return nil, false
	}
	var own []pair
	var merges *yaml.Node
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode || name.Tag == "!!null" {
			d.fail(name, "a key must be a plain word")
			continue
		}
		if line, again := first[name.Value]; again {
			d.repeated(name, line)
			continue
		}
		first[name.Value] = name.Line
		if isMergeKey(name) {
			merges = value
			continue
		}
		own = append(own, pair{key: name.Value, name: name, node: value})
	}
	if merges == nil {
		return own, true
	}
	return d.merge(own, merges, append(slices.Clone(outer), n)), true
}

func (d *decoder) repeated(name *yaml.Node, line int) {
	suggestion := ""
	if isMergeKey(name) {
		suggestion = "write `<<: [*a, *b]`"
	}
	d.suggest(name, suggestion, "%s is repeated; it is on line %d already", quote.Word(name.Value), line)
}

// isMergeKey recognises `<<` (yaml.org/type/merge.html); in quotes it is a word like others.
func isMergeKey(name *yaml.Node) bool { return name.Tag == "!!merge" }

// merge adds to a mapping's own keys those of others: a mapping, or a list of them. What is
// there already stays, so that own keys win, and earlier mappings.
func (d *decoder) merge(own []pair, merges *yaml.Node, outer []*yaml.Node) []pair {
	list := []*yaml.Node{merges}
	if target := d.resolve(merges); target.Kind == yaml.SequenceNode {
		list = target.Content
	}
	seen := map[string]bool{}
	for _, p := range own {
		seen[p.key] = true
	}
	for _, m := range list {
		if d.exhausted() {
			break
		}
		if slices.Contains(outer, d.resolve(m)) {
			d.fail(m, "a mapping is merged into itself")
			continue
		}
		others, _ := d.mappingWithin(m, "what `<<` merges", outer)
		for _, p := range others {
			if !seen[p.key] {
				seen[p.key], p.merged = true, true
				own = append(own, p)
			}
		}
	}
	return own
}
