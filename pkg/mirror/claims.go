package mirror

import (
	"slices"

	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

// claims say which image each tag is written from: of those that would be, the first in
// the order of the configuration, however the run goes. Only tags in repositories that
// several sources may write to are remembered; the others cost no memory.
type claims struct {
	writers map[string][]*feed // by the repository's name
	wild    []*feed            // those that write to repositories not known yet
	taken   map[reference.Reference]claim
}

// claim is one image at one destination of its entry.
type claim struct {
	feed  *feed
	image int
	to    int
}

func (c claim) source() reference.Reference { return c.feed.image(c.image) }

func newClaims() *claims {
	return &claims{writers: map[string][]*feed{}, taken: map[reference.Reference]claim{}}
}

// enrol notes where a feed may write to.
func (c *claims) enrol(f *feed) {
	f.writes = spreads(f.entry, f.source)
	for _, s := range f.writes {
		switch {
		case s.name == "":
		case s.pattern != nil && !slices.Contains(c.wild, f):
			c.wild = append(c.wild, f)
		case s.pattern == nil && !slices.Contains(c.writers[s.name], f):
			c.writers[s.name] = append(c.writers[s.name], f)
		}
	}
}

// withdraw forgets a pattern of repositories: its matches are enrolled in its place.
func (c *claims) withdraw(f *feed) {
	gone := func(other *feed) bool { return other == f }
	c.wild = slices.DeleteFunc(c.wild, gone)
	for _, s := range f.writes {
		c.writers[s.name] = slices.DeleteFunc(c.writers[s.name], gone)
	}
}

// rivals are the other feeds that may write to what a spread means.
func (c *claims) rivals(f *feed, s spread) func(yield func(*feed) bool) {
	return func(yield func(*feed) bool) {
		if s.pattern == nil {
			for _, other := range c.writers[s.name] {
				if other != f && !yield(other) {
					return
				}
			}
		} else {
			for _, others := range c.writers {
				for _, other := range others {
					if other != f && meetsAny(s, other.writes) && !yield(other) {
						return
					}
				}
			}
		}
		for _, other := range c.wild {
			if other != f && meetsAny(s, other.writes) && !yield(other) {
				return
			}
		}
	}
}

func meetsAny(s spread, others []spread) bool { return slices.ContainsFunc(others, s.meets) }

// waits reports whether a feed that comes before f in the configuration may still claim
// what f writes to.
func (c *claims) waits(f *feed) bool {
	for _, s := range f.writes {
		for other := range c.rivals(f, s) {
			if other.state < stateReady && other.before(f) {
				return true
			}
		}
	}
	return false
}

// contested reports whether tags in what a spread of f means may be written twice: by
// another feed, or by another destination of the same entry.
func (c *claims) contested(f *feed, s spread) bool {
	own := 0
	for _, other := range f.writes {
		if s.meets(other) {
			own++
		}
	}
	for range c.rivals(f, s) {
		return true
	}
	return own > 1
}

// stake claims what f writes to and nobody before it does.
func (c *claims) stake(f *feed) {
	contested := make([]bool, len(f.writes))
	for to, s := range f.writes {
		contested[to] = s.pattern != nil || c.contested(f, s)
	}
	if !slices.Contains(contested, true) {
		return
	}
	for i := range f.images() {
		for to, destination := range f.entry.Destinations {
			if !contested[to] {
				continue
			}
			target, err := destination.Reference(f.image(i))
			if err != nil || target.Tag == "" {
				continue
			}
			if _, claimed := c.taken[tagOf(target)]; !claimed {
				c.taken[tagOf(target)] = claim{f, i, to}
				f.staked = true
			}
		}
	}
}

// check reports whether an image may be written to a target. Again means that the same
// image is written there already; an error, a [CollisionError], that another one is.
func (c *claims) check(now claim, target reference.Reference) (again bool, err error) {
	first, claimed := c.taken[tagOf(target)]
	switch {
	case target.Tag == "" || !claimed || first == now:
		return false, nil
	case first.source() == now.source() && samePlatforms(first.feed.entry, now.feed.entry):
		return true, nil
	default:
		return false, &CollisionError{
			Destination: tagOf(target), Source: now.source(), First: first.source(), Entry: first.feed.entry.Name,
		}
	}
}

func samePlatforms(a, b *config.Entry) bool {
	return config.PlatformKey(a.Platforms) == config.PlatformKey(b.Platforms)
}

// tagOf is the tag that a reference names: one that comes with a digest is still one tag.
func tagOf(target reference.Reference) reference.Reference { return target.WithTag(target.Tag) }
