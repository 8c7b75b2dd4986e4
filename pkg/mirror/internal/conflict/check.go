package conflict

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
)

// Stated is a source as the configuration states it.
type Stated struct {
	Writer
	// Matches reports whether a pattern of repositories means one; nil where one is named.
	Matches func(repository reference.Reference) bool
	// Position is where the source is written, for messages.
	Position string
	// AnyPlatforms: there is a mistake in the platforms, so that they are not known.
	AnyPlatforms bool
	// InPart: images are not copied whole, so that one may be copied onto itself.
	InPart bool
	// Overwrites: a tag that is at the destination is replaced, be it newer or not.
	Overwrites bool
}

// Problem is a mistake that can be found without a request.
type Problem struct {
	// Source is the index of the source with the mistake.
	Source  int
	Message string
}

// Check finds tags that are certain to be written twice, differently, and images that are copied onto themselves. The
// sources are in the order of the configuration.
func Check(sources []*Stated) []Problem {
	table := NewTable()
	made := map[string]string{} // the made-up tag of each selection
	for _, s := range sources {
		table.Register(&s.Writer)
		if s.Source.Identifier() != "" {
			continue
		}
		var named bool
		if s.tags, named = s.Entry.Tags.Literals(); named {
			continue
		}
		rules := rulesOf(s.Entry.Tags)
		if made[rules] == "" {
			made[rules] = fmt.Sprintf("made-up-tag-%d", len(made))
		}
		s.tags, s.madeUp = append(s.tags, made[rules]), true
	}
	c := cycles{from: map[reference.Reference][]flow{}, reported: map[*Stated]bool{}}
	var problems []Problem
	for i, s := range sources {
		table.Claim(&s.Writer, s.tags)
		for to := range s.Entry.Destinations {
			for image := range s.images() {
				if message := table.contradiction(sources, claim{&s.Writer, image, to}); message != "" {
					problems = append(problems, Problem{i, message})
				}
			}
			if s.Overwrites {
				at := s.Source.WithoutIdentifier()
				c.from[at] = append(c.from[at], flow{s, to})
			}
		}
	}
	for i, s := range sources {
		for to := range s.Entry.Destinations {
			if message := c.find(flow{s, to}); message != "" {
				problems = append(problems, Problem{i, message})
			}
		}
	}
	return problems
}

// contradiction describes a tag that another writer is certain to write differently. If two whole repositories are
// copied to one, tags with the same name overwrite each other.
func (t *Table) contradiction(sources []*Stated, now claim) string {
	target, ok := now.writer.target(now.image, now.to)
	before, taken := t.taken[target]
	if !ok || !taken || before == now || now.sameImage(before) {
		return ""
	}
	stated := func(c claim) *Stated {
		at, _ := slices.BinarySearchFunc(sources, c.writer, func(s *Stated, w *Writer) int { return byOrder(&s.Writer, w) })
		return sources[at]
	}
	one, other := stated(now), stated(before)
	image, otherImage := now.source(), before.source()
	switch whole := one.whole() && other.whole(); {
	case image == otherImage && (one.AnyPlatforms || other.AnyPlatforms), image != otherImage && image.origin == probed && !whole:
		return ""
	case image != otherImage && image.origin == probed:
		return fmt.Sprintf("%s and %s (%s) both write all of their tags to %s: tags with the same name would overwrite each other",
			image, otherImage, other.Position, target)
	default:
		return fmt.Sprintf("%s is written twice: from %s here, and from %s at %s",
			target, now.nameBeside(before), before.nameBeside(now), other.Position)
	}
}

// whole reports whether all tags of one repository are selected.
func (s *Stated) whole() bool { return takesAll(s.Entry.Tags) && s.Matches == nil }

// nameBeside names the image, with its platforms if the other one has different ones.
func (c claim) nameBeside(other claim) string {
	switch platforms := c.writer.Entry.platforms; platforms {
	case other.writer.Entry.platforms:
		return c.source().String()
	case "":
		return c.source().String() + " (all platforms)"
	default:
		return c.source().String() + " (" + platforms + ")"
	}
}

// origin is the source of an image.
type origin int

const (
	stated  origin = iota // by the configuration, or listed
	sampled               // made up to match a glob: v* has vmade-up-name
	probed                // made up, for everything that a selection selects
)

// String returns the name of an image for messages, without made-up parts.
func (i Image) String() string {
	switch i.origin {
	case sampled:
		return strings.ReplaceAll(i.Familiar(), Wild, "*")
	case probed:
		return strings.ReplaceAll(i.FamiliarName(), Wild, "*")
	default:
		return i.Familiar()
	}
}

// flow is what one source writes to one of its destinations.
type flow struct {
	*Stated
	to int
}

