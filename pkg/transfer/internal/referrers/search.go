package referrers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// search is the state of one call of [Finder.Find].
type search struct {
	*answers
	refusals *refusals
	image    Image
	to       Destination
	policy   Policy
	budget   *content.Budget // of the image and its referrers
	found    Found
	seen     map[digest.Digest]bool
	reading  sync.WaitGroup // of missing referrers
}

// subject is a manifest that may have referrers.
type subject struct {
	digest digest.Digest
	api    bool // ask the referrers API
	byName bool // resolve its tags one by one if the source is not listed
}

// onlyListed reports whether the tags of a subject are found in a listing only: it is a platform of an unchanged index.
func (s subject) onlyListed() bool { return s.api && !s.byName }

// warnIncomplete warns of something that was not searched for.
func (s *search) warnIncomplete(w warning.Warning) {
	s.found.Incomplete = true
	s.found.Warnings = append(s.found.Warnings, w)
}

// add adds a subject to a round unless its referrers were searched for already.
func (s *search) add(round []subject, of subject) []subject {
	if s.seen[of.digest] {
		return round
	}
	s.seen[of.digest] = true
	return append(round, of)
}

// subjects returns the manifests of the image. An index that regsync has rewritten is not among them: the
// source has no referrers of it.
func (s *search) subjects(ctx context.Context) (round []subject) {
	root := s.image.Descriptor
	if s.image.Index == "" || !content.IsIndex(root.MediaType) {
		round = s.add(round, subject{root.Digest, true, true})
	}
	s.seen[root.Digest] = true
	for _, child := range s.children(ctx) {
		round = s.add(round, subject{child, true, s.to.Lacks || s.policy.Thorough})
	}
	return round
}

// children returns the manifests below the image. Those of an unchanged index are remembered, or
// read at the destination, because many sources count manifest reads.
func (s *search) children(ctx context.Context) (below []digest.Digest) {
	index := s.image.Descriptor
	if s.image.Tree != nil {
		for m := range s.image.Tree.Manifests() {
			below = append(below, m.Descriptor.Digest)
		}
		return below
	}
	if !content.IsIndex(index.MediaType) {
		return nil
	}
	below, known := s.Children.Children(index.Digest)
	if known {
		return below
	}
	if target, ok := s.to.Target.(content.TagFetcher); ok && target.CountsPulls() {
		s.warnIncomplete(warning.Warning{Kind: warning.ChildrenNotRead, Registry: s.to.Target.Location().Registry})
		return nil
	}
	below, err := s.readBelow(ctx, index, maxDepth)
	if err != nil {
		s.warnIncomplete(warning.Warning{Kind: warning.ChildrenUnknown, Digest: index.Digest, Err: s.to.Failed(err)})
		return nil
	}
	s.Children.KeepChildren(index.Digest, below)
	return below
}

// readBelow reads the manifests below an index at the destination, to a depth.
func (s *search) readBelow(ctx context.Context, index content.Descriptor, depth int) ([]digest.Digest, error) {
	m, err := s.budget.Fetch(ctx, s.Manifests.Reader(s.to.Target), index)
	if err != nil || depth == 0 {
		return nil, err
	}
	below := digestsOf(m.Manifests)
	for _, child := range m.Manifests {
		if !content.IsIndex(child.MediaType) {
			continue
		}
		deeper, err := s.readBelow(ctx, child, depth-1)
		if err != nil {
			return nil, err
		}
		below = append(below, deeper...)
	}
	return below, nil
}

