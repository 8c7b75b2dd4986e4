package mirror

import (
	"fmt"

	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

// CollisionError is a tag that two different images are to be written to.
type CollisionError struct {
	Destination reference.Reference
	// Source is the image that is refused.
	Source reference.Reference
	// First is the one that is written, for the entry of that name.
	First reference.Reference
	Entry string
}

func (e *CollisionError) Error() string {
	return fmt.Sprintf("%s is not written to %s, which is written from %s already (entry %s)",
		e.Source.Familiar(), e.Destination.Familiar(), e.First.Familiar(), e.Entry)
}

// claims remember which image each tag is written from. Only those destinations are
// remembered that more than one source may write to; the others cost no memory.
type claims struct {
	shared map[string]bool // by the repository's name
	all    bool
	taken  map[reference.Reference]claim
}

type claim struct {
	source    reference.Reference
	platforms string
	entry     string
}

// newClaims finds the destinations that several sources of a configuration share.
func newClaims(cfg *config.Config) *claims {
	c := &claims{shared: map[string]bool{}, taken: map[reference.Reference]claim{}}
	seen := map[string]bool{}
	for _, e := range cfg.Entries {
		for _, from := range e.Sources {
			for _, to := range e.Destinations {
				name, fixed := repositoryOf(to, from.Reference)
				c.all = c.all || !fixed
				c.shared[name] = c.shared[name] || seen[name]
				seen[name] = true
			}
		}
	}
	return c
}

// repositoryOf is the repository that a destination means for a source, and whether it is
// the same one for all tags.
func repositoryOf(to config.Destination, from reference.Reference) (string, bool) {
	one, err := to.Reference(from.WithTag("a"))
	if err != nil {
		return "", false
	}
	other, err := to.Reference(from.WithTag("b"))
	return one.Name(), err == nil && one.Name() == other.Name()
}

// take claims a destination for an image. Again means that the same image is written there
// already; an error, a [CollisionError], that another one is.
func (c *claims) take(target reference.Reference, entry *config.Entry, image reference.Reference) (again bool, err error) {
	if target.Tag == "" || !c.all && !c.shared[target.Name()] {
		return false, nil
	}
	// A tag that comes with a digest is still one tag.
	tag := target.WithTag(target.Tag)
	now := claim{source: image, platforms: config.PlatformKey(entry.Platforms), entry: entry.Name}
	before, claimed := c.taken[tag]
	switch {
	case !claimed:
		c.taken[tag] = now
		return false, nil
	case before.source == now.source && before.platforms == now.platforms:
		return true, nil
	default:
		return false, &CollisionError{Destination: tag, Source: image, First: before.source, Entry: before.entry}
	}
}
