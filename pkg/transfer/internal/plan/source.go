package plan

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/internal/manifests"
)

// Source is the source of an image, which its destinations share: its tag is resolved once.
type Source struct {
	content.Source
	Manifests manifests.Reader
	// Pulls are those that reads of manifests take from a quota; nil if pulls are not counted.
	Pulls *limit.Pulls

	ref         reference.Reference
	known       *content.Descriptor // what ref was resolved to before; nil if it was not
	cache       *manifests.Cache
	running     *sync.WaitGroup
	resolutions *flight.Memo[digest.Digest, resolution] // by the outdated digest
	reads       *flight.Memo[digest.Digest, error]      // the answers that confirmGone gets, by the outdated digest
}

// resolution is the answer of the source about its tag. Errors are kept, too: one request serves all destinations.
type resolution struct {
	descriptor content.Descriptor
	err        error
}

// NewSource creates the source of an image. known is what ref was resolved to a moment ago; if nil, Resolve sends a request.
func NewSource(r *Run, source content.Source, ref reference.Reference, known *content.Descriptor) *Source {
	return &Source{
		Source: source, Manifests: r.Manifests.Reader(source), ref: ref, known: known, cache: r.Manifests, running: r.Running,
		resolutions: &flight.Memo[digest.Digest, resolution]{}, reads: &flight.Memo[digest.Digest, error]{},
	}
}

// Metered is s with a view of its place whose reads take from pulls. Both share what they resolve and read.
func (s *Source) Metered(view content.Source, pulls *limit.Pulls) *Source {
	metered := *s
	metered.Source, metered.Manifests, metered.Pulls = view, s.cache.Reader(view), pulls
	return &metered
}

// Resolve resolves the tag, or the digest. outdated is the digest that an earlier plan resolved
// and that the source no longer has; empty the first time. read: the manifest will be read.
func (s *Source) Resolve(ctx context.Context, outdated digest.Digest, read bool) (content.Descriptor, error) {
	if s.known != nil && outdated == "" {
		return *s.known, nil
	}
	r, _, err := s.resolutions.Do(ctx, s.running, outdated, func(ctx context.Context) (resolution, error) {
		d, err := s.resolveOrRead(ctx, outdated, read)
		return resolution{d, cmp.Or(err, content.CheckDescriptor(d))}, context.Cause(ctx)
	})
	return r.descriptor, cmp.Or(err, r.err)
}

// resolveOrRead resolves the tag, or reads the manifest by the tag. A source that counts pulls is read by
// tag only after a digest was not found, so that tags with the same digest share one read.
func (s *Source) resolveOrRead(ctx context.Context, outdated digest.Digest, read bool) (content.Descriptor, error) {
	fetcher, ok := s.Source.(content.TagFetcher)
	if !ok || !read || s.ref.Digest != "" || fetcher.CountsPulls() && outdated == "" {
		return s.Source.Resolve(ctx, s.ref.Identifier())
	}
	d, raw, err := fetcher.FetchTag(ctx, s.ref.Tag)
	if errors.Is(err, content.ErrCountsPulls) {
		return s.Source.Resolve(ctx, s.ref.Identifier())
	}
	if err == nil {
		s.cache.Keep(s.Location(), d, raw)
	}
	return d, err
}

// confirmGone reports whether the source itself says that it no longer has what Resolve did not find; if not, err is what is
// known instead. The answer to HEAD has no error document, so the manifest is read by GET once. A source that is no
// registry, and so answers without an HTTP status, needs no confirmation.
func (s *Source) confirmGone(ctx context.Context, outdated digest.Digest, notFound error) (gone bool, err error) {
	if answer := content.AnswerOf(notFound); answer.Status == 0 || saysGone(answer) {
		return true, nil
	}
	read, _, err := s.reads.Do(ctx, s.running, outdated, func(ctx context.Context) (read, ended error) {
		if tags, ok := s.Source.(content.TagFetcher); ok && s.ref.Digest == "" {
			_, _, read = tags.FetchTag(ctx, s.ref.Tag)
		} else {
			_, read = s.FetchManifest(ctx, content.Descriptor{Digest: s.ref.Digest})
		}
		return read, context.Cause(ctx)
	})
	switch {
	case err != nil:
		return false, err
	case read == nil, errors.Is(read, content.ErrCountsPulls):
		return false, notFound
	default:
		return errors.Is(read, content.ErrNotFound) && saysGone(content.AnswerOf(read)), read
	}
}

// saysGone reports whether an answer is a registry's, and not that of a proxy before it.
func saysGone(answer content.Answer) bool {
	return slices.Contains([]string{"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"}, answer.Code)
}

// Forget forgets a failed resolution, so that the source is resolved again.
func (s *Source) Forget() {
	if r, known := s.resolutions.Find(""); known && r.err != nil {
		s.resolutions.Forget("")
		s.reads.Forget("")
	}
}
