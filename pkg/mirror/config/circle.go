package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/config/internal/document"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// maxSteps bounds the search for circles; no configuration of a person comes near it.
const maxSteps = 200_000

// circles looks for images that come back to where they were taken.
type circles struct {
	from  map[reference.Reference][]*flow // by the repository that they take from
	steps int
}

// step is one flow on the way of an image, and what it writes.
type step struct {
	*flow
	wrote image
}

// checkCircles finds images that are copied onto themselves, directly or through others:
// entries have no order, so nobody knows which of them wins. A flow that does not overwrite,
// or only by newer images, closes no circle. Each circle is told once.
func checkCircles(flows []*flow, found *document.Problems) {
	c := circles{from: map[reference.Reference][]*flow{}}
	for _, f := range flows {
		if f.overwrites() {
			repository := f.from.sample().WithoutIdentifier()
			c.from[repository] = append(c.from[repository], f)
		}
	}
	told := map[Position]bool{}
	for _, f := range flows {
		if !f.overwrites() || told[f.from.Position] {
			continue
		}
		start, way := c.find(f)
		for _, s := range way {
			told[s.from.Position] = true
		}
		if len(way) > 0 {
			found.Add(f.from.src, f.from.Position, circle(start, way), "")
		}
	}
}

func (f *flow) overwrites() bool {
	return !f.entry.doubt["overwrite"] && (f.entry.Overwrite == "" || f.entry.Overwrite == transfer.OverwriteAlways)
}

// find gives the first circle that begins with a flow, and the image that it begins with.
func (c *circles) find(f *flow) (image, []step) {
	for i := range f.examples() {
		wrote, ok := f.writes(i)
		if !ok || i.Digest != "" {
			continue
		}
		if wrote == i && (len(f.entry.Platforms) > 0 || f.entry.OmitAttestations) {
			continue // parts of the image are taken out, in place
		}
		if way := c.back(i, []step{{f, wrote}}, map[image]bool{wrote: true}); way != nil {
			return i, way
		}
	}
	return image{}, nil
}

// back follows the last step of a way until it comes back to the image that it began with
// or to what else the first flow takes: then each run adds tags of tags, or copies of copies.
func (c *circles) back(start image, way []step, seen map[image]bool) []step {
	last := way[len(way)-1].wrote
	repository := last.WithoutIdentifier()
	if last == start || start.origin != stated && way[0].reads(repository) && way[0].takes(last) {
		return way
	}
	for _, next := range c.from[repository] {
		if c.steps++; c.steps > maxSteps {
			return nil
		}
		wrote, ok := next.writes(last)
		if !ok || seen[wrote] || !next.takes(last) {
			continue
		}
		seen[wrote] = true
		if found := c.back(start, append(slices.Clip(way), step{next, wrote}), seen); found != nil {
			return found
		}
	}
	return nil
}

func circle(start image, way []step) string {
	if len(way) == 1 && way[0].wrote == start {
		return fmt.Sprintf("%s is copied onto itself", start)
	}
	names, others := []string{start.String()}, []string{}
	for i, s := range way {
		names = append(names, s.wrote.String())
		if i > 0 {
			others = append(others, s.from.Position.String())
		}
	}
	message := "a circle: " + strings.Join(names, " → ")
	if len(others) > 0 {
		message += ", with " + strings.Join(others, ", ")
	}
	return message
}
