package transfer

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/internal/blobs"
)

// delivery is one image on its way to one destination: the unit of work. Many may wait, so
// that what a delivery needs later is made later.
type delivery struct {
	engine *Engine
	image  *image
	ref    reference.Reference
	pair   pair
	order  int64 // in the file's order

	// Set when the image is opened.
	at     *DestinationPlan
	double bool // an earlier destination of the job is the same place

	// The progress of the delivery, guarded by image.mu.
	answered  bool            // the destination was planned
	pending   bool            // it needs the image
	announced *blobs.Delivery // what it may need, while it has not answered
	end       *DestinationResult
	// failed is how the first try ended, while another may follow.
	failed *DestinationResult

	// Set when it is brought.
	plan        *Plan
	place       place
	blobs       *blobs.Delivery
	attachments []*attachment   // those that go along
	attached    int             // those that were brought
	omitted     map[blobID]bool // foreign layers that were told
}

// open makes the blobs of a delivery.
func (d *delivery) open() *blobs.Delivery {
	im := d.image
	return d.engine.blobs.Open(d.order,
		blobs.Origin{Source: im.source, Ref: im.job.Source}, blobs.Place{Target: d.at.target, Ref: d.ref})
}

// notDone is the result at a destination to which nothing was done.
func notDone(ref reference.Reference, err error) DestinationResult {
	return DestinationResult{Reference: ref, Action: ActionNone, Reason: deferredFor(err), Err: err}
}

// bring plans the delivery and makes the destination right.
func (d *delivery) bring(ctx context.Context) DestinationResult {
	if err := d.prepare(ctx); err != nil {
		return notDone(d.ref, err)
	}
	if d.at == nil { // a job without destinations, or the same one twice
		return DestinationResult{}
	}
	to := d.plan.Destinations[0]
	result := DestinationResult{
		Reference: to.Reference, Action: to.Action, Previous: to.Previous, Reason: to.Reason, Rule: to.Rule,
		Remembered: to.Remembered, Err: to.Err,
	}
	switch {
	case to.Err != nil:
	case !to.served():
		result.Digest = to.Previous
	default:
		result.Err = deferral(ctx, d.serve(ctx, to))
		result.Referrers = d.attached
		if result.Err == nil {
			result.Digest = d.plan.Image.Digest
			d.engine.remember(d.plan, to.Reference)
			d.engine.brought(to.target)
		}
	}
	result.Reason = cmp.Or(deferredFor(result.Err), result.Reason)
	return result
}

// prepare plans the delivery. Its error is one of the source, or that the run ends.
func (d *delivery) prepare(ctx context.Context) error {
	until, stop := d.engine.untilDrained(ctx)
	defer stop()
	im := d.image
	im.open(until)
	err := context.Cause(until)
	if err == nil {
		err = im.sourceErr
	}
	if err != nil || d.double {
		im.answer(d, nil, false)
		return deferral(until, err)
	}
	var destinations []DestinationPlan
	if d.at != nil {
		destinations = []DestinationPlan{*d.at}
	}
	p := im.planner(destinations...)
	d.refuse(p.plan)
	err = p.run(until)
	d.plan = p.plan
	pending := err == nil && len(p.plan.Destinations) > 0 && p.plan.Destinations[0].pending()
	im.answer(d, p.plan, pending)
	if err == nil {
		d.engine.emit(Planned{Plan: p.plan, Again: d != im.deliveries[0] || d.failed != nil})
	}
	return deferral(until, err)
}

// refuse keeps a plan from asking a destination that takes nothing in this run.
func (d *delivery) refuse(plan *Plan) {
	if len(plan.Destinations) == 0 || plan.Destinations[0].Err != nil {
		return
	}
	known := d.open()
	defer known.Release(false, false)
	if err := known.Refused(); err != nil {
		plan.Destinations[0].Action, plan.Destinations[0].Err = ActionNone, err
	}
}

// serve brings the image where it is pending, or else what has been attached to it since.
func (d *delivery) serve(ctx context.Context, to DestinationPlan) error {
	d.place, d.attachments, d.omitted = placeOf(to.target.Location()), to.attached, map[blobID]bool{}
	d.blobs = d.open()
	err := d.bringTagged(ctx)
	d.blobs.Release(err == nil, ctx.Err() != nil)
	return err
}

// bringTagged brings everything under the tag, then the tag.
func (d *delivery) bringTagged(ctx context.Context) error {
	tree := d.plan.tree
	if !d.isPending() {
		return d.attach(ctx)
	}
	d.needBelow(tree)
	if err := d.pushBelow(ctx, tree, tree.Root); err != nil {
		return err
	}
	if d.needsSubject() {
		if _, err := d.pushManifest(ctx, tree, tree.Root, ""); err != nil {
			return err
		}
	}
	if err := d.attach(ctx); err != nil {
		return err
	}
	_, err := d.pushManifest(ctx, tree, tree.Root, d.ref.Tag)
	return err
}

func (d *delivery) isPending() bool { return d.plan.Destinations[0].pending() }

// needsSubject reports whether the image has to be there, without its tag, before what is
// attached to it: Harbor refuses cosign's signatures of what it does not have.
func (d *delivery) needsSubject() bool {
	return slices.ContainsFunc(d.attachments, func(a *attachment) bool {
		return a.subject == d.plan.tree.Root.Descriptor.Digest
	})
}

// putsAtOnce is how many children of an index are put at a time.
const putsAtOnce = 8

// pushBelow waits for what a manifest refers to: its blobs, and its children, which are put
// as soon as their own blobs are there.
func (d *delivery) pushBelow(ctx context.Context, tree *content.Tree, m *content.Manifest) error {
	group, putting := errgroup.WithContext(ctx)
	group.SetLimit(putsAtOnce)
	for _, child := range m.Manifests {
		below := tree.Manifest(child.Digest)
		if below == nil {
			continue
		}
		if err := d.pushBelow(ctx, tree, below); err != nil {
			_ = group.Wait()
			return err
		}
		group.Go(func() error {
			_, err := d.pushManifest(putting, tree, below, "")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	_, err := d.blobs.Wait(ctx, d.blobsOf(m)...)
	return err
}

// blobsBelow are the blobs under a manifest that go to the destination, each once.
func (d *delivery) blobsBelow(tree *content.Tree, m *content.Manifest) []content.Descriptor {
	all := d.blobsOf(m)
	for _, child := range m.Manifests {
		if below := tree.Manifest(child.Digest); below != nil {
			all = append(all, d.blobsBelow(tree, below)...)
		}
	}
	return all
}

// blobsOf are the blobs of a manifest without the foreign layers that the job leaves out.
func (d *delivery) blobsOf(m *content.Manifest) []content.Descriptor {
	return slices.DeleteFunc(m.Blobs(), func(blob content.Descriptor) bool {
		omits := content.IsForeign(blob) && !d.image.job.ForeignLayers
		if omits && !d.omitted[idOf(blob)] {
			d.omitted[idOf(blob)] = true
			d.engine.emit(BlobDone{Destination: d.ref, Descriptor: blob, Outcome: BlobOmitted})
		}
		return omits
	})
}
