package transfer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/internal/plan"
	"github.com/regsync/regsync/pkg/transfer/internal/referrers"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Plan is what a job needs, as data.
type Plan struct {
	Job Job
	// Source is what the source's reference was resolved to.
	Source content.Descriptor
	// Image is what is copied: Source, the manifest of one platform, or a rewritten index.
	Image content.Descriptor
	// Destinations has one element for each distinct destination of the job.
	Destinations []DestinationPlan
	// Referrers are the signatures and other referrers that the source is known to have. A list that is
	// unchanged at every destination was not read.
	Referrers []content.Descriptor
	Warnings  []warning.Warning

	tree *content.Tree // nil if it was not read
}

// DestinationPlan is what one destination needs.
type DestinationPlan struct {
	Reference reference.Reference
	Action    Action
	// Previous is what the tag points at; empty if it does not exist.
	Previous digest.Digest
	// Blobs are those that may have to be sent or mounted; the destination may have some of them. It
	// is nil if the action is unchanged.
	Blobs []content.Descriptor
	// Rule is why the destination is skipped. Under RuleCopied and RuleSeen the action is unchanged, and Previous is
	// the image that was copied or seen then: see [Options].Recheck.
	Rule Rule
	// Referrers is how many signatures and other referrers it lacks: exact if it has the image, otherwise an upper bound.
	Referrers int
	// Refused is how many are left out because the destination has refused such referrers before.
	Refused int
	// WithoutAttestations: the index is copied without its attestations, because the destination has refused some before.
	WithoutAttestations bool
	// Err says why nothing can be done there. The other destinations are not affected.
	Err error

	target content.Target
	found  *referrers.Found // nil if referrers were not looked for
}

// Bytes is an upper bound of the bytes to send.
func (p DestinationPlan) Bytes() int64 {
	var sum int64
	for _, d := range p.Blobs {
		sum += d.Size
	}
	return sum
}

// served reports whether the image is copied to the destination or was found there, so that its
// referrers belong there, too. Under RuleCopied neither side is checked.
func (p DestinationPlan) served() bool {
	return p.pending() || p.Err == nil && p.Action == ActionUnchanged && p.Rule.Kind != RuleCopied
}

func (p DestinationPlan) pending() bool {
	return p.Err == nil && (p.Action == ActionAdd || p.Action == ActionMove)
}

// planAll plans a job for all of its destinations. order is the position of the job in the run.
func planAll(ctx context.Context, e *Engine, job Job, order int64) (*Plan, error) {
	im := newImage(e, job)
	im.open(ctx)
	if len(im.destinations) == 0 {
		return im.plan(ctx, im.source, nil)
	}
	plans, errs := make([]*Plan, len(im.destinations)), make([]error, len(im.destinations))
	var planning sync.WaitGroup
	for i := range im.destinations {
		planning.Go(func() {
			from, pulls := im.metered(order)
			defer pulls.Close()
			plans[i], errs[i] = im.plan(ctx, from, &im.destinations[i])
		})
	}
	planning.Wait()
	all := plans[0]
	all.warnFailures()
	for _, p := range plans[1:] {
		p.warnFailures()
		all.add(p)
	}
	return all, errors.Join(slices.CompactFunc(errs, func(a, b error) bool { return a != nil && b != nil && a.Error() == b.Error() })...)
}

func (p *Plan) add(other *Plan) {
	p.Destinations = append(p.Destinations, other.Destinations...)
	if p.Source.Digest == "" {
		p.Source, p.Image = other.Source, other.Image
	}
	if p.tree == nil {
		p.tree = other.tree
	}
	for _, d := range other.Referrers {
		if !slices.ContainsFunc(p.Referrers, func(have content.Descriptor) bool { return have.Digest == d.Digest }) {
			p.Referrers = append(p.Referrers, d)
		}
	}
	p.Warnings = warning.Add(p.Warnings, other.Warnings...)
}

// warnFailures warns of referrers that could not be looked for or read, and counts those that the
// destination is known to refuse.
func (p *Plan) warnFailures() {
	if found := p.Destinations[0].found; found != nil {
		for _, failure := range found.Failures {
			if failure.Refused && !p.Job.ReferrersRequired {
				p.Destinations[0].Refused++
				continue
			}
			p.Warnings = warning.Add(p.Warnings, warning.Warning{Kind: warning.ReferrersFailed, Err: failure})
		}
	}
}

