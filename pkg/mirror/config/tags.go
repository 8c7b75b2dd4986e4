package config

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/mirror/tags"
)

func tagsForm() form[tags.Block] {
	return form[tags.Block]{what: "`tags`", fields: tagsKeys()}
}

func tagsKeys() fields[tags.Block] {
	return fields[tags.Block]{
		"include":       is(listOf(pattern()), func(b *tags.Block) *[]tags.Pattern { return &b.Include }),
		"exclude":       is(listOf(pattern()), func(b *tags.Block) *[]tags.Pattern { return &b.Exclude }),
		"semver":        is(versions(), func(b *tags.Block) **tags.Range { return &b.Semver }),
		"variants":      is(listOf(suffix()), func(b *tags.Block) *[]tags.Pattern { return &b.Variants }),
		"newest":        is(newest(), func(b *tags.Block) *tags.Newest { return &b.Newest }),
		"createdWithin": is(duration(), func(b *tags.Block) *time.Duration { return &b.CreatedWithin }),
		"olderThan":     is(duration(), func(b *tags.Block) *time.Duration { return &b.OlderThan }),
		"pushedWithin":  is(duration(), func(b *tags.Block) *time.Duration { return &b.PushedWithin }),
	}
}

func newestForm() form[tags.Newest] {
	return form[tags.Newest]{what: "`newest`", fields: newestKeys()}
}

func newestKeys() fields[tags.Newest] {
	return fields[tags.Newest]{
		"count": is(number(1), func(n *tags.Newest) *int { return &n.Count }),
		"by":    is(choice(tags.ByVersion, tags.ByCreated), func(n *tags.Newest) *tags.Order { return &n.By }),
	}
}

// selector is a block of `tags`, or a list of them. One with a mistake selects nothing that
// can be known.
func selector() kind[tags.Selector] {
	return kind[tags.Selector]{oneOrMore(tagsForm().schema()), (*decoder).selector}
}

func (d *decoder) selector(n *yaml.Node, what string) (tags.Selector, bool) {
	target := d.resolve(n)
	blocks := []*yaml.Node{n}
	if target.Kind == yaml.SequenceNode {
		blocks = d.list(target, what, false)
	}
	var all tags.Selector
	before := d.problems.tried
	for _, b := range blocks {
		if block, ok := d.block(b, what); ok {
			all = append(all, block)
		}
	}
	return all, d.problems.tried == before
}

// block reads one block of `tags`.
func (d *decoder) block(n *yaml.Node, what string) (tags.Block, bool) {
	var block tags.Block
	target := d.resolve(n)
	if target.Kind != yaml.MappingNode {
		d.suggest(target, "write `tags: {include: […]}`", "%s must be a mapping, not %s", what, kindOf(target))
		return block, false
	}
	before := d.problems.tried
	keys, ok := decodeMapping(d, target, tagsForm(), &block)
	if ok && len(target.Content) == 0 {
		d.suggest(target, "leave `tags` out to take all tags", "%s is empty", what)
	}
	if !ok || len(keys) == 0 {
		return block, false
	}
	if d.problems.tried == before {
		d.checkBlock(block, keys)
	}
	return block, true
}

// pattern is a pattern that some tag can match.
func pattern() kind[tags.Pattern] {
	return kind[tags.Pattern]{textSchema(), (*decoder).pattern}
}

func (d *decoder) pattern(n *yaml.Node, what string) (tags.Pattern, bool) {
	p, ok := d.parsePattern(n, "a pattern of "+what, tags.ParsePattern)
	if ok && !matchesSomeTag(p) {
		d.suggest(d.resolve(n), "tags have letters, digits, `_`, `.` and `-`, at most 128, and begin with none of the last two",
			"%s matches no tag that there can be", quote.Word(d.resolve(n).Value))
		return p, false
	}
	return p, ok
}

// suffix is a pattern of the end of a tag.
func suffix() kind[tags.Pattern] {
	return kind[tags.Pattern]{textSchema(), func(d *decoder, n *yaml.Node, what string) (tags.Pattern, bool) {
		return d.parsePattern(n, what, tags.ParseSuffix)
	}}
}

func (d *decoder) parsePattern(n *yaml.Node, what string, parse func(string) (tags.Pattern, error)) (tags.Pattern, bool) {
	text, ok := d.text(n, what)
	if !ok {
		return tags.Pattern{}, false
	}
	p, err := parse(text)
	if err != nil {
		d.invalid(d.resolve(n), err)
	}
	return p, err == nil
}

// versions is a range of versions.
func versions() kind[*tags.Range] {
	return kind[*tags.Range]{textSchema(), func(d *decoder, n *yaml.Node, what string) (*tags.Range, bool) {
		text, ok := d.filled(n, what)
		if !ok {
			return nil, false
		}
		r, err := tags.ParseRange(text)
		if err != nil {
			d.invalid(d.resolve(n), err)
		}
		return r, err == nil
	}}
}

// newest is a number of tags, or a mapping that also says what they go by.
func newest() kind[tags.Newest] {
	either := schema{"anyOf": []schema{number(1).schema, newestForm().schema()}}
	return kind[tags.Newest]{either, (*decoder).newest}
}

func (d *decoder) newest(n *yaml.Node, what string) (tags.Newest, bool) {
	target := d.resolve(n)
	if target.Kind != yaml.MappingNode {
		count, ok := d.integer(target, what, 1)
		return tags.Newest{Count: count}, ok
	}
	var into tags.Newest
	keys, ok := decodeMapping(d, target, newestForm(), &into)
	if ok && !keys.has("count") {
		d.suggest(target, "as `newest: {count: 5, by: created}`", "%s needs `count`", what)
	}
	return into, ok
}
