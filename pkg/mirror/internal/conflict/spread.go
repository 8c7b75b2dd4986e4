package conflict

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
)

// Wild replaces a part of a name that is not known yet, in the name of a repository or in a tag.
const Wild = "made-up-name"

// spread is the set of repositories to which a writer may write at one destination: a single repository or, as long
// as a part of its name is not known, all that match. The zero spread is empty.
type spread struct {
	name string
	// repositories is nil if the name is known.
	repositories *regexp.Regexp
	tag          string
}

func (w *Writer) spread(to Destination) spread {
	image := w.Source
	if image.Identifier() == "" {
		image = image.WithTag(Wild)
	}
	target, err := to.Reference(image)
	if err != nil {
		return spread{}
	}
	s := spread{name: target.Name(), tag: target.Tag}
	if strings.Contains(s.name, Wild) {
		s.repositories = wildRegexp(s.name)
	}
	return s
}

func wildRegexp(name string) *regexp.Regexp {
	return regexp.MustCompile(`\A` + strings.ReplaceAll(regexp.QuoteMeta(name), Wild, "(.*)") + `\z`)
}

// meets reports whether both may contain the same repository. It returns true for two patterns.
func (s spread) meets(other spread) bool {
	switch {
	case s.name == "" || other.name == "":
		return false
	case s.repositories != nil && other.repositories != nil:
		return true
	case s.repositories != nil:
		return s.repositories.MatchString(other.name)
	case other.repositories != nil:
		return other.repositories.MatchString(s.name)
	default:
		return s.name == other.name
	}
}

// Origin returns the image that a writer would write to a target, and whether it may select that image. The image
// is zero if its name does not follow from the target's.
func (w *Writer) Origin(target reference.Reference) (origin reference.Reference, may bool) {
	for i, s := range w.spreads {
		if !s.meets(spread{name: target.Name()}) {
			continue
		}
		image := w.Source
		if image.Identifier() == "" {
			parts := wildRegexp(s.name + ":" + s.tag).FindStringSubmatch(target.Name() + ":" + target.Tag)
			if parts == nil {
				continue
			}
			image = fill(image, parts[1:])
		}
		to, err := w.Entry.Destinations[i].Reference(image)
		switch exact := err == nil && SameTag(to, target); {
		case !exact && w.Source.Identifier() == "":
			return reference.Reference{}, true
		case exact && (w.Source.Identifier() != "" || mayTake(w.Entry.Tags, image.Tag)):
			return image, true
		case exact:
			origin = image
		}
	}
	return origin, false
}

// Writes reports whether a writer may write to the repository of a reference.
func (w *Writer) Writes(to reference.Reference) bool {
	return slices.ContainsFunc(w.spreads, spread{name: to.Name()}.meets)
}

// fill replaces the wild parts of a reference, in order. It returns zero if the numbers of parts differ.
func fill(ref reference.Reference, parts []string) reference.Reference {
	if strings.Count(ref.Repository, Wild)+1 != len(parts) {
		return reference.Reference{}
	}
	for _, part := range parts[:len(parts)-1] {
		ref.Repository = strings.Replace(ref.Repository, Wild, part, 1)
	}
	return ref.WithTag(parts[len(parts)-1])
}

// SameTag reports whether both name the same tag, or without one the same digest.
func SameTag(a, b reference.Reference) bool {
	if a.Tag == "" || b.Tag == "" {
		return a == b
	}
	return a.WithTag(a.Tag) == b.WithTag(b.Tag)
}

// mayTake reports whether a tag may be selected if it exists. Ages and the other tags of the repository are not
// known.
func mayTake(selector tags.Selector, tag string) bool {
	byName := make(tags.Selector, len(selector))
	for i, b := range selector {
		b.Newest, b.CreatedWithin, b.OlderThan, b.PushedWithin = tags.Newest{}, 0, 0, 0
		byName[i] = b
	}
	choice, err := byName.Choose(context.Background(), []string{tag}, nil, time.Time{})
	return err != nil || slices.Contains(choice.Selected(), tag)
}
