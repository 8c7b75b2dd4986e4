package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/mirror/tags"
)

// checkBlock finds what cannot be meant in a block of `tags` whose parts are right: rules
// that leave no tag, and rules that do nothing.
func (d *decoder) checkBlock(b tags.Block, keys pairs) {
	d.checkExcluded(b, keys)
	d.checkIncluded(b, keys)
	if b.CreatedWithin > 0 && b.OlderThan >= b.CreatedWithin {
		d.fail(keys["olderThan"].name, "no image is younger than `createdWithin` and `olderThan` that: no tag is left")
	}
	if b.Semver != nil && b.Semver.Empty() {
		d.fail(keys["semver"].node, "no version is in the range %s", quote.Word(d.resolve(keys["semver"].node).Value))
	}
	if keys.has("variants") && b.Semver == nil {
		d.suggest(keys["variants"].name, "add `semver`", "`variants` has no effect: it says what `semver` takes besides plain versions")
	}
	if !named(b) {
		return
	}
	for _, key := range []string{"semver", "newest", "createdWithin", "olderThan", "pushedWithin"} {
		if keys.has(key) {
			d.suggest(keys[key].name, "leave one of them out, or put the names in a block of their own",
				"`%s` has no effect: `include` has names only, which are always taken", key)
		}
	}
}

// checkIncluded finds inclusions that are never taken.
func (d *decoder) checkIncluded(b tags.Block, keys pairs) {
	for i, in := range b.Include {
		node := d.element(keys["include"].node, i)
		_, literal := in.Literal()
		switch {
		case literal && content.IsAttachedTag(in.String()):
			d.suggest(node, "`referrers` says which go along", "%s goes with its image, and is not selected", quote.Word(in.String()))
		case !literal && b.Semver != nil && !beginsVersion(in):
			d.suggest(node, "put it in a block of its own, or leave `semver` out",
				"%s matches no version, and `semver` takes only those", quote.Word(in.String()))
		}
	}
}

// beginsVersion reports whether a pattern may match a version. It says no only of globs whose
// first character is that of none.
func beginsVersion(p tags.Pattern) bool {
	return strings.ContainsAny(p.String()[:1], `v0123456789*?[\/`)
}

// named reports whether a block takes tags by their names only.
func named(b tags.Block) bool {
	_, all := tags.Selector{b}.Literals()
	return all
}

// checkExcluded finds inclusions that `exclude` takes away as a whole.
func (d *decoder) checkExcluded(b tags.Block, keys pairs) {
	for i, out := range b.Exclude {
		if takesEverything(out) {
			d.fail(d.element(keys["exclude"].node, i), "%s in `exclude` leaves no tag", quote.Word(out.String()))
			return
		}
	}
	for i, in := range b.Include {
		literal, isLiteral := in.Literal()
		for _, out := range b.Exclude {
			if out.String() == in.String() || isLiteral && out.Match(literal) || within(in, out) {
				d.fail(d.element(keys["include"].node, i), "%s is taken away by %s in `exclude`", quote.Word(in.String()), quote.Word(out.String()))
				break
			}
		}
	}
}

// within reports whether what a glob matches another one matches, too. It says yes only where
// that is certain: whatever stands for a `*` of the one, the other takes.
func within(in, out tags.Pattern) bool {
	glob := in.String()
	if !strings.Contains(glob, "*") || strings.ContainsAny(glob+out.String(), `/?[\`) {
		return false
	}
	return out.Match(strings.ReplaceAll(glob, "*", "")) && out.Match(strings.ReplaceAll(glob, "*", anything))
}

// anything is no part of a pattern, so that only a `*` matches it.
const anything = "\ue000"

// element is a node's element i, or itself where it is the only one.
func (d *decoder) element(n *yaml.Node, i int) *yaml.Node {
	n = d.resolve(n)
	if n.Kind == yaml.SequenceNode && i < len(n.Content) {
		return d.resolve(n.Content[i])
	}
	return n
}

// takesEverything recognises the patterns that people write for all tags.
func takesEverything(p tags.Pattern) bool {
	return slices.Contains([]string{"*", "**", "/.*/", "/^.*$/", "/.+/", "/^.+$/"}, p.String())
}

// takesAll reports whether a selection takes every tag, whatever there is.
func takesAll(s tags.Selector) bool {
	return len(s) == 0 || slices.ContainsFunc(s, func(b tags.Block) bool {
		return namesOnly(b) && len(b.Exclude) == 0 && (len(b.Include) == 0 || slices.ContainsFunc(b.Include, takesEverything))
	})
}

// namesOnly reports whether a block decides by the names of tags and nothing else.
func namesOnly(b tags.Block) bool {
	return b.Semver == nil && b.Newest.Count == 0 && b.CreatedWithin == 0 && b.OlderThan == 0 && b.PushedWithin == 0
}

// takes reports whether it is certain that a tag is selected where it exists.
func takes(s tags.Selector, tag string) bool {
	return len(s) == 0 || slices.ContainsFunc(s, func(b tags.Block) bool {
		if slices.ContainsFunc(b.Exclude, func(p tags.Pattern) bool { return p.Match(tag) }) {
			return false
		}
		literal := slices.ContainsFunc(b.Include, func(p tags.Pattern) bool { name, ok := p.Literal(); return ok && name == tag })
		matches := len(b.Include) == 0 || slices.ContainsFunc(b.Include, func(p tags.Pattern) bool { return p.Match(tag) })
		return literal || namesOnly(b) && matches
	})
}