// warnIndexReferrers warns of referrers of the source's index, which the destination does not get; if all are required, that is
// a failure. If the source was not listed, they are searched for only if the destination lacks the image.
func (s *search) warnIndexReferrers(ctx context.Context) {
	if s.image.Index == "" {
		return
	}
	of := subject{s.image.Index, true, true}
	tags, _ := s.names(ctx, s.image.Source, of)
	left := slices.ContainsFunc(tags[content.FallbackTag(of.digest)], func(suffix string) bool { return suffix == "" || s.wants(suffix) })
	if !left && s.to.Lacks {
		tagged, l, _ := s.atSource(ctx, tags, of)
		left = len(tagged) > 0 || l != nil
	}
	switch {
	case left && s.policy.Required:
		err := &Error{What: "signatures or other referrers of the source's index " + of.digest.String(), Found: true}
		err.Err = s.to.Failed(fmt.Errorf("the destination gets only a selection of that index: %w", content.ErrUnsupported))
		s.found.Failures = append(s.found.Failures, err)
	case left:
		s.found.Warnings = append(s.found.Warnings, warning.Warning{Kind: warning.IndexReferrers, Digest: of.digest})
	}
}

// wants reports whether cosign's tags with a suffix are copied. Their artifact type is the one that cosign gives to the
// same content as a referrer.
func (s *search) wants(suffix string) bool {
	return suffix != "" && slices.Contains(suffixes, suffix) && s.policy.takes("application/vnd.dev.cosign.artifact"+suffix+".v1+json")
}

// attached are the referrers of one subject.
type attached struct {
	all      []*Referrer
	below    []digest.Digest // the referrers on a list that was not read
	missing  []*Referrer
	kept     []string
	invalid  *content.InvalidNamesError
	failures []*Error
}

// round finds the referrers of one level of subjects and returns the next level.
func (s *search) round(ctx context.Context, depth int, subjects []subject) (next []subject) {
	tags, err := s.names(ctx, s.image.Source, subjects...)
	if err != nil {
		s.found.Failures = append(s.found.Failures, unknown(subjects[0].digest, s.image.Failed(err)))
	}
	results, read := make([]attached, len(subjects)), []*Referrer(nil)
	inParallel(subjects, func(i int, of subject) { results[i] = s.attachedTo(ctx, tags, of) })
	for i, a := range results {
		s.found.Failures = append(s.found.Failures, a.failures...)
		s.found.Kept = append(s.found.Kept, a.kept...)
		s.found.Missing, read = append(s.found.Missing, a.missing...), append(read, a.missing...)
		if a.invalid != nil {
			s.warnIncomplete(warning.Warning{Kind: warning.InvalidReferrers, Err: a.invalid})
		}
		missing := map[digest.Digest]bool{}
		for _, r := range a.missing {
			r.depth, missing[r.Descriptor.Digest] = depth, true
		}
		for _, r := range a.all {
			s.found.All = append(s.found.All, r.Descriptor)
			if !r.refused {
				a.below = append(a.below, r.Descriptor.Digest)
			}
		}
		if len(s.found.All) > maxReferrers {
			s.found.Failures = append(s.found.Failures, unknown(subjects[i].digest, s.image.Failed(tooMany())))
			next = nil
			break
		}
		for _, d := range a.below {
			ask := s.to.Lacks || missing[d]
			next = s.add(next, subject{d, ask || s.policy.Thorough, ask || s.policy.Thorough})
		}
	}
	s.reading.Go(func() { // while the search goes on
		inParallel(read, func(_ int, r *Referrer) { r.err = s.read(ctx, r) })
	})
	return next
}

// inParallel calls do for all elements, several at a time.
func inParallel[T any](all []T, do func(int, T)) {
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, one := range all {
		group.Go(func() error {
			do(i, one)
			return nil
		})
	}
	_ = group.Wait()
}

// attachedTo finds the referrers of a subject, and compares them with the destination.
func (s *search) attachedTo(ctx context.Context, tags names, of subject) (a attached) {
	tagged, l, failures := s.atSource(ctx, tags, of)
	a.failures = failures
	for _, r := range tagged {
		there, err := s.digestAtTarget(ctx, r)
		switch {
		case err != nil:
			a.failures = append(a.failures, r.failed(s.to.Failed(err)))
		case there == r.Descriptor.Digest:
			s.refusals.accepted(s.to.Target.Location(), r)
		case there != "" && s.policy.KeepTags:
			a.kept = append(a.kept, r.tag)
		default:
			s.miss(&a, r)
		}
	}
	a.all = tagged
	if l != nil {
		s.compare(ctx, l, &a)
	}
	return a
}

