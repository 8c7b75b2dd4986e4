package config

import (
	"fmt"

	"github.com/regsync/regsync/pkg/mirror/config/internal/document"
)

// claim is what is written to one tag.
type claim struct {
	*flow
	image image
}

// checkCollisions finds tags that are written twice, differently. Only what the files alone
// tell can be compared here; tags that are listed are compared when they are known.
func checkCollisions(flows []*flow, found *document.Problems) {
	written := map[image]claim{}
	for _, f := range flows {
		for i := range f.images() {
			target, ok := f.writes(i)
			if !ok {
				continue
			}
			now := claim{f, i}
			before, again := written[target]
			if !again {
				written[target] = now
			} else if now.contradicts(before) {
				found.Add(f.from.src, f.from.Position, collision(target, now, before), "")
			}
		}
	}
}

// contradicts reports whether two claims to one tag are certain to be different images. Two
// repositories of which all tags are taken are: what both have would be lost.
func (c claim) contradicts(other claim) bool {
	if c.image == other.image {
		known := !c.entry.doubt["platforms"] && !other.entry.doubt["platforms"]
		return known && c.platforms() != other.platforms()
	}
	return c.image.origin == stated || c.all && other.all && c.from.Glob == "" && other.from.Glob == ""
}

func (c claim) platforms() string { return PlatformKey(c.entry.Platforms) }

func collision(target image, now, before claim) string {
	if target.origin != stated && now.image != before.image {
		return fmt.Sprintf("all tags of %s are written to %s, as those of %s at %s: a tag that both have would be lost",
			now.image, target, before.image, before.from.Position)
	}
	return fmt.Sprintf("%s is written twice: from %s here, and from %s at %s",
		target, now.unlike(before), before.unlike(now), before.from.Position)
}

// unlike names the image so that it is told from another one.
func (c claim) unlike(other claim) string {
	switch c.platforms() {
	case other.platforms():
		return c.image.String()
	case "":
		return c.image.String() + " (all platforms)"
	default:
		return c.image.String() + " (" + c.platforms() + ")"
	}
}
