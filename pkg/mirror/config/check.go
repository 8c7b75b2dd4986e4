package config

import (
	"fmt"
	"iter"
	"strings"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// checkDestinations tries an entry's destinations on its sources, with made-up tags where
// the tags are not known yet.
func (d *decoder) checkDestinations(in draft) {
	for _, to := range in.to {
		for _, from := range in.from {
			if d.visit(to.node); d.exhausted() {
				return
			}
			d.checkDestination(to, from)
		}
	}
}

func (d *decoder) checkDestination(to Destination, from Source) {
	image := from.Reference
	if from.IsRepository() {
		image = image.WithTag("a")
	}
	one, err := to.Reference(image)
	if err != nil {
		d.invalid(to.node, err)
		return
	}
	if !from.IsRepository() {
		return
	}
	if other, err := to.Reference(image.WithTag("b")); err == nil && one == other {
		d.suggest(to.node, "leave the tag out, or make it with `{{.Tag}}`",
			"every tag of %s would be written to %s", from.Reference.FamiliarName(), one.Familiar())
	}
}

// image is what is written to one tag, as far as the files alone tell.
type image struct {
	source    reference.Reference
	platforms string
	at        Position
}

// checkCollisions finds tags that two entries write differently. Only tags that the files
// name can be compared here; those that are listed are compared when they are known.
func checkCollisions(entries []Entry, found *problems) {
	written := map[reference.Reference]image{}
	for _, e := range entries {
		platforms := PlatformKey(e.Platforms)
		for from, src := range e.named() {
			for _, to := range e.Destinations {
				target, err := to.Reference(from)
				if err != nil || target.Tag == "" {
					continue
				}
				now := image{from, platforms, src.Position}
				before, again := written[target]
				switch {
				case !again:
					written[target] = now
				case before.source != now.source || before.platforms != now.platforms:
					found.add(src.src, src.Position, fmt.Sprintf(
						"%s is written twice: from %s here, and from %s at %s",
						target.Familiar(), now.unlike(before), before.unlike(now), before.at), "")
				}
			}
		}
	}
}

// unlike names the image so that it is told from another one.
func (i image) unlike(other image) string {
	switch i.platforms {
	case other.platforms:
		return i.source.Familiar()
	case "":
		return i.source.Familiar() + " (all platforms)"
	default:
		return i.source.Familiar() + " (" + i.platforms + ")"
	}
}

// named yields the images of an entry that need no listing to be known.
func (e *Entry) named() iter.Seq2[reference.Reference, Source] {
	return func(yield func(reference.Reference, Source) bool) {
		literals, _ := e.Tags.Literals()
		for _, s := range e.Sources {
			if !s.IsRepository() {
				if !yield(s.Reference, s) {
					return
				}
				continue
			}
			for _, tag := range literals {
				if !yield(s.Reference.WithTag(tag), s) {
					return
				}
			}
		}
	}
}

// PlatformKey names a selection of platforms, so that equal ones are recognised.
func PlatformKey(platforms []content.Platform) string {
	names := make([]string, len(platforms))
	for i, p := range platforms {
		names[i] = content.FormatPlatform(p)
	}
	return strings.Join(names, ",")
}
