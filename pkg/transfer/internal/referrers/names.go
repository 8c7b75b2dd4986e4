package referrers

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
)

// maxNames is how many tags of a repository are asked for one by one before it is listed.
const maxNames = 12

// pageTags is how many tags a page of a listing has at least, in most registries.
const pageTags = 100

// suffixes are the ends of the tags that belong to a digest: none for the list of referrers, and
// cosign's for signatures, attestations and SBOMs (cosign, "Signature Specification", "Storage").
var suffixes = []string{"", ".sig", ".att", ".sbom"}

// kindOf is what a tag of cosign's holds.
func kindOf(tag string) string {
	switch _, suffix, _ := strings.Cut(tag, "."); suffix {
	case "att":
		return "attestation"
	case "sbom":
		return "SBOM"
	default:
		return "signature"
	}
}

// typeOf is the artifact type that stands for cosign's tags with a suffix: the one that cosign
// gives to the same thing as a referrer.
func typeOf(suffix string) string {
	return "application/vnd.dev.cosign.artifact" + suffix + ".v1+json"
}

func (p Policy) takes(artifactType string) bool {
	return len(p.Types) == 0 || slices.Contains(p.Types, artifactType)
}

// taken returns the entries that go along.
func (p Policy) taken(entries []content.Descriptor) []content.Descriptor {
	return slices.DeleteFunc(slices.Clone(entries), func(d content.Descriptor) bool { return !p.takes(d.ArtifactType) })
}

// wants reports whether cosign's tags with a suffix go along.
func (p Policy) wants(suffix string) bool {
	return suffix != "" && slices.Contains(suffixes, suffix) && p.takes(typeOf(suffix))
}

// names are the tags of a repository that belong to digests, by the digest, each without the
// digest. They are nil if the repository was not listed.
type names map[digest.Digest][]string

func (n names) add(tag string) {
	if !content.IsAttachedTag(tag) {
		return
	}
	name, suffix, dotted := strings.Cut(tag, ".")
	if dotted {
		suffix = "." + suffix
	}
	algorithm, encoded, _ := strings.Cut(name, "-")
	subject := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), encoded)
	n[subject] = append(n[subject], suffix)
}

// of returns the suffixes of the tags that a subject has, or may have.
func (n names) of(s subject) []string {
	switch {
	case n != nil:
		return n[s.digest]
	case s.byName:
		return suffixes
	default:
		return nil
	}
}

// listings lists repositories of sources, each once.
type listings struct {
	options Options
	memory  memory
	lists   flight.Memo[content.Location, names]

	mu    sync.Mutex
	asked map[content.Location]int // names that were asked for one by one
}

// names returns the tags at a source if its repository was or is listed. It is listed if that
// takes fewer requests than to ask for the tags of the subjects one by one.
func (l *listings) names(ctx context.Context, at content.Source, subjects ...subject) names {
	place := at.Location()
	wanted := l.wanted(place, subjects)
	known, _, _ := l.lists.Do(ctx, l.options.Running, place, func(ctx context.Context) (names, error) {
		if l.options.AttachedTags != nil {
			if tags, listed := l.options.AttachedTags(place); listed {
				found := names{}
				for _, tag := range tags {
					found.add(tag)
				}
				return found, nil
			}
		}
		lister, ok := at.(content.TagLister)
		switch local, _ := at.(content.Rereader); {
		case !ok:
			return nil, nil
		case local != nil && local.Rereadable():
			return listTags(ctx, lister, math.MaxInt)
		case wanted <= maxNames:
			return nil, errNotListed
		}
		ability := "list " + place.Repository
		if can, known := l.memory.ability(place.Registry, ability); known && !can {
			return nil, nil
		}
		found, err := listTags(ctx, lister, wanted*pageTags)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if refused(err) || errors.Is(err, errTooLong) {
			l.memory.keepAbility(place.Registry, ability, false)
		}
		return found, nil
	})
	return known
}

var (
	errNotListed = errors.New("there is no need to list the repository")
	errTooLong   = errors.New("the list of tags is too long")
)

// wanted counts the tags of a repository that are asked for one by one, with those of other
// images that the run is known to copy.
func (l *listings) wanted(at content.Location, subjects []subject) int {
	n := 0
	for _, s := range subjects {
		if s.byName {
			n += len(suffixes)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked[at] += n
	all := l.asked[at]
	if l.options.Images != nil && n > 0 {
		all = max(all, n*l.options.Images(at))
	}
	return all
}

// listTags lists the tags of a repository that belong to digests. It is an errTooLong if there are more
// than limit tags.
func listTags(ctx context.Context, lister content.TagLister, limit int) (names, error) {
	found, listed := names{}, 0
	for tag, err := range lister.Tags(ctx) {
		invalid, err := content.SplitInvalidNames(err)
		if err != nil {
			return nil, err
		}
		if invalid != nil {
			break
		}
		if listed++; listed > limit {
			return nil, errTooLong
		}
		found.add(tag)
	}
	return found, nil
}

// refused reports whether a place answered that it does not serve a request. In a repository whose
// image was read with the same login that means that there is no such tag.
func refused(err error) bool {
	return errors.Is(err, content.ErrNotFound) || errors.Is(err, content.ErrUnauthorized) ||
		errors.Is(err, content.ErrDenied) || errors.Is(err, content.ErrUnsupported)
}
