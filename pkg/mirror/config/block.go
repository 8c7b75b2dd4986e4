package config

import (
	"slices"

	"github.com/regsync/regsync/pkg/mirror/tags"
)

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