// plan plans the image for one of its destinations; at is nil for a job without any. It returns errors
// of the source; an error of the destination is in the plan.
func (im *image) plan(ctx context.Context, from *plan.Source, at *DestinationPlan) (*Plan, error) {
	p := im.newPlan(at)
	if im.sourceErr != nil || at != nil && at.Err != nil || im.recall(p) {
		return p, im.sourceErr
	}
	err := im.planOnce(ctx, from, p, "", true)
	outdated := p.Source.Digest
	if outdated == "" || im.job.Source.Digest != "" || !p.missesSomething(err) {
		return p, im.atSource(err)
	}
	// The source's digest is not found because the tag has moved, or because the source serves manifests
	// by tag only: the tag is resolved once more, by reading its manifest.
	_, part := errors.AsType[*content.PartError](err)
	read := err != nil && !part
	moved, resolveErr := from.Resolve(ctx, outdated, read)
	if errors.Is(resolveErr, content.ErrNotFound) && err != nil && at != nil && !im.job.RequireSource {
		// The tag was deleted after it was resolved: a destination that has it keeps it.
		kept := im.newPlan(at)
		if im.planOnce(ctx, from, kept, outdated, true) == nil && kept.Destinations[0].Action == ActionKeep {
			return kept, nil
		}
	}
	if resolveErr != nil || moved.Digest == outdated && !read {
		return p, im.atSource(err)
	}
	p = im.newPlan(at) // what was found for the outdated digest no longer applies
	err = im.planOnce(ctx, from, p, outdated, true)
	if moved.Digest == outdated {
		return p, im.atSource(err)
	}
	if errors.Is(err, content.ErrNotFound) {
		err = fmt.Errorf("the tag moved while it was read (from %s to %s): %w", outdated, moved.Digest, err)
	}
	if err == nil {
		p.Warnings = append(p.Warnings, warning.Warning{Kind: warning.TagMovedWhileRead, Digest: outdated, Now: moved.Digest})
	}
	return p, im.atSource(err)
}

func (im *image) atSource(err error) error { return onSide(SideSource, im.job.Source, err) }

func (im *image) newPlan(at *DestinationPlan) *Plan {
	p := &Plan{Job: im.job, Warnings: slices.Clone(im.warnings)}
	if at != nil {
		p.Destinations = []DestinationPlan{*at}
	}
	return p
}

// planOnce plans the image, and its referrers. trusts: a tag that an earlier run saw need not be resolved.
func (im *image) planOnce(ctx context.Context, from *plan.Source, p *Plan, outdated digest.Digest, trusts bool) error {
	e, job := im.engine, im.job
	stays := job.Immutable || job.Overwrite == OverwriteNever
	request := plan.Request{
		From: from, Outdated: outdated, Listable: !job.Immutable && (job.Overwrite == "" || job.Overwrite == OverwriteAlways),
		Platforms: job.Platforms, RequirePlatforms: job.RequirePlatforms, KeepGone: !job.RequireSource,
		OmitAttestations: job.Attestations == AttestationsDrop, EitherForm: job.Attestations == AttestationsAuto, Stays: stays,
	}
	var to *DestinationPlan
	var seen digest.Digest
	if len(p.Destinations) > 0 {
		to = &p.Destinations[0]
		var trusted bool
		if seen, trusted = e.seen.recall(job, to); trusted && trusts {
			request.Trusted = seen
		}
		request.Target, request.Tag, request.Digest = to.target, to.Reference.Tag, to.Reference.Digest
		request.OmitAttestations = request.OmitAttestations || job.Attestations == AttestationsAuto && e.attestations.refused(to.target)
		request.Policy = &policy{image: im, from: from, to: to}
	}
	planned, err := e.plans.Plan(ctx, request)
	p.Source, p.Image, p.tree = planned.Source, planned.Image, planned.Tree
	for _, w := range planned.Warnings {
		if w.Kind != warning.PlatformsMissing || !job.IgnoreMissingPlatforms {
			p.Warnings = warning.Add(p.Warnings, w)
		}
	}
	if err != nil || to == nil {
		return err
	}
	to.Previous, to.Action, to.WithoutAttestations = planned.There.Digest, ActionUnchanged, planned.WithoutAttestations && job.Attestations == AttestationsAuto
	if !planned.Refused {
		to.Rule = Rule{}
	}
	if planned.NotAsked {
		to.Rule = Rule{Kind: RuleSeen}
	}
	e.seen.compare(p, to, planned, seen)
	switch {
	case planned.Err != nil:
		to.Action, to.Err = ActionNone, deferral(ctx, onSide(SideDestination, to.Reference, planned.Err))
	case planned.Gone:
		to.Action = ActionKeep
		p.Warnings = append(p.Warnings, warning.Warning{Kind: warning.GoneAtSource})
	case planned.Refused:
		to.Action = ActionSkip
	case planned.Lacks() && to.Previous == "":
		to.Action = ActionAdd
	case planned.Lacks():
		to.Action = ActionMove
	}
	if from.Pulls != nil && !to.pending() {
		from.Pulls.Close() // later images need not wait for it
	}
	if err := im.findReferrers(ctx, from, p, planned.Derived()); err != nil {
		return err
	}
	if planned.NotAsked && to.found != nil && len(to.found.Missing) > 0 {
		// They may be missing because the image is: the tag is resolved before anything is pushed there.
		*p = *im.newPlan(&DestinationPlan{Reference: to.Reference, target: to.target})
		return im.planOnce(ctx, from, p, outdated, false)
	}
	if to.pending() {
		to.Blobs = p.blobs(to.found)
	}
	return nil
}

