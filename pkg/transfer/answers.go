package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
)

// answers caches what registries answered about attachments in a run. Tags that share a digest
// share the answers.
type answers struct {
	listings  flight.Memo[content.Location, attachedTags]
	tags      flight.Memo[nameAt, content.Descriptor] // zero: not there
	referrers flight.Memo[nameAt, referrersAnswer]    // by subject
	// serving serialises the first question to each registry, and served has those that
	// have answered it.
	serving keyedLock[string]
	mu      sync.Mutex
	served  map[string]bool
}

// nameAt is a tag or a digest at a place.
type nameAt struct {
	at   content.Location
	name string
}

// attachedTags are those tags of a repository that belong to images, by the digest they
// are named after: for each the rest of the tag, such as ".sig"; empty for a list of
// referrers.
type attachedTags map[digest.Digest][]string

func (t attachedTags) add(tag string) {
	if !content.IsAttachedTag(tag) {
		return
	}
	name, suffix, dotted := strings.Cut(tag, ".")
	if dotted {
		suffix = "." + suffix
	}
	algorithm, encoded, _ := strings.Cut(name, "-")
	subject := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), encoded)
	t[subject] = append(t[subject], suffix)
}

// attachedTags are the tags of a repository that belong to images, listed once in a run. A
// place that cannot list has none.
func (e *Engine) attachedTags(ctx context.Context, at content.Source) (attachedTags, error) {
	lister, ok := at.(content.TagLister)
	if !ok {
		return nil, nil
	}
	tags, _, err := e.answers.listings.Do(ctx, &e.running, at.Location(), func(ctx context.Context) (attachedTags, error) {
		found := attachedTags{}
		if e.options.AttachedTags != nil {
			if tags, listed := e.options.AttachedTags(at.Location()); listed {
				for _, tag := range tags {
					found.add(tag)
				}
				return found, nil
			}
		}
		for tag, err := range lister.Tags(ctx) {
			if errors.Is(err, content.ErrUnsupported) || errors.Is(err, content.ErrNotFound) || onlyInvalidNames(err) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("list tags for signatures: %w", err)
			}
			found.add(tag)
		}
		return found, nil
	})
	return tags, err
}

// onlyInvalidNames reports whether a listing is complete except for invalid tags.
func onlyInvalidNames(err error) bool {
	invalid, _ := content.SplitInvalidNames(err)
	return invalid != nil
}

// tagAt is what a tag points at; zero where it is not there.
func (e *Engine) tagAt(ctx context.Context, at content.Source, tag string) (content.Descriptor, error) {
	d, _, err := e.answers.tags.Do(ctx, &e.running, nameAt{at.Location(), tag}, func(ctx context.Context) (content.Descriptor, error) {
		d, err := at.Resolve(ctx, tag)
		if errors.Is(err, content.ErrNotFound) {
			return content.Descriptor{}, nil
		}
		return d, err
	})
	return d, err
}

// wantedTagAt is tagAt for a manifest of the source that will be read anyway. If the source can
// do both in one request, it reads the manifest, too.
func (e *Engine) wantedTagAt(ctx context.Context, source content.Source, tag string) (content.Descriptor, error) {
	fetcher, ok := source.(content.TagFetcher)
	if !ok {
		return e.tagAt(ctx, source, tag)
	}
	at := source.Location()
	d, _, err := e.answers.tags.Do(ctx, &e.running, nameAt{at, tag}, func(ctx context.Context) (content.Descriptor, error) {
		d, raw, err := fetcher.FetchTag(ctx, tag)
		if errors.Is(err, content.ErrNotFound) {
			return content.Descriptor{}, nil
		}
		if err == nil {
			e.manifests.keep(manifestKey{at, idOf(d)}, raw)
		}
		return d, err
	})
	return d, err
}

// referrersAnswer is the referrers of a subject, by the API.
type referrersAnswer struct {
	served  bool // there is an API
	listed  []content.Descriptor
	invalid *content.InvalidNamesError // nil if all entries are valid
}

// referrersAt asks for the referrers of a subject by the API.
func (e *Engine) referrersAt(ctx context.Context, at content.Source, subject digest.Digest) (referrersAnswer, error) {
	lister, ok := at.(content.ReferrersLister)
	if !ok {
		return referrersAnswer{}, nil
	}
	answer, _, err := e.answers.referrers.Do(ctx, &e.running, nameAt{at.Location(), subject.String()}, func(ctx context.Context) (referrersAnswer, error) {
		done, err := e.answers.first(ctx, at.Location().Registry)
		if err != nil {
			return referrersAnswer{}, err
		}
		defer done()
		listed, err := lister.Referrers(ctx, subject)
		invalid, err := content.SplitInvalidNames(err)
		switch {
		case errors.Is(err, content.ErrUnsupported), errors.Is(err, content.ErrNotFound):
			return referrersAnswer{}, nil
		case len(listed) > attachmentCount:
			return referrersAnswer{}, tooManyAttached()
		}
		return referrersAnswer{served: err == nil, listed: listed, invalid: invalid}, err
	})
	return answer, err
}

// first makes requests to a referrers API wait until the registry has answered one, so that a
// registry without the API gets one request, not one for each image. The caller calls done
// after the answer.
func (a *answers) first(ctx context.Context, registry string) (done func(), err error) {
	known := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.served[registry]
	}
	if known() {
		return func() {}, nil
	}
	unlock, err := a.serving.lock(ctx, registry)
	if err != nil {
		return nil, err
	}
	if known() {
		unlock()
		return func() {}, nil
	}
	return func() {
		defer unlock()
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.served == nil {
			a.served = map[string]bool{}
		}
		a.served[registry] = true
	}, nil
}
