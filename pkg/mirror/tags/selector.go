package tags

import (
	"fmt"
	"strings"
	"time"
)

// Selector selects what any of its blocks does; nil selects all tags.
type Selector []Block

// Block is one block of `tags`: what Include, Semver and the ages all take, less what
// Exclude names, and of that the Newest. A tag that Include names literally is taken past
// Semver, ages and Newest, and takes none of the Newest's places.
type Block struct {
	// Include takes what any of them matches; empty takes all.
	Include []Pattern
	// Exclude takes away what any of them matches.
	Exclude []Pattern
	// Semver takes versions in this range; nil takes all tags.
	Semver *Range
	// Variants are suffixes ("alpine*", see [ParseSuffix]) that Semver takes besides plain
	// versions; without Semver, they stand beside the range "*".
	Variants []Pattern
	Newest   Newest
	// CreatedWithin and OlderThan go by the time that the image's configuration states,
	// PushedWithin by when the registry says that the tag was pushed. Zero is no limit.
	CreatedWithin, OlderThan, PushedWithin time.Duration
}

// Newest takes the last few, counted for each variant ([Version.Variant]), and for days
// (20240115) apart. By version, what is no version is not taken; without Semver, pre-releases
// are only where a variant has nothing else. By creation, an image that states no time is the
// oldest.
type Newest struct {
	// Count is how many; zero takes all.
	Count int
	By    Order
}

// Order is what newest goes by.
type Order string

// The orders.
const (
	ByVersion Order = "version"
	ByCreated Order = "created"
)

// Literals are the tags that are included by name, in the file's order and each once. They
// are wanted whether or not a listing has them. The second result reports whether they are
// all there is, so that nothing has to be listed.
func (s Selector) Literals() ([]string, bool) {
	var names []string
	all, seen := len(s) > 0, map[string]bool{}
	for _, b := range s {
		all = all && len(b.Include) > 0
		for _, p := range b.Include {
			name, literal := p.Literal()
			switch {
			case !literal:
				all = false
			case !seen[name] && !matchAny(b.Exclude, name):
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names, all
}

// Explicit reports whether every block says which tags to take, be it all of them.
func (s Selector) Explicit() bool {
	for _, b := range s {
		if len(b.Include) == 0 {
			return false
		}
	}
	return len(s) > 0
}

// String names the rules: "include 1.* 2.*, exclude *-rc". Of many patterns it shows the
// first.
func (s Selector) String() string {
	if len(s) == 0 {
		return "all"
	}
	texts := make([]string, len(s))
	for i, b := range s {
		texts[i] = b.String()
	}
	return strings.Join(texts, "; or ")
}

// String names the rules of one block.
func (b Block) String() string {
	var parts []string
	for _, list := range []struct {
		name     string
		patterns []Pattern
	}{{"include", b.Include}, {"variants", b.Variants}, {"exclude", b.Exclude}} {
		if len(list.patterns) > 0 {
			parts = append(parts, list.name+" "+shown(list.patterns))
		}
	}
	if b.Semver != nil {
		parts = append(parts, "semver "+b.Semver.String())
	}
	for _, age := range []struct {
		name  string
		limit time.Duration
	}{{"createdWithin", b.CreatedWithin}, {"olderThan", b.OlderThan}, {"pushedWithin", b.PushedWithin}} {
		if age.limit > 0 {
			parts = append(parts, age.name+" "+days(age.limit))
		}
	}
	if b.Newest.Count > 0 {
		parts = append(parts, "the "+b.Newest.String())
	}
	return strings.Join(parts, ", ")
}

// shown are the first few of a list.
func shown(patterns []Pattern) string {
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
