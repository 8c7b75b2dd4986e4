package mirror

import (
	"context"
	"fmt"
	"strings"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

// belongingImages is how many images are asked for, to find the one that a tag belongs to.
const belongingImages = 20

// belongs reports whether a concern is about a tag that belongs to an image, as that of a
// signature does, and that the entry does not name itself.
func (c concern) belongs() bool {
	return content.IsAttachedTag(c.image.Tag) && c.image != c.source.Reference
}

// belonging says why an entry does not take such a tag by itself, and which image it goes
// with, where that is one of those that the entry names: nothing is listed for it.
func (e *explaining) belonging(ctx context.Context, c concern) string {
	if !c.entry.Referrers.Bring {
		return "it belongs to an image, and the entry brings no signatures or other referrers"
	}
	for _, image := range namedImages(c.entry, c.source) {
		d := image.Digest
		if d == "" {
			d = e.look(ctx, image).Digest
		}
		if d != "" && strings.HasPrefix(c.image.Tag, content.FallbackTag(d)) {
			return fmt.Sprintf("it belongs to %s, and goes with it", image.Familiar())
		}
	}
	return "it belongs to an image, and goes with it"
}

// namedImages are the first images of a source that an entry names.
func namedImages(entry *config.Entry, source config.Source) []reference.Reference {
	if !source.IsRepository() {
		return []reference.Reference{source.Reference}
	}
	names, _ := entry.Tags.Literals()
	var images []reference.Reference
	for _, name := range names[:min(len(names), belongingImages)] {
		images = append(images, source.Reference.WithTag(name))
	}
	return images
}

// belongingTo is where a tag that belongs to an image of a source is written to: beside that
// image, under its own name.
func belongingTo(entry *config.Entry, source config.Source, tag string) []reference.Reference {
	image := source.Reference
	if source.IsRepository() {
		image = image.WithTag(tag)
	}
	var to []reference.Reference
	for _, destination := range entry.Destinations {
		if target, err := destination.Reference(image); err == nil {
			to = append(to, target.WithTag(tag))
		}
	}
	return to
}
