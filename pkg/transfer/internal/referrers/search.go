package referrers

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
)

// search is one Find.
type search struct {
	*Finder
	image  Image
	to     Destination
	policy Policy
	found  *Found
	seen   map[digest.Digest]bool
}

// subject is a manifest that others may be attached to.
type subject struct {
	digest digest.Digest
	api    bool // ask the referrers API
	byName bool // ask for its tags one by one if the source was not listed
}

func (s *search) warn(format string, args ...any) {
	s.found.Warnings = append(s.found.Warnings, fmt.Sprintf(format, args...))
}

// subjects returns the manifests of the image. An index that regsync wrote is none of them:
// nobody has signed it.
func (s *search) subjects(ctx context.Context) []subject {
	var round []subject
	add := func(d digest.Digest, byName bool) {
		if !s.seen[d] {
			s.seen[d] = true
			round = append(round, subject{digest: d, api: true, byName: byName})
		}
	}
	root := s.image.Descriptor
	if s.image.Index == "" || !content.IsIndex(root.MediaType) {
		add(root.Digest, true)
	}
	s.seen[root.Digest] = true
	switch {
	case s.image.Tree != nil:
		for m := range s.image.Tree.Manifests() {
			add(m.Descriptor.Digest, s.to.Lacks || s.policy.Thorough)
		}
	case content.IsIndex(root.MediaType):
		for _, child := range s.children(ctx) {
			add(child, s.policy.Thorough)
		}
	}
	return round
}

// children returns the manifests below an unchanged index: remembered, or read at the destination,
// because many sources count manifest reads.
func (s *search) children(ctx context.Context) []digest.Digest {
	index := s.image.Descriptor
	if below, known := s.memory.below(index.Digest); known {
		return below
	}
	below, err := readBelow(ctx, s.manifests.Reader(s.to.Target), index, maxDepth)
	if err != nil {
		if ctx.Err() == nil {
			s.warn("signatures and referrers of the platforms of %s were not looked for: %v", index.Digest, s.to.Failed(err))
		}
		return nil
	}
	s.memory.keepBelow(index.Digest, below)
	return below
}

// leaveBehind warns of referrers of the source's index, which do not fit a selection of its
// platforms. The API is not asked for them if the destination has the image.
func (s *search) leaveBehind(ctx context.Context) {
	if s.image.Index == "" {
		return
	}
	of := subject{digest: s.image.Index, api: true, byName: true}
	known := s.listings.names(ctx, s.image.Source, of)
	left := slices.ContainsFunc(known[of.digest], func(suffix string) bool { return suffix == "" || s.policy.wants(suffix) })
	if !left && s.to.Lacks {
		tagged, l, _ := s.atSource(ctx, known, of)
		left = len(tagged) > 0 || l != nil
	}
	if left {
		s.warn("signatures or referrers of the source's index %s do not fit a selection of its platforms: left behind", of.digest)
	}
}

// round searches one level of subjects and returns the next.
func (s *search) round(ctx context.Context, depth int, subjects []subject) []subject {
	known := s.listings.names(ctx, s.image.Source, subjects...)
	results := make([]attached, len(subjects))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, of := range subjects {
		group.Go(func() error {
			results[i] = s.attachedTo(ctx, known, of)
			return nil
		})
	}
	_ = group.Wait()
	var next []subject
	for i, a := range results {
		s.found.Failures = append(s.found.Failures, a.failures...)
		s.found.Kept = append(s.found.Kept, a.kept...)
		for _, r := range a.missing {
			r.depth = depth
			s.found.Missing = append(s.found.Missing, r)
		}
		if a.invalid != nil {
			s.warn("referrers of the source: %v", a.invalid)
		}
		for _, r := range a.all {
			s.found.All = append(s.found.All, r.Descriptor)
		}
		if len(s.found.All) > maxReferrers {
			s.found.Failures = append(s.found.Failures, notKnown(subjects[i].digest, s.image.Failed(tooMany())))
			return nil
		}
		for _, d := range a.digests() {
			if !s.seen[d] {
				s.seen[d] = true
				ask := s.to.Lacks || slices.ContainsFunc(a.missing, func(r *Referrer) bool { return r.Descriptor.Digest == d })
				next = append(next, subject{digest: d, api: ask, byName: ask})
			}
		}
	}
	return next
}
