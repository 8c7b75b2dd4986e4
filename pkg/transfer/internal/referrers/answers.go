package referrers

import (
	"context"
	"errors"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/internal/manifests"
)

// answers are what registries have answered in a run.
type answers struct {
	manifests *manifests.Cache
	running   *sync.WaitGroup
	tags      flight.Memo[nameAt, content.Descriptor] // zero: no such tag
	apis      flight.Memo[nameAt, apiAnswer]          // by subject
	first     flight.Locks[string]                    // the first question to the API of a registry

	mu       sync.Mutex
	answered map[string]bool // registries whose API has answered
}

// nameAt is a tag or a digest at a place.
type nameAt struct {
	at   content.Location
	name string
}

// tagAt returns what a tag names; zero if it is not there.
func (a *answers) tagAt(ctx context.Context, at content.Source, tag string) (content.Descriptor, error) {
	return a.tag(ctx, at, tag, at.Resolve)
}

// wantedTagAt is tagAt for a manifest of the source that will be read. If the source can do both
// in one request, it reads the manifest, too.
func (a *answers) wantedTagAt(ctx context.Context, at content.Source, tag string) (content.Descriptor, error) {
	fetcher, ok := at.(content.TagFetcher)
	if !ok {
		return a.tagAt(ctx, at, tag)
	}
	return a.tag(ctx, at, tag, func(ctx context.Context, tag string) (content.Descriptor, error) {
		d, raw, err := fetcher.FetchTag(ctx, tag)
		if err == nil {
			a.manifests.Keep(at.Location(), d, raw)
		}
		return d, err
	})
}

func (a *answers) tag(ctx context.Context, at content.Source, tag string, look func(context.Context, string) (content.Descriptor, error)) (content.Descriptor, error) {
	d, _, err := a.tags.Do(ctx, a.running, nameAt{at.Location(), tag}, func(ctx context.Context) (content.Descriptor, error) {
		d, err := look(ctx, tag)
		if errors.Is(err, content.ErrNotFound) {
			return content.Descriptor{}, nil
		}
		return d, err
	})
	return d, err
}

// apiAnswer is what the referrers API of a registry answers about a subject.
type apiAnswer struct {
	served  bool // there is an API
	listed  []content.Descriptor
	invalid *content.InvalidNamesError // nil if all entries are valid
}

// api asks the referrers API about a subject.
func (a *answers) api(ctx context.Context, at content.Source, subject digest.Digest) (apiAnswer, error) {
	lister, ok := at.(content.ReferrersLister)
	if !ok {
		return apiAnswer{}, nil
	}
	answer, _, err := a.apis.Do(ctx, a.running, nameAt{at.Location(), subject.String()}, func(ctx context.Context) (apiAnswer, error) {
		done, err := a.firstAt(ctx, at.Location().Registry)
		if err != nil {
			return apiAnswer{}, err
		}
		defer done()
		listed, err := lister.Referrers(ctx, subject)
		invalid, err := content.SplitInvalidNames(err)
		switch {
		case refused(err):
			return apiAnswer{}, nil
		case len(listed) > maxReferrers:
			return apiAnswer{}, tooMany()
		}
		return apiAnswer{served: err == nil, listed: listed, invalid: invalid}, err
	})
	return answer, err
}

// firstAt makes requests to a referrers API wait until the registry has answered one, so that a
// registry without the API gets one request, not one for each image. The caller calls done
// after the answer.
func (a *answers) firstAt(ctx context.Context, registry string) (done func(), err error) {
	answered := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.answered[registry]
	}
	if answered() {
		return func() {}, nil
	}
	unlock, err := a.first.Lock(ctx, registry)
	if err != nil {
		return nil, err
	}
	return func() {
		a.mu.Lock()
		a.answered[registry] = true
		a.mu.Unlock()
		unlock()
	}, nil
}