// miss adds a referrer that the destination lacks, unless it is known to refuse it.
func (s *search) miss(a *attached, r *Referrer) {
	err := s.refusals.known(s.to.Target.Location(), r, s.policy.Required || s.policy.Thorough)
	if r.refused = err != nil; r.refused {
		a.failures = append(a.failures, r.notAccepted(err))
	} else {
		a.missing = append(a.missing, r)
	}
}

func (s *search) read(ctx context.Context, r *Referrer) (err error) {
	root, err := s.budget.Fetch(ctx, s.named(s.image.Source, r.tag), r.Descriptor)
	if err == nil && r.list != nil { // the destination may list it
		err = s.budget.CountList(r.subject, []content.Descriptor{root.Referrer()})
	}
	if err == nil {
		r.Tree, err = s.budget.FetchTree(ctx, s.Manifests.Reader(s.image.Source), root)
	}
	return err
}

// endReading waits until all referrers are read. One that cannot be read is a failure, and is not copied.
func (s *search) endReading() {
	s.reading.Wait()
	s.found.Missing = slices.DeleteFunc(s.found.Missing, func(r *Referrer) bool {
		if r.err != nil {
			s.found.Failures = append(s.found.Failures, r.failed(s.image.Failed(r.err)))
		}
		return r.err != nil
	})
}

// atSource finds the tags of a subject, and the list of its referrers: that of the API or, if there is none or it is empty, the
// one under a tag. Failures come together with what was found. A refusal of the source counts as a tag that does not exist,
// because the image was read from the same repository with the same login; a tag that the source lists does exist.
func (s *search) atSource(ctx context.Context, tags names, of subject) (tagged []*Referrer, l *list, failures []*Error) {
	if of.api {
		answer, err := s.api(ctx, s.image.Source, of.digest, s.budget)
		if s.policy.Required { // otherwise an account that may read only the image would learn of its referrers
			err = cmp.Or(err, answer.refused)
		}
		if err != nil {
			failures = append(failures, unknown(of.digest, s.image.Failed(err)))
		}
		if entries := s.policy.taken(answer.listed); len(entries) > 0 || answer.invalid != nil {
			l = &list{subject: of.digest, invalid: answer.invalid, budget: s.budget, loaded: true, entries: entries}
		}
	}
	name := content.FallbackTag(of.digest)
	suffixes := slices.DeleteFunc(slices.Clone(tags.of(of)), func(suffix string) bool {
		return suffix == "" && l != nil || suffix != "" && !s.wants(suffix)
	})
	found, errs := make([]content.Descriptor, len(suffixes)), make([]error, len(suffixes))
	inParallel(suffixes, func(i int, suffix string) {
		found[i], errs[i] = s.tagAt(ctx, s.image.Source, name+suffix, s.to.Lacks && tags != nil && suffix != "")
	})
	for i, suffix := range suffixes {
		r := &Referrer{Descriptor: found[i], subject: of.digest, tag: name + suffix}
		switch err := errs[i]; {
		case err != nil && tags == nil && absentOrRefused(err):
		case err != nil && tags == nil:
			failures = append(failures, unknown(of.digest, s.image.Failed(err)))
		case err != nil && suffix == "":
			failures = append(failures, (&list{subject: of.digest}).failed(s.image.Failed(err)))
		case err != nil:
			failures = append(failures, r.failed(s.image.Failed(err)))
		case suffix == "" && isList(found[i]):
			l = &list{subject: of.digest, origin: found[i], budget: s.budget}
		case suffix != "" && found[i].Digest != "":
			tagged = append(tagged, r)
		}
	}
	return tagged, l, failures
}

// digestAtTarget returns the digest of a cosign tag at the destination. A destination that lacks the image
// is assumed to lack the tag, unless the tag must not be overwritten.
func (s *search) digestAtTarget(ctx context.Context, r *Referrer) (digest.Digest, error) {
	if s.to.Lacks && !s.policy.KeepTags {
		return "", nil
	}
	d, err := s.tagAt(ctx, s.to.Target, r.tag, false)
	return d.Digest, err
}
