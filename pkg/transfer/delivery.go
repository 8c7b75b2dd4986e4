package transfer

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
	"github.com/regsync/regsync/pkg/transfer/internal/blobs"
)

// delivery is one image for one destination: the unit of work. Many may wait, so it creates
// what it needs only when it starts.
type delivery struct {
	engine *Engine
	image  *image
	ref    reference.Reference
	pair   pair
	order  int64 // in the file's order

	// Set when the image is opened.
	at        *DestinationPlan
	duplicate bool // an earlier destination of the job is the same place

	// The progress of the delivery, guarded by image.mu.
	answered  bool            // the destination was planned
	pending   bool            // it needs the image
	announced *blobs.Delivery // its announcement, until it is planned
	end       *DestinationResult
	// failed is the result of the first attempt, while another may follow.
	failed *DestinationResult

	// Set by serve, plan by prepare.
	plan    *Plan
	blobs   *blobs.Delivery
	copied  int                    // referrers
	omitted map[digest.Digest]bool // foreign layers that were reported
}

// open opens a delivery in the queue of blobs.
func (d *delivery) open() *blobs.Delivery {
	im := d.image
	return d.engine.blobs.Open(d.order,
		blobs.Origin{Source: im.source, Ref: im.job.Source}, blobs.Place{Target: d.at.target, Ref: d.ref})
}

// notDone is the result of a destination that was not changed.
func notDone(ref reference.Reference, err error) DestinationResult {
	return DestinationResult{Reference: ref, Action: ActionNone, Err: err}
}

// bring plans and executes the delivery.
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
		result.Err = deferral(ctx, d.serve(ctx))
		result.Referrers = d.copied
		referrers, tagged := errors.AsType[*ReferrersError](result.Err)
		if result.Err == nil || tagged && referrers.Tagged {
			result.Digest = d.plan.Image.Digest
			d.engine.brought(to.target)
		}
		if result.Err == nil {
			d.engine.remember(d.plan, to.Reference)
		}
	}
	return result
}

// prepare plans the delivery. Its error comes from the source, or from the end of the run.
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

// refuse fails the plan of a destination that has refused access in this run, before any request.
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

// serve brings the image if it is pending, or else new attachments.
func (d *delivery) serve(ctx context.Context) error {
	d.omitted = map[digest.Digest]bool{}
	d.blobs = d.open()
	err := d.bringTagged(ctx)
	d.blobs.Release(err == nil, ctx.Err() != nil)
	return err
}

