package tags

import "slices"

// Range is a range of versions, as ">=1.25 <2". [ParseRange] makes one.
type Range struct {
	text         string
	alternatives []alternative
}

// alternative is what stands between two `||`: an interval with holes.
type alternative struct {
	interval
	not []interval
	// prereleases are taken, because one is named.
	prereleases bool
}

// interval is the versions from a bound on, up to another one.
type interval struct{ from, to bound }

// bound is a place between versions: before its version, or behind it.
type bound struct {
	version Version
	behind  bool
}

// everything is all versions.
func everything() interval {
	return interval{bound{version: Version{pre: lowest()}}, bound{version: after(nil)}}
}

// String is the range as it was written.
func (r *Range) String() string { return r.text }

// Match reports whether a version is in the range. Its suffix does not matter. A
// pre-release is in it only where the range names one (>=1.2-rc.1, >=1.2-0).
func (r *Range) Match(v Version) bool {
	return r.spans(v) && (!v.IsPrerelease() || slices.ContainsFunc(r.alternatives, func(a alternative) bool {
		return a.prereleases && a.spans(v)
	}))
}

// spans is Match for those to whom pre-releases are as good as others.
func (r *Range) spans(v Version) bool {
	return slices.ContainsFunc(r.alternatives, func(a alternative) bool { return a.spans(v) })
}

// Empty reports that no version can be in the range, as in ">=2 <1".
func (r *Range) Empty() bool {
	return !slices.ContainsFunc(r.alternatives, func(a alternative) bool { return !a.empty() })
}

func (a alternative) spans(v Version) bool {
	return a.interval.spans(v) && !slices.ContainsFunc(a.not, func(hole interval) bool { return hole.spans(v) })
}

// empty sees an interval without an inside, and one hole over all of it.
func (a alternative) empty() bool {
	return a.from.compare(a.to) >= 0 || slices.ContainsFunc(a.not, func(hole interval) bool {
		return hole.from.compare(a.from) <= 0 && hole.to.compare(a.to) >= 0
	})
}

func (i interval) spans(v Version) bool { return i.from.isBefore(v) && !i.to.isBefore(v) }

// and is what both intervals have.
func (i interval) and(j interval) interval {
	if j.from.compare(i.from) > 0 {
		i.from = j.from
	}
	if j.to.compare(i.to) < 0 {
		i.to = j.to
	}
	return i
}

// isBefore reports whether the bound is on the lower side of a version.
func (b bound) isBefore(v Version) bool {
	c := b.version.comparePlain(v)
	return c < 0 || c == 0 && !b.behind
}

func (b bound) compare(c bound) int {
	if order := b.version.comparePlain(c.version); order != 0 || b.behind == c.behind {
		return order
	}
	if b.behind {
		return 1
	}
	return -1
}
