package transfer

import (
	"context"
	"errors"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/internal/blobs"
	"github.com/regsync/regsync/pkg/transfer/internal/deliver"
	"github.com/regsync/regsync/pkg/transfer/internal/lanes"
	"github.com/regsync/regsync/pkg/transfer/internal/referrers"
)

// delivery is one image for one destination: the unit of work. Many may wait, so it creates what it needs only when it starts.
type delivery struct {
	engine *Engine
	image  *image
	ref    reference.Reference
	ticket lanes.Ticket[*delivery]

	// Set when the image is opened.
	at        *DestinationPlan
	duplicate bool // the same as an earlier destination of the job

	// The progress of the delivery, guarded by image.mu.
	answered  bool            // the destination was planned
	pending   bool            // it needs the image
	announced *blobs.Delivery // its announcement, until it is planned
	end       *DestinationResult
	// failed is the result of the first attempt, while another may follow.
	failed *DestinationResult
	// trusted is the result of a tag that was not resolved at the destination. The run may still resolve it.
	trusted *DestinationResult

	// Set by serve, plan by prepare.
	plan *Plan
	// replanned: the image was planned again, without the attestations that the destination refused.
	replanned       bool
	copied, refused int // referrers
	// incomplete: referrers were left out, or not looked for.
	incomplete bool
}

func (d *delivery) open() *blobs.Delivery {
	im := d.image
	return d.engine.blobs.Open(d.ticket.Order(),
		blobs.Origin{Source: im.source.Source, Ref: im.job.Source}, blobs.Place{Target: d.at.target, Ref: d.ref})
}

func notDone(ref reference.Reference, err error) DestinationResult {
	return DestinationResult{Reference: ref, Action: ActionNone, Err: err}
}

func (d *delivery) bring(ctx context.Context) DestinationResult {
	if err := d.prepare(ctx); err != nil {
		return notDone(d.ref, err)
	}
	if d.at == nil { // a job without destinations, or the same one twice
		return DestinationResult{}
	}
	to := d.plan.Destinations[0]
	result := DestinationResult{
		Reference: to.Reference, Action: to.Action, Previous: to.Previous, Rule: to.Rule, Err: to.Err,
	}
	switch {
	case to.Err != nil:
	case !to.served():
		result.Digest = to.Previous
	default:
		if to.pending() {
			d.engine.seen.forget(&to)
		}
		blobs := d.open()
		err := d.bringTagged(ctx, d.engine.deliveries.Open(deliver.Options{
			Target: d.at.target, Ref: d.ref, Blobs: blobs, Announce: func(all []content.Descriptor) { d.image.announce(d, all) },
			PushAttestation: d.attestationPusher(), Foreign: d.image.job.ForeignLayers, Adds: to.Action == ActionAdd,
		}))
		blobs.Release(err == nil, ctx.Err() != nil)
		result.Err = deferral(ctx, err)
		result.Referrers, result.Refused = d.copied, d.refused
		failed, ok := errors.AsType[*ReferrersError](result.Err)
		if result.Err == nil || ok && failed.Tagged {
			result.Digest, result.WithoutAttestations = d.plan.Image.Digest, to.pending() && to.WithoutAttestations
			d.engine.plans.Arrived(to.target)
			d.engine.seen.keep(d.image.job, &to, result.Digest)
		}
		if ok || result.Err == nil {
			rememberOwed(d.engine.options.Copies, d.plan, to.Reference, ok)
		}
		if result.Err == nil && !d.incomplete {
			remember(d.engine.options.Copies, d.plan, to.Reference)
		}
		if to.pending() {
			return d.withoutRefused(ctx, result)
		}
	}
	return result
}

