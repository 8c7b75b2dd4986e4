package config

import (
	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/tags"
)

func tagsKeys() fields[tags.Block] {
	return fields[tags.Block]{
		"include": func(d *decoder, n *yaml.Node, into *tags.Block) { into.Include = d.patterns(n, "`include`") },
		"exclude": func(d *decoder, n *yaml.Node, into *tags.Block) { into.Exclude = d.patterns(n, "`exclude`") },
	}
}

func tagsLater() []string { return []string{"semver", "variants", "newest", "age"} }

// tags reads the value of `tags`.
func (d *decoder) tags(n *yaml.Node) tags.Selector {
	target := d.resolve(n)
	switch target.Kind {
	case yaml.SequenceNode:
		if len(target.Content) > 0 && target.Content[0].Kind == yaml.MappingNode {
			d.fail(target, "a list of `tags` blocks is not supported yet")
			return nil
		}
		d.suggest(target, "write `tags: {include: […]}`", "`tags` must be a mapping, not a list")
		return nil
	case yaml.ScalarNode:
		d.suggest(target, "write `tags: {include: […]}`", "`tags` must be a mapping, not %s", kindOf(target))
		return nil
	}
	var block tags.Block
	present, ok := decodeMapping(d, target, "`tags`", tagsKeys(), tagsLater(), &block)
	if ok && len(target.Content) == 0 {
		d.suggest(target, "leave `tags` out to take all tags", "`tags` is empty")
	}
	if !ok || len(present) == 0 {
		return nil
	}
	return tags.Selector{block}
}

func (d *decoder) patterns(n *yaml.Node, what string) []tags.Pattern {
	elements := d.list(n, what, true)
	patterns := make([]tags.Pattern, 0, len(elements))
	for _, e := range elements {
		text, ok := d.text(e, "a pattern of "+what)
		if !ok {
			continue
		}
		p, err := tags.ParsePattern(text)
		if err != nil {
			d.invalid(d.resolve(e), err)
			continue
		}
		patterns = append(patterns, p)
	}
	return patterns
}
