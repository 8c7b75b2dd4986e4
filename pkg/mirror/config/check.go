package config

import (
	"errors"
	"slices"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
)

// checkRename gives each destination the rename that holds for it. One that states a tag
// needs none: that is a mistake where the two are said for each other, and no mistake where
// the rename is shared by several entries.
func (d *decoder) checkRename(s *settings, from []Source) {
	image := reference.Reference{Transport: reference.Registry, Registry: reference.DockerHub, Repository: "library/" + sampleName}
	if len(from) > 0 {
		image = from[0].sample()
	}
	s.to = slices.Clone(s.to)
	for i := range s.to {
		s.to[i].rename = s.rename
		if s.rename == nil || !s.to[i].statesTag(image) {
			continue
		}
		s.to[i].rename = nil
		if s.keys.said("rename") {
			d.suggest(s.rename.node, "leave one of them out", "`rename` has no effect: the destination %s has a tag of its own", quote.Word(s.to[i].node.Value))
		}
	}
}

// checkDestinations tries an entry's destinations on its sources, with made-up tags where
// the tags are not known yet.
func (d *decoder) checkDestinations(in draft) {
	for _, to := range in.to {
		for _, from := range in.from {
			if d.visit(to.node); d.exhausted() {
				return
			}
			if !d.checkDestination(to, from, in) {
				break // the others would say the same again
			}
		}
	}
}

// checkDestination reports whether a destination is one for a source.
func (d *decoder) checkDestination(to Destination, from Source, in draft) bool {
	image := from.sample()
	if from.IsRepository() {
		image = image.WithTag("a")
	}
	one, err := to.Reference(image)
	if err != nil {
		at := to.node
		if _, renamed := errors.AsType[*renameError](err); renamed {
			at = to.rename.node
		}
		d.invalid(at, err)
		return false
	}
	return d.keepsRepositories(to, from, one) && (in.doubt["tags"] || onlyOne(in.tags) || d.keepsTags(to, from, image, one))
}

// keepsRepositories reports whether the repositories of a pattern stay apart at a
// destination; one of them is written to one.
func (d *decoder) keepsRepositories(to Destination, from Source, one reference.Reference) bool {
	if from.Glob == "" {
		return true
	}
	other, err := to.Reference(from.filled("other-" + sampleName).WithTag("a"))
	if err != nil || one != other {
		return true
	}
	d.suggest(to.node, "put `{{.Repository}}` or `{{.Base}}` in it",
		"every repository of %s would be written to %s", from, image{one, probed})
	return false
}

// keepsTags reports whether the tags of a repository stay apart at a destination; tag is
// one of them, which is written to one.
func (d *decoder) keepsTags(to Destination, from Source, tag, one reference.Reference) bool {
	if !from.IsRepository() {
		return true
	}
	other, err := to.Reference(tag.WithTag("b"))
	if err != nil || one != other {
		return true
	}
	if to.rename != nil {
		d.suggest(to.rename.node, "put `{{.Tag}}` in it", "`rename` gives every tag of %s the same name: %s", from, one.Tag)
	} else {
		d.suggest(to.node, "leave the tag out, or make it with `{{.Tag}}`",
			"every tag of %s would be written to %s", from, image{one, sampled})
	}
	return false
}

// onlyOne reports whether a selection never takes more than one tag of a repository: a
// single name, or the newest version in a range.
func onlyOne(selected tags.Selector) bool {
	literals, all := selected.Literals()
	if all {
		return len(literals) <= 1
	}
	return len(selected) == 1 && len(literals) == 0 && selected[0].Newest.Count == 1 &&
		selected[0].Semver != nil && len(selected[0].Variants) == 0
}