// examples yields the images of the source, then made-up tags, one for each glob, that it would certainly select.
func (f flow) examples() iter.Seq[Image] {
	return func(yield func(Image) bool) {
		for i := range f.images() {
			if !yield(f.image(i)) {
				return
			}
		}
		if f.Source.Identifier() != "" {
			return
		}
		for _, block := range f.Entry.Tags {
			for _, p := range block.Include {
				glob := p.String()
				if !strings.Contains(glob, "*") || strings.ContainsAny(glob, `/?[\`) {
					continue
				}
				tag := strings.ReplaceAll(glob, "*", Wild)
				if takes(f.Entry.Tags, tag) && !yield(Image{f.Source.WithTag(tag), sampled}) {
					return
				}
			}
		}
	}
}

// takes reports whether the flow certainly selects an image of its repository.
func (f flow) takes(i Image) bool {
	switch {
	case f.Source.Identifier() != "":
		return i.origin == stated && f.Source == i.Reference
	case i.origin == probed:
		return takesAll(f.Entry.Tags) || f.madeUp && f.tags[len(f.tags)-1] == i.Tag
	default:
		return takes(f.Entry.Tags, i.Tag)
	}
}

// reads reports whether the flow reads a repository: its own, or one that matches its pattern.
func (f flow) reads(repository reference.Reference) bool {
	if f.Matches != nil {
		return f.Matches(repository)
	}
	return f.Source.WithoutIdentifier() == repository
}

func (f flow) writes(i Image) (Image, bool) {
	to, err := f.Entry.Destinations[f.to].Reference(i.Reference)
	return Image{to.WithTag(to.Tag), i.origin}, err == nil && to.Tag != ""
}

// maxSteps bounds the search for cycles; no real configuration needs as many steps.
const maxSteps = 200_000

// cycles finds images that are copied onto themselves, directly or through others: entries run in no particular
// order, so it is not known which of them wins. Each cycle is reported once.
type cycles struct {
	from     map[reference.Reference][]flow // by the repository that they read
	reported map[*Stated]bool
	steps    int
}

// step is one flow on the path of an image, and what it writes.
type step struct {
	flow
	wrote Image
}

// find describes the first cycle that begins with a flow.
func (c *cycles) find(f flow) string {
	if !f.Overwrites || c.reported[f.Stated] {
		return ""
	}
	for i := range f.examples() {
		wrote, ok := f.writes(i)
		if !ok || i.Digest != "" || wrote == i && f.InPart {
			continue
		}
		if path := c.follow(i, []step{{f, wrote}}, map[Image]bool{wrote: true}); path != nil {
			return c.message(i, path)
		}
	}
	return ""
}

// follow continues a path until it reaches the image that it began with, or another one that the first flow selects:
// then each run would add tags of tags, or copies of copies. It returns nil if there is no such path.
func (c *cycles) follow(start Image, path []step, seen map[Image]bool) []step {
	last := path[len(path)-1].wrote
	repository := last.WithoutIdentifier()
	if last == start || start.origin != stated && path[0].reads(repository) && path[0].takes(last) {
		return path
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
		if found := c.follow(start, append(slices.Clip(path), step{next, wrote}), seen); found != nil {
			return found
		}
	}
	return nil
}

// message describes a cycle, and marks it as reported.
func (c *cycles) message(start Image, path []step) string {
	names, others := []string{start.String()}, []string{}
	for i, s := range path {
		c.reported[s.Stated] = true
		names = append(names, s.wrote.String())
		if i > 0 {
			others = append(others, s.Position)
		}
	}
	switch {
	case len(path) == 1 && path[0].wrote == start:
		return fmt.Sprintf("%s is copied onto itself", start)
	case len(others) == 0:
		return "cycle: " + strings.Join(names, " → ")
	default:
		return "cycle: " + strings.Join(names, " → ") + "; see also " + strings.Join(others, ", ")
	}
}

// rulesOf returns a key that is equal for equal selections.
func rulesOf(s tags.Selector) string {
	if takesAll(s) {
		return "all"
	}
	var b strings.Builder
	for _, block := range s {
		fmt.Fprintf(&b, "%q %q %v %q %+v %d %d %d\n", block.Include, block.Exclude, block.Semver, block.Variants,
			block.Newest, block.CreatedWithin, block.OlderThan, block.PushedWithin)
	}
	return b.String()
}

// takesAll reports whether a selection selects every tag.
func takesAll(s tags.Selector) bool {
	return len(s) == 0 || slices.ContainsFunc(s, func(b tags.Block) bool {
		return namesOnly(b) && len(b.Exclude) == 0 && (len(b.Include) == 0 || slices.ContainsFunc(b.Include, tags.Pattern.MatchesAll))
	})
}

// namesOnly reports whether a block uses only the names of tags.
func namesOnly(b tags.Block) bool {
	return b.Semver == nil && b.Newest.Count == 0 && b.CreatedWithin == 0 && b.OlderThan == 0 && b.PushedWithin == 0
}

// takes reports whether a tag is certainly selected if it exists.
func takes(s tags.Selector, tag string) bool {
	match := func(p tags.Pattern) bool { return p.Match(tag) }
	return len(s) == 0 || slices.ContainsFunc(s, func(b tags.Block) bool {
		literal := slices.ContainsFunc(b.Include, func(p tags.Pattern) bool { name, ok := p.Literal(); return ok && name == tag })
		return !slices.ContainsFunc(b.Exclude, match) &&
			(literal || namesOnly(b) && (len(b.Include) == 0 || slices.ContainsFunc(b.Include, match)))
	})
}