// bringTagged brings everything under the tag, then the tag. The image has to be there, without its
// tag, before what is attached to it: Harbor refuses cosign's signatures of what it does not have.
func (d *delivery) bringTagged(ctx context.Context) error {
	tree, to := d.plan.tree, &d.plan.Destinations[0]
	if to.pending() {
		d.Need(tree)
		if _, err := d.pushBelow(ctx, tree, tree.Root); err != nil {
			return err
		}
		if to.found != nil && to.found.HasSubject(tree.Root.Descriptor.Digest) {
			if _, err := d.PushRoot(ctx, tree, ""); err != nil {
				return err
			}
		}
	}
	failed := d.pushReferrers(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if failed.holdsBack(d.image.job, to.Action) {
		return failed
	}
	if to.pending() {
		if _, err := d.PushRoot(ctx, tree, d.ref.Tag); err != nil {
			return err
		}
	}
	if failed != nil {
		failed.Tagged = true
		return failed
	}
	return nil
}

// putsAtOnce is how many children of an index are pushed at a time.
const putsAtOnce = 8

// pushBelow waits for the blobs of a manifest, and pushes its children as soon as their own
// blobs exist. moved: a blob of the manifest was not there.
func (d *delivery) pushBelow(ctx context.Context, tree *content.Tree, m *content.Manifest) (moved bool, err error) {
	group, putting := errgroup.WithContext(ctx)
	group.SetLimit(putsAtOnce)
	for _, child := range m.Manifests {
		below := tree.Manifest(child.Digest)
		if below == nil {
			continue
		}
		if _, err := d.pushBelow(ctx, tree, below); err != nil {
			_ = group.Wait()
			return false, err
		}
		group.Go(func() error {
			_, err := d.pushManifest(putting, tree, below, "")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	return d.blobs.Wait(ctx, d.blobsOf(m)...)
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
		if omits && !d.omitted[blob.Digest] {
			d.omitted[blob.Digest] = true
			d.engine.emit(BlobDone{Destination: d.ref, Descriptor: blob, Outcome: BlobOmitted})
		}
		return omits
	})
}

// endAnnouncement withdraws the announcement for a destination. image.mu is held.
func (d *delivery) endAnnouncement() {
	if d.announced != nil {
		d.announced.Release(false, false)
		d.announced = nil
	}
}

func (d *delivery) keyOf(m content.Descriptor) contentKey {
	return contentKey{d.at.target.Location(), m.Digest, m.Size}
}

// pushManifest pushes a manifest whose blobs and children exist. Without a tag it does so once
// in a run, however many images need the manifest in the repository. If another image's delivery
// fails to push it, this one tries.
func (d *delivery) pushManifest(ctx context.Context, tree *content.Tree, m *content.Manifest, tag string) (content.ManifestPushed, error) {
	key := d.keyOf(m.Descriptor)
	if tag != "" {
		pushed, err := d.put(ctx, tree, m, tag)
		if err == nil {
			d.engine.manifestPushes.Keep(key, pushed)
		}
		return pushed, err
	}
	for {
		pushed, executed, err := d.engine.manifestPushes.Do(ctx, &d.engine.running, key, func(ctx context.Context) (content.ManifestPushed, error) {
			return d.put(ctx, tree, m, "")
		})
		if err == nil || executed || ctx.Err() != nil {
			return pushed, err
		}
		if side, ours := errors.AsType[*Error](err); ours && side.Side == SideDestination {
			return pushed, onSide(SideDestination, d.ref, side.Err)
		}
	}
}

// put pushes a manifest. If the registry refuses it, possibly because blobs or children are
// missing, put checks them, sends those that are missing, and pushes the manifest once more.
func (d *delivery) put(ctx context.Context, tree *content.Tree, m *content.Manifest, tag string) (content.ManifestPushed, error) {
	pushed, err := d.putOnce(ctx, m, tag)
	if err != nil && ctx.Err() == nil && mayLackBlobs(err) {
		missing, checkErr := d.complete(ctx, tree, m)
		if checkErr != nil {
			return pushed, checkErr
		}
		if missing {
			pushed, err = d.putOnce(ctx, m, tag)
		}
	}
	if err != nil {
		// A tag that is there may be immutable; a new one is refused like all others.
		if refusesAccount(err) && (tag == "" || d.plan.Destinations[0].Action == ActionAdd) {
			d.blobs.Refuse(err)
		}
		return pushed, onSide(SideDestination, d.ref, err)
	}
	d.engine.emit(ManifestPushed{Destination: d.ref, Descriptor: m.Descriptor, Tag: tag})
	return pushed, nil
}

// putOnce puts a manifest. A registry's client waits for a slot itself; a place on this machine
// has slots too, because each manifest there opens files.
func (d *delivery) putOnce(ctx context.Context, m *content.Manifest, tag string) (content.ManifestPushed, error) {
	if rereadable(d.at.target) {
		release, err := d.engine.options.Limiter.Acquire(ctx, limit.Peer{Registry: d.at.target.Location().Registry}, limit.Small)
		if err != nil {
			return content.ManifestPushed{}, err
		}
		defer release()
	}
	return d.at.target.PushManifest(ctx, m.Descriptor, m.Raw, tag)
}

func refusesAccount(err error) bool {
	return errors.Is(err, content.ErrDenied) || errors.Is(err, content.ErrUnauthorized)
}

// mayLackBlobs reports whether a manifest may have been refused because something is missing.
// Registries say so in many ways: MANIFEST_BLOB_UNKNOWN (distribution),
// MANIFEST_INVALID (zot), BLOB_UPLOAD_UNKNOWN (ECR).
func mayLackBlobs(err error) bool {
	return !errors.Is(err, content.ErrUnauthorized) && !errors.Is(err, content.ErrDenied) &&
		!errors.Is(err, content.ErrUnsupported) && !retry.Retryable(err) && retry.After(err) == 0
}

// complete checks everything that m refers to and sends what is missing.
func (d *delivery) complete(ctx context.Context, tree *content.Tree, m *content.Manifest) (missing bool, err error) {
	all := d.blobsOf(m)
	d.blobs.Recheck(all...)
	if missing, err = d.blobs.Wait(ctx, all...); err != nil {
		return false, err
	}
	for _, child := range m.Manifests {
		below := tree.Manifest(child.Digest)
		if below == nil {
			continue
		}
		_, err := d.at.target.Resolve(ctx, child.Digest.String())
		switch {
		case err == nil:
		case errors.Is(err, content.ErrNotFound):
			missing = true
			d.engine.manifestPushes.Forget(d.keyOf(child))
			d.blobs.Recheck(d.blobsBelow(tree, below)...)
			if err := d.pushTree(ctx, tree, below); err != nil {
				return false, err
			}
		default:
			return false, onSide(SideDestination, d.ref, err)
		}
	}
	return missing, nil
}

// pushTree brings a manifest, without a tag, and everything below it.
func (d *delivery) pushTree(ctx context.Context, tree *content.Tree, m *content.Manifest) error {
	d.blobs.Need(d.blobsBelow(tree, m)...)
	if _, err := d.pushBelow(ctx, tree, m); err != nil {
		return err
	}
	_, err := d.pushManifest(ctx, tree, m, "")
	return err
}
