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
	"github.com/regsync/regsync/pkg/transfer/internal/manifests"
)

const (
	// maxNames is the most tags of a repository that are resolved one by one; for more, the repository is listed.
	maxNames = 12
	// maxKeptList is how large a list of the referrers API is, in bytes, that is kept until the end of the run.
	maxKeptList = 64 << 10
	// pageTags is the smallest page of a tag listing in most registries.
	pageTags = 100
)

// suffixes are the suffixes of the tags that belong to a digest: none for the list of referrers, and
// cosign's for signatures, attestations and SBOMs (cosign, "Signature Specification", "Storage").
var suffixes = []string{"", ".sig", ".att", ".sbom"}

// kindOf says what a cosign tag holds.
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

// answers are what registries have answered in a run. Each request is made once.
type answers struct {
	Options
	listings flight.Memo[content.Location, names]
	tags     flight.Memo[nameAt, content.Descriptor] // zero: no such tag
	apis     flight.Memo[nameAt, apiAnswer]          // by subject
	first    flight.Locks[string]                    // the first request to the API of a registry

	answered sync.Map                           // registries whose API has answered
	tooLong  flight.Memo[content.Location, int] // the value of wanted at the last listing that was too long

	mu      sync.Mutex
	asked   map[content.Location]int // how many tags are, or would be, resolved one by one
	counted map[nameAt]bool          // the subjects that asked includes
}

// nameAt is a tag or a digest at a place.
type nameAt struct {
	at   content.Location
	name string
}

// absentOrRefused reports whether the place answered "not found", or refused the request.
func absentOrRefused(err error) bool {
	return errors.Is(err, content.ErrNotFound) || errors.Is(err, content.ErrUnauthorized) ||
		errors.Is(err, content.ErrDenied) || errors.Is(err, content.ErrUnsupported)
}

// tagAt returns what a tag names; zero if the tag does not exist. read: its manifest will be read, which it is
// at once if the place can do both in one request.
func (a *answers) tagAt(ctx context.Context, at content.Source, tag string, read bool) (content.Descriptor, error) {
	d, _, err := a.tags.Do(ctx, a.Running, nameAt{at.Location(), tag}, func(ctx context.Context) (d content.Descriptor, err error) {
		fetcher, ok := at.(content.TagFetcher)
		err = content.ErrCountsPulls
		if ok && read {
			var raw []byte
			if d, raw, err = fetcher.FetchTag(ctx, tag); err == nil {
				a.Manifests.Keep(at.Location(), d, raw)
			}
		}
		if errors.Is(err, content.ErrCountsPulls) {
			d, err = at.Resolve(ctx, tag)
		}
		if errors.Is(err, content.ErrNotFound) {
			return content.Descriptor{}, nil
		}
		return d, err
	})
	return d, err
}

// namedReader reads a manifest by its digest or, if the place does not find it by digest, by the tag that was
// resolved to it. The tag may be empty.
type namedReader struct {
	manifests.Reader
	at  content.Source
	tag string
}

func (a *answers) named(at content.Source, tag string) namedReader {
	return namedReader{a.Manifests.Reader(at), at, tag}
}

func (r namedReader) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	raw, err := r.Reader.FetchManifest(ctx, d)
	if tags, ok := r.at.(content.TagFetcher); ok && r.tag != "" && errors.Is(err, content.ErrNotFound) {
		if named, raw, err := tags.FetchTag(ctx, r.tag); err == nil && named.Digest == d.Digest {
			return raw, nil
		}
	}
	return raw, err
}

// apiAnswer is what the referrers API of a registry answers about a subject.
type apiAnswer struct {
	served  bool  // the registry has the API
	refused error // it does not let this account use the API
	listed  []content.Descriptor
	invalid *content.InvalidNamesError // nil if all entries are valid
}

// api requests the referrers of a subject from the referrers API, within a budget.
func (a *answers) api(ctx context.Context, at content.Source, subject digest.Digest, budget *content.Budget) (apiAnswer, error) {
	lister, ok := at.(content.ReferrersLister)
	if !ok {
		return apiAnswer{}, nil
	}
	if err := budget.CountList(subject, nil); err != nil { // it is used up
		return apiAnswer{}, err
	}
	answer, _, err := a.apis.Do(ctx, a.Running, nameAt{at.Location(), subject.String()}, func(ctx context.Context) (apiAnswer, error) {
		done, err := a.firstAt(ctx, at.Location().Registry)
		if err != nil {
			return apiAnswer{}, err
		}
		listed, err := lister.Referrers(ctx, subject)
		done(ctx.Err() == nil)
		invalid, err := content.SplitInvalidNames(err)
		switch {
		case errors.Is(err, content.ErrUnauthorized), errors.Is(err, content.ErrDenied):
			return apiAnswer{refused: err}, nil
		case absentOrRefused(err):
			return apiAnswer{}, nil
		case len(listed) > maxReferrers:
			return apiAnswer{}, tooMany()
		}
		return apiAnswer{served: err == nil, listed: listed, invalid: invalid}, err
	})
	if size, _ := content.ListSize(answer.listed); size > maxKeptList {
		a.apis.Forget(nameAt{at.Location(), subject.String()})
	}
	if err == nil {
		err = budget.CountList(subject, answer.listed)
	}
	if err != nil {
		return apiAnswer{}, err
	}
	return answer, nil
}

