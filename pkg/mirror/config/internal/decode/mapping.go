package decode

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/internal/typo"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// Form is what a mapping of the file may hold.
type Form[T any] struct {
	// What it is called in messages.
	What   string
	Fields Fields[T]
	// Elsewhere are keys that people look for here, and that only entries have.
	Elsewhere []string
	// Later are the keys of the format whose function is not there yet.
	Later []string
	// Extras allows keys that begin with `x-`, whatever they hold: homes for anchors.
	Extras bool
}

// Fields is the table of a mapping's keys.
type Fields[T any] map[string]Field[T]

// Field is one key of a mapping: what it means (for editors), what its value looks like, and how it is decoded into a T.
type Field[T any] struct {
	Description string
	Schema      Schema
	Decode      func(d *Decoder, n *yaml.Node, what string, into *T)
}

// Into makes a field of a kind of value and the part of T that holds it. A value that is
// wrong leaves the part alone.
func Into[T, V any](description string, k Kind[V], part func(*T) *V) Field[T] {
	return Field[T]{description, k.Schema, func(d *Decoder, n *yaml.Node, what string, into *T) {
		if v, ok := k.Read(d, n, what); ok {
			*part(into) = v
		}
	}}
}

// keys are those that may stand in the mapping, sorted.
func (f Form[T]) keys() []string { return slices.Sorted(maps.Keys(f.Fields)) }

// Schema is the form's JSON Schema: the keys of its table, and no others.
func (f Form[T]) Schema() Schema {
	properties := Schema{"<<": Schema{}} // its keys are checked where they are written
	for key, field := range f.Fields {
		described := maps.Clone(field.Schema)
		described["description"] = field.Description
		properties[key] = described
	}
	s := Schema{"type": "object", "properties": properties, "additionalProperties": false}
	if f.Extras {
		s["patternProperties"] = Schema{"^x-": Schema{}}
	}
	return s
}

// Pair is a key of a mapping with its value.
type Pair struct {
	Key         string
	Name, Value *yaml.Node
	merged      bool // it was added by a merge key, so other mappings may share it
	// Wrong: there is a problem in the value, or the key is misspelled.
	Wrong bool
}

// Pairs are the keys that a mapping has and that its form knows.
type Pairs map[string]Pair

// Has reports whether a mapping has a key.
func (p Pairs) Has(key string) bool { return p[key].Name != nil }

// Own reports whether a mapping itself has a key, and shares it with no other.
func (p Pairs) Own(key string) bool { return p.Has(key) && !p[key].merged }

// Mapping decodes a mapping by its form, and returns the keys that it has.
func Mapping[T any](d *Decoder, n *yaml.Node, f Form[T], into *T) (Pairs, bool) {
	list, ok := d.Pairs(n, f.What)
	if !ok {
		return nil, false
	}
	present := make(Pairs, len(list))
	for _, p := range list {
		field, known := f.Fields[p.Key]
		switch {
		case d.Exhausted():
			return present, false
		case known:
			before := d.Problems.Added()
			field.Decode(d, p.Value, "`"+p.Key+"`", into)
			p.Wrong = d.Problems.Added() != before
			present[p.Key] = p
		case slices.Contains(f.Elsewhere, p.Key):
			d.Fail(p.Name, "`%s` belongs to an entry of `sync`, not to %s", p.Key, f.What)
		case slices.Contains(f.Later, p.Key):
			present[p.Key] = p
			d.Fail(p.Name, "`%s` is not supported yet", p.Key)
		case f.Extras && strings.HasPrefix(p.Key, "x-"):
		default:
			meant, suggestion := meantKey(p.Key, append(f.keys(), f.Later...))
			if suggestion == "" {
				list := f.keys()
				for i, key := range list {
					list[i] = "`" + key + "`"
				}
				suggestion = "the keys of " + f.What + " are " + enumerate(list, "and")
			}
			d.Suggest(p.Name, suggestion, "unknown key %s", quote.Word(p.Key))
			if p.Wrong = true; !present.Has(meant) {
				present[meant] = p // it is misspelled, not missing: one problem, not two
			}
		}
	}
	return present, true
}

// meantKey is the key that was probably meant by one that is unknown: misspelled, longer
// or shorter than ours (`caFile`, `user`), or what other tools call it.
func meantKey(word string, known []string) (key, suggestion string) {
	if best, ok := typo.Closest(word, known); ok {
		return best, fmt.Sprintf("did you mean `%s`?", best)
	}
	if strings.HasPrefix(word, "else ") {
		return "", "a `bandwidth` with a comma needs quotes here"
	}
	elsewhere := map[string]string{
		"insecure": "tls: insecure",
		"source":   "from", "images": "from",
		"target": "to", "destination": "to",
		"age": "createdWithin", "regex": "include", "allow": "include", "deny": "exclude", "latest": "newest",
		"platform": "platforms", "keep": "newest", "requireplatform": "requirePlatforms",
	}
	if write, ok := elsewhere[strings.ToLower(word)]; ok {
		if key, _, _ := strings.Cut(write, ":"); slices.Contains(known, key) {
			return key, fmt.Sprintf("write `%s`", write)
		}
	}
	begins := func(s, prefix string) bool {
		return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
	}
	for _, k := range known {
		if begins(word, k) || len(word) > 3 && begins(k, word) {
			return k, fmt.Sprintf("did you mean `%s`?", k)
		}
	}
	return "", ""
}

// Pairs gives the keys and values of a mapping, each key once: its own, then those that `<<` merges into it
// (yaml.org/type/merge.html). outer are the mappings that are being read, whose `<<` led to this one.
func (d *Decoder) Pairs(n *yaml.Node, what string, outer ...*yaml.Node) ([]Pair, bool) {
	n = d.Resolve(n)
	if n.Kind != yaml.MappingNode || !plainTag(n) {
		d.wrongType(n, what, "a mapping (`key: value`)")
		return nil, false
	}
	var own []Pair
	var merges *yaml.Node
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode || name.Tag == "!!null" {
			d.Fail(name, "a key must be text")
			continue
		}
		isMerge := name.Tag == "!!merge" // in quotes it is a word like others
		if line, again := first[name.Value]; again {
			suggestion := ""
			if isMerge {
				suggestion = "write `<<: [*a, *b]`"
			}
			d.Suggest(name, suggestion, "%s is repeated; it is already on line %d", quote.Word(name.Value), line)
			continue
		}
		first[name.Value] = name.Line
		if isMerge {
			merges = value
			continue
		}
		own = append(own, Pair{Key: name.Value, Name: name, Value: value})
	}
	if merges != nil {
		own = d.merge(own, merges, append(slices.Clone(outer), n))
	}
	return own, true
}

// merge adds to a mapping's own keys those of others: a mapping, or a list of them. What is
// there already stays, so that own keys win, and earlier mappings.
func (d *Decoder) merge(own []Pair, merges *yaml.Node, outer []*yaml.Node) []Pair {
	list := []*yaml.Node{merges}
	if target := d.Resolve(merges); target.Kind == yaml.SequenceNode {
		list = target.Content
	}
	seen := map[string]bool{}
	for _, p := range own {
		seen[p.Key] = true
	}
	for _, m := range list {
		if d.Exhausted() {
			break
		}
		if slices.Contains(outer, d.Resolve(m)) {
			d.Fail(m, "a mapping is merged into itself")
			continue
		}
		others, _ := d.Pairs(m, "the value of `<<`", outer...)
		for _, p := range others {
			if !seen[p.Key] {
				seen[p.Key], p.merged = true, true
				own = append(own, p)
			}
		}
	}
	return own
}
