package config

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
)

// flow is what one source of an entry writes to one of its destinations, as far as the files
// alone tell.
type flow struct {
	entry *Entry
	from  Source
	to    Destination
	// all: every tag of the source is taken, whatever there is.
	all bool
	// probe is a made-up tag that stands for what is taken besides literal names; flows
	// that select by the same rules have the same one. Empty where there is no more.
	probe string
}

// flowsOf gives the flows of entries in their order, without those whose tags are not
// known, because of a mistake.
func flowsOf(entries []Entry) []*flow {
	var flows []*flow
	probes := map[string]string{}
	for i := range entries {
		e := &entries[i]
		if e.doubt["tags"] || e.doubt["rename"] {
			continue
		}
		probe := ""
		if _, named := e.Tags.Literals(); !named {
			rules := rulesOf(e.Tags)
			if probes[rules] == "" {
				probes[rules] = fmt.Sprintf("made-up-tag-%d", len(probes))
			}
			probe = probes[rules]
		}
		for _, from := range e.Sources {
			for _, to := range e.Destinations {
				f := &flow{entry: e, from: from, to: to}
				if from.IsRepository() {
					f.all, f.probe = takesAll(e.Tags), probe
				}
				flows = append(flows, f)
			}
		}
	}
	return flows
}

// rulesOf names a selection so that equal ones are recognised.
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

// images yields what the flow is certain to take: the images that are named, then one that
// stands for those which a listing gives.
func (f *flow) images() iter.Seq[image] {
	return func(yield func(image) bool) {
		if !f.from.IsRepository() {
			yield(image{Reference: f.from.Reference})
			return
		}
		repository := f.from.sample()
		literals, _ := f.entry.Tags.Literals()
		for _, tag := range literals {
			if !yield(image{Reference: repository.WithTag(tag)}) {
				return
			}
		}
		if f.probe != "" {
			yield(image{repository.WithTag(f.probe), probed})
		}
	}
}

// examples yields images, then samples.
func (f *flow) examples() iter.Seq[image] {
	return func(yield func(image) bool) {
		for i := range f.images() {
			if !yield(i) {
				return
			}
		}
		f.samples()(yield)
	}
}

// samples yields made-up tags, one for each glob, that the flow takes for certain if they
// are there. Unlike a probe, they can be compared with the globs of other flows.
func (f *flow) samples() iter.Seq[image] {
	return func(yield func(image) bool) {
		if !f.from.IsRepository() {
			return
		}
		repository := f.from.sample()
		for _, block := range f.entry.Tags {
			for _, p := range block.Include {
				if tag, ok := sampleOf(p); ok && takes(f.entry.Tags, tag) && !yield(image{repository.WithTag(tag), sampled}) {
					return
				}
			}
		}
	}
}

// takes reports whether it is certain that the flow takes an image of its repository.
func (f *flow) takes(i image) bool {
	switch {
	case !f.from.IsRepository():
		return i.origin == stated && f.from.Reference == i.Reference
	case i.origin == probed:
		return f.all || f.probe == i.Tag
	default:
		return takes(f.entry.Tags, i.Tag)
	}
}

// reads reports whether the flow takes from a repository, its own or one that its pattern
// finds.
func (f *flow) reads(repository reference.Reference) bool {
	if f.from.Glob == "" {
		return f.from.Reference.WithoutIdentifier() == repository
	}
	return f.from.Reference.Registry == repository.Registry && repository.IsRegistry() && f.from.Matches(repository.Repository)
}

// writes gives the tag that an image is written to; none where it is written by its digest,
// or nowhere.
func (f *flow) writes(i image) (image, bool) {
	to, err := f.to.Reference(i.Reference)
	if err != nil || to.Tag == "" {
		return image{}, false
	}
	return image{to.WithTag(to.Tag), i.origin}, true
}

// PlatformKey names a selection of platforms, so that equal ones are recognised, in whichever
// order they stand.
func PlatformKey(platforms []content.Platform) string {
	names := make([]string, len(platforms))
	for i, p := range platforms {
		names[i] = content.FormatPlatform(p)
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}