// firstAt makes requests to a referrers API wait until the registry has answered one, so that a registry without the API gets
// one request, not one for each image. The caller calls done after the answer.
func (a *answers) firstAt(ctx context.Context, registry string) (done func(answered bool), err error) {
	if _, known := a.answered.Load(registry); known {
		return func(bool) {}, nil
	}
	unlock, err := a.first.Lock(ctx, registry)
	if err != nil {
		return nil, err
	}
	if _, known := a.answered.Load(registry); known { // the answer came while this request waited
		unlock()
		return func(bool) {}, nil
	}
	return func(answered bool) {
		if answered {
			a.answered.Store(registry, true)
		}
		unlock()
	}, nil
}

// names are the tags of a repository that belong to digests: their suffixes, by [content.FallbackTag].
// They are nil if the repository was not listed.
type names map[string][]string

func (n names) add(tag string) {
	if !content.IsAttachedTag(tag) {
		return
	}
	name, suffix, dotted := strings.Cut(tag, ".")
	if dotted {
		suffix = "." + suffix
	}
	n[name] = append(n[name], suffix)
}

// of returns the suffixes of the tags that a subject has, or may have.
func (n names) of(s subject) []string {
	if n == nil && s.byName {
		return suffixes
	}
	return n[content.FallbackTag(s.digest)]
}

var (
	errNotListed = errors.New("there is no need to list the repository")
	errTooLong   = errors.New("the list of tags is too long")
)

// names returns the tags at a source, or nil if its repository was not listed. The repository is listed if
// more than maxNames tags would have to be resolved, or if there are platforms of an unchanged index, and the listing
// takes no more requests than resolving the tags, or those of one image. A local source is always listed.
func (a *answers) names(ctx context.Context, at content.Source, subjects ...subject) (names, error) {
	place := at.Location()
	if known, answered := a.listings.Find(place); answered {
		return known, nil
	}
	wanted := a.wanted(place, subjects)
	known, _, err := a.listings.Do(ctx, a.Running, place, func(ctx context.Context) (names, error) {
		found := names{}
		if a.AttachedTags != nil {
			if tags, listed := a.AttachedTags(place); listed {
				for _, tag := range tags {
					found.add(tag)
				}
				return found, nil
			}
		}
		lister, ok := at.(content.TagLister)
		if !ok {
			return nil, nil
		}
		if content.IsRereadable(at) {
			return found, found.list(ctx, lister, math.MaxInt)
		}
		few := wanted <= maxNames
		switch {
		case slices.ContainsFunc(subjects, subject.onlyListed):
			wanted = max(wanted, len(suffixes))
		case few:
			return nil, errNotListed
		}
		if before, _ := a.tooLong.Find(place); wanted <= 2*before {
			return nil, errNotListed
		}
		ability := "list " + place.Repository
		switch seen, _ := a.Abilities.Ability(place.Registry, ability); {
		case seen == "refused":
			return nil, nil
		case seen == "long" && few:
			return nil, errNotListed
		}
		err := found.list(ctx, lister, wanted*pageTags)
		switch {
		case err == nil:
			return found, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, errTooLong):
			a.tooLong.Keep(place, wanted)
			a.Abilities.KeepAbility(place.Registry, ability, "long")
			return nil, errNotListed
		case absentOrRefused(err):
			a.Abilities.KeepAbility(place.Registry, ability, "refused")
		}
		return nil, nil
	})
	if errors.Is(err, errNotListed) {
		err = nil
	}
	if err != nil { // a partial listing is not used
		known = nil
	}
	return known, err
}

// wanted counts the tags of a repository that would be resolved one by one, including those of other
// images that the run is known to copy.
func (a *answers) wanted(at content.Location, subjects []subject) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, s := range subjects {
		if key := (nameAt{at, s.digest.String()}); s.byName {
			n += len(suffixes)
			if !a.counted[key] { // several destinations share one request
				a.counted[key] = true
				a.asked[at] += len(suffixes)
			}
		}
	}
	if a.Images == nil {
		return a.asked[at]
	}
	return max(a.asked[at], n*a.Images(at))
}

// list adds the tags of a repository. It returns errTooLong if there are more than limit.
func (n names) list(ctx context.Context, lister content.TagLister, limit int) error {
	listed := 0
	for tag, err := range lister.Tags(ctx) {
		invalid, err := content.SplitInvalidNames(err)
		if err != nil {
			return err
		}
		if invalid != nil {
			break
		}
		if listed++; listed > limit {
			return errTooLong
		}
		n.add(tag)
	}
	return nil
}