// withoutRefused returns the result of copying an image. If the destination refuses the attestations in the index, the image
// is planned and copied once more without them.
func (d *delivery) withoutRefused(ctx context.Context, result DestinationResult) DestinationResult {
	if d.image.job.Attestations != AttestationsAuto {
		return result
	}
	if !d.replanned && (errors.Is(result.Err, errAttestationsRefused) || d.plan.refusesAttestations(result.Err)) {
		d.replanned = true
		d.engine.attestations.refuse(d.at.target)
		return d.bring(ctx)
	}
	if result.Err == nil && len(d.plan.attestationsIn()) > 0 {
		d.engine.attestations.accept(d.at.target)
	}
	return result
}

// attestationPusher returns what pushes the attestations in the index; nil if they are pushed like other manifests.
func (d *delivery) attestationPusher() func(ctx context.Context, push func() error) error {
	if d.image.job.Attestations != AttestationsAuto || d.replanned {
		return nil
	}
	return func(ctx context.Context, push func() error) error {
		return d.engine.attestations.push(ctx, d.at.target, push)
	}
}

// outdated reports whether the registry has refused the attestations of another image since this one was planned with its own.
func (d *delivery) outdated() bool {
	return d.attestationPusher() != nil && len(d.plan.attestationsIn()) > 0 && d.engine.attestations.refused(d.at.target)
}

// prepare plans the delivery. Its error is that of the source, or the end of the run.
func (d *delivery) prepare(ctx context.Context) error {
	until, stop := d.engine.untilDrained(ctx)
	defer stop()
	im := d.image
	im.open(until)
	err := context.Cause(until)
	if err == nil {
		err = im.sourceErr
	}
	if err != nil || d.duplicate {
		im.answer(d, nil, false)
		return deferral(until, err)
	}
	from, pulls := im.metered(d.ticket.Order())
	defer pulls.Close()
	d.plan, err = im.plan(until, from, d.checked())
	pending := err == nil && len(d.plan.Destinations) > 0 && d.plan.Destinations[0].pending()
	im.answer(d, d.plan, pending)
	if err == nil {
		d.engine.emit(Planned{Plan: d.plan, Again: d != im.deliveries[0] || d.failed != nil || d.trusted != nil || d.replanned})
	}
	return deferral(until, err)
}

// checked returns the destination, with an error if it has refused access in this run; nil if the job has none.
func (d *delivery) checked() *DestinationPlan {
	if d.at == nil || d.at.Err != nil {
		return d.at
	}
	known := d.open()
	defer known.Release(false, false)
	err := known.Refused()
	if err == nil {
		return d.at
	}
	refused := *d.at
	refused.Action, refused.Err = ActionNone, err
	return &refused
}

// bringTagged copies everything below the tag, then moves the tag. The image is pushed without its tag
// before its referrers: Harbor refuses the cosign signature of an image that it does not have. An image
// that is itself a referrer is added to the list of its subject.
func (d *delivery) bringTagged(ctx context.Context, by *deliver.Delivery) error {
	tree, to := d.plan.tree, &d.plan.Destinations[0]
	var unlisted []*referrers.Error
	if to.pending() {
		if d.outdated() {
			return errAttestationsRefused
		}
		by.Need(tree)
		if _, err := by.PushBelow(ctx, tree, tree.Root); err != nil {
			return err
		}
		if tree.Root.Subject != nil || to.found != nil && to.found.HasSubject(tree.Root.Descriptor.Digest) {
			pushed, err := by.Push(ctx, tree, tree.Root, "")
			if err != nil {
				return err
			}
			if tree.Root.Subject != nil && pushed.Subject == "" {
				unlisted = d.engine.referrers.List(ctx, destinationOf(to), tree.Root)
			}
		}
	}
	failed := d.pushReferrers(ctx, by, unlisted...)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if failed.holdsBack(d.image.job, to.Action) {
		return failed
	}
	if to.pending() {
		if _, err := by.Push(ctx, tree, tree.Root, d.ref.Tag); err != nil {
			return err
		}
	}
	if failed != nil {
		failed.Tagged = true
		return failed
	}
	return nil
}

// endAnnouncement withdraws the announcement for a destination. image.mu is held.
func (d *delivery) endAnnouncement() {
	if d.announced != nil {
		d.announced.Release(false, false)
		d.announced = nil
	}
}