// recall reports whether an immutable tag was copied to the destination before, as the memory has it.
// The tag is then unchanged, without a request to either side.
func (im *image) recall(p *Plan) bool {
	memory := im.engine.options.Copies
	if !im.job.Immutable || im.engine.options.Recheck || len(p.Destinations) == 0 {
		return false
	}
	to := &p.Destinations[0]
	image, _, known := memory.Copied(copiedFrom(im.job), to.Reference.String())
	if known {
		to.Action, to.Previous, to.Rule = ActionUnchanged, image, Rule{Kind: RuleCopied}
		p.Image = content.Descriptor{Digest: image}
	}
	return known
}

// findReferrers finds the referrers of the image, and which of them the destination lacks. derived: the
// image was selected or rewritten from the source's index.
func (im *image) findReferrers(ctx context.Context, from *plan.Source, p *Plan, derived bool) error {
	job, to := im.job, &p.Destinations[0]
	if !job.Referrers || !to.served() || !to.pending() && job.ReferrersOnCopy && !im.engine.options.Recheck &&
		!owes(im.engine.options.Copies, p, to.Reference) {
		return nil
	}
	image := referrers.Image{Source: from.Source, Descriptor: p.Image, Tree: p.tree, Failed: im.atSource}
	if derived {
		image.Index = p.Source.Digest
	}
	found, err := im.engine.referrers.Find(ctx, image, destinationOf(to), referrers.Policy{
		Types: job.ReferrerTypes, Required: job.ReferrersRequired, Thorough: im.engine.options.Recheck,
		KeepTags: job.Overwrite == OverwriteNever || job.Overwrite == OverwriteNewer,
	})
	if err != nil {
		return err
	}
	for _, failure := range found.Failures {
		pause, paused := errors.AsType[*limit.PauseError](failure.Err)
		if paused && pause.Quota && to.pending() {
			return failure // the image is not begun: a part of it would use up pulls, and be read again by the next run
		}
	}
	to.found, to.Referrers, p.Referrers = found, len(found.Missing), found.All
	p.Warnings = warning.Add(p.Warnings, found.Warnings...)
	kept := warning.TagKept
	if job.Overwrite == OverwriteNewer {
		kept = warning.TagKeptUndated
	}
	for _, tag := range found.Kept {
		at := to.Reference.WithoutIdentifier().WithTag(tag)
		p.Warnings = warning.Add(p.Warnings, warning.Warning{Kind: kept, Reference: at.Familiar()})
	}
	return nil
}

// metered is implemented by a source that may count how many manifests an account reads.
type metered interface {
	// WithPulls returns a view of the source whose reads of manifests take from the pulls of one image. order is
	// the position of the image. The pulls are nil if they are not counted.
	WithPulls(order int64) (content.Source, *limit.Pulls)
}

