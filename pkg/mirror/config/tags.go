package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Tags selects from the tags of a repository.
type Tags struct {
	// Include selects what any of them matches; empty takes all.
	Include []Pattern
	// Exclude takes away what any of them matches.
	Exclude []Pattern
}

// Select reports whether a tag is wanted. It does so for a nil Tags, too.
func (t *Tags) Select(tag string) bool {
	if t == nil {
		return true
	}
	return (len(t.Include) == 0 || matchAny(t.Include, tag)) && !matchAny(t.Exclude, tag)
}

// Literals are the tags that are included by name, in the file's order and each once. They
// are wanted whether or not a listing has them. The second result reports whether they are
// all there is, so that nothing has to be listed.
func (t *Tags) Literals() ([]string, bool) {
	if t == nil {
		return nil, false
	}
	var names []string
	all, seen := len(t.Include) > 0, map[string]bool{}
	for _, p := range t.Include {
		name, literal := p.Literal()
		switch {
		case !literal:
			all = false
		case !seen[name] && !matchAny(t.Exclude, name):
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, all
}

// Explicit reports whether the file says which tags to take, be it all of them.
func (t *Tags) Explicit() bool { return t != nil && len(t.Include) > 0 }

// String names the patterns: "include 1.* 2.*, exclude *-rc". Of many it shows the first.
func (t *Tags) String() string {
	if t == nil {
		return "all"
	}
	var parts []string
	for _, list := range []struct {
		name     string
		patterns []Pattern
	}{{"include", t.Include}, {"exclude", t.Exclude}} {
		if len(list.patterns) > 0 {
			parts = append(parts, list.name+" "+shownPatterns(list.patterns))
		}
	}
	return strings.Join(parts, ", ")
}

// shownPatterns are the first few of a list.
func shownPatterns(patterns []Pattern) string {
	const most = 5
	var texts []string
	for _, p := range patterns[:min(most, len(patterns))] {
		texts = append(texts, p.String())
	}
	if more := len(patterns) - most; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, " ")
}

func matchAny(patterns []Pattern, tag string) bool {
	for _, p := range patterns {
		if p.Match(tag) {
			return true
		}
	}
	return false
}

func tagsKeys() fields[Tags] {
	return fields[Tags]{
		"include": func(d *decoder, n *yaml.Node, into *Tags) { into.Include = d.patterns(n, "`include`") },
		"exclude": func(d *decoder, n *yaml.Node, into *Tags) { into.Exclude = d.patterns(n, "`exclude`") },
	}
}

func tagsLater() []string { return []string{"semver", "variants", "newest", "age"} }

// tags reads the value of `tags`.
func (d *decoder) tags(n *yaml.Node) (*Tags, bool) {
	target := d.resolve(n)
	switch target.Kind {
	case yaml.SequenceNode:
		if len(target.Content) > 0 && target.Content[0].Kind == yaml.MappingNode {
			d.fail(target, "a list of `tags` blocks is not supported yet")
			return nil, false
		}
		d.suggest(target, "write `tags: {include: […]}`", "`tags` must be a mapping, not a list")
		return nil, false
	case yaml.ScalarNode:
		d.suggest(target, "write `tags: {include: […]}`", "`tags` must be a mapping, not %s", kindOf(target))
		return nil, false
	}
	var tags Tags
	present, ok := decodeMapping(d, target, "`tags`", tagsKeys(), tagsLater(), &tags)
	if ok && len(target.Content) == 0 {
		d.suggest(target, "leave `tags` out to take all tags", "`tags` is empty")
	}
	return &tags, ok && len(present) > 0
}

func (d *decoder) patterns(n *yaml.Node, what string) []Pattern {
	elements := d.list(n, what, true)
	patterns := make([]Pattern, 0, len(elements))
	for _, e := range elements {
		text, ok := d.text(e, "a pattern of "+what)
		if !ok {
			continue
		}
		p, err := ParsePattern(text)
		if err != nil {
			d.invalid(d.resolve(e), err)
			continue
		}
		patterns = append(patterns, p)
	}
	return patterns
}