// metered opens the pulls of a delivery. The caller closes them.
func (im *image) metered(order int64) (from *plan.Source, pulls *limit.Pulls) {
	at, ok := im.source.Source.(metered)
	if !ok {
		return im.source, nil
	}
	if view, pulls := at.WithPulls(order); pulls != nil {
		return im.source.Metered(view, pulls), pulls
	}
	return im.source, nil
}

// blobs returns the blobs of the image and of its missing referrers, each once.
func (p *Plan) blobs(found *referrers.Found) []content.Descriptor {
	var blobs []content.Descriptor
	seen := map[digest.Digest]bool{}
	add := func(tree *content.Tree) {
		for blob := range tree.Blobs() {
			if !seen[blob.Digest] && (!content.IsForeign(blob) || p.Job.ForeignLayers) {
				seen[blob.Digest] = true
				blobs = append(blobs, blob)
			}
		}
	}
	add(p.tree)
	if found != nil {
		for _, r := range found.Missing {
			add(r.Tree)
		}
	}
	return blobs
}

// missesSomething reports whether a manifest or a referrer was not found at the source.
func (p *Plan) missesSomething(err error) bool {
	if err != nil || len(p.Destinations) == 0 || p.Destinations[0].found == nil {
		return errors.Is(err, content.ErrNotFound)
	}
	return slices.ContainsFunc(p.Destinations[0].found.Failures, func(e *referrers.Error) bool { return errors.Is(e, content.ErrNotFound) })
}

// policy applies the rules of a job to one destination.
type policy struct {
	image *image
	from  *plan.Source
	to    *DestinationPlan
}

var _ plan.Policy = (*policy)(nil)

func (y *policy) refuse(p *plan.Plan, rule Rule) { p.Refused, y.to.Rule = true, rule }

// Move implements plan.Policy. These rules concern existing tags only.
func (y *policy) Move(ctx context.Context, p *plan.Plan) error {
	switch job := &y.image.job; {
	case job.Immutable:
		y.refuse(p, Rule{Kind: RuleImmutable})
	case job.Overwrite == OverwriteNever:
		y.refuse(p, Rule{Kind: RuleNever})
	case job.Overwrite == OverwriteNewer:
		return y.keepNewer(ctx, p)
	}
	return nil
}

// keepNewer refuses the image unless the destination's is known to be older. It makes the requests of
// [content.Created] at both sides; if the tag moves, the source's manifests are needed anyway.
func (y *policy) keepNewer(ctx context.Context, p *plan.Plan) error {
	from := y.from
	root, err := p.Root(ctx, from)
	var ours, theirs time.Time
	if err == nil {
		ours, err = content.Created(ctx, from.Manifests, from, root)
	}
	if err != nil {
		return err
	}
	if ours.IsZero() {
		y.refuse(p, Rule{Kind: RuleSourceUndated})
		return nil
	}
	manifests := y.image.engine.manifests.Reader(y.to.target)
	if root, err = content.FetchAndParse(ctx, manifests, p.There); err == nil {
		theirs, err = content.Created(ctx, manifests, y.to.target, root)
	}
	switch {
	case err != nil:
		p.Err = err
	case theirs.IsZero():
		y.refuse(p, Rule{Kind: RuleDestinationUndated})
	case theirs.Equal(ours):
		y.refuse(p, Rule{Kind: RuleSameAge, Found: Found{SourceCreated: ours, DestinationCreated: theirs}})
	case theirs.After(ours):
		y.refuse(p, Rule{Kind: RuleNewer, Found: Found{SourceCreated: ours, DestinationCreated: theirs}})
	}
	return nil
}

// Copy implements plan.Policy. The size is what the manifests say, each blob once; no blob is read.
func (y *policy) Copy(p *plan.Plan) {
	limit := y.image.job.MaxSize
	if limit <= 0 {
		return
	}
	var size int64
	for blob := range p.Tree.Blobs() {
		if content.IsForeign(blob) && !y.image.job.ForeignLayers {
			continue
		}
		if size += blob.Size; size < 0 { // overflow: a manifest may state any size
			size = math.MaxInt64
			break
		}
	}
	if size > limit {
		y.refuse(p, Rule{Kind: RuleMaxSize, Limit: limit, Found: Found{Size: size}})
	}
}
