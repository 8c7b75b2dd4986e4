package transfer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/regsync/regsync/internal/retry"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// blobMemory is how long a blob that no manifest refers to is relied on. Registries collect
// such blobs: zot after one hour, Harbor after two.
const blobMemory = 30 * time.Minute

// delivery executes a plan at one destination.
type delivery struct {
	engine   *Engine
	plan     *Plan
	ref      reference.Reference
	target   content.Target
	registry *registry
	place    place

	// pending: the image itself has to be brought.
	pending bool
	// attachments are those that go along.
	attachments []*attachment
	// ended is closed at the end.
	ended chan struct{}
	// attached counts the attachments that were brought.
	attached int

	mu sync.Mutex // guards what follows
	// wanted are the blobs that this destination lacks, as far as anybody knows.
	wanted map[blobID]*supply
	// told are the blobs whose end has been reported.
	told map[blobID]bool
}

// contentKey is a blob or a manifest at a place.
type contentKey struct {
	place place
	id    blobID
}

// want announces what the destination may need, before the first byte of any of it moves:
// what several places need is read once for all of them.
func (d *delivery) want() {
	for blob := range d.plan.tree.Blobs() {
		if !d.omits(blob) {
			d.wantBlob(blob)
		}
	}
}

func (d *delivery) wantBlob(blob content.Descriptor) *supply {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.wanted[idOf(blob)]
	if s == nil {
		s = d.engine.want(blob, d.place)
		d.wanted[idOf(blob)] = s
	}
	return s
}

// settle says that a blob is there, or has been given up. It reports whether that is news:
// two of the image's manifests may share the blob.
func (d *delivery) settle(blob content.Descriptor, outcome BlobOutcome) (news bool) {
	id := idOf(blob)
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.wanted[id]
	if s != nil {
		delete(d.wanted, id)
		d.engine.settle(s, d.place)
	}
	told := d.told[id]
	d.told[id] = true
	return !told || s != nil && outcome != BlobExists
}

// end settles what was not come to.
func (d *delivery) end() {
	defer close(d.ended)
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, s := range d.wanted {
		delete(d.wanted, id)
		d.engine.settle(s, d.place)
	}
}

// omits reports whether a blob is a foreign layer that the job leaves out.
func (d *delivery) omits(blob content.Descriptor) bool {
	return content.IsForeign(blob) && !d.plan.Job.ForeignLayers
}

// run brings everything under the tag, then the tag.
func (d *delivery) run(ctx context.Context) error {
	tree := d.plan.tree
	if err := d.pushBelow(ctx, tree, tree.Root); err != nil {
		return err
	}
	if d.needsSubject() {
		if _, err := d.pushTree(ctx, tree, tree.Root); err != nil {
			return err
		}
	}
	if err := d.attach(ctx); err != nil {
		return err
	}
	if d.ref.Tag == "" {
		_, err := d.pushTree(ctx, tree, tree.Root)
		return err
	}
	_, err := d.pushManifest(ctx, tree, tree.Root, d.ref.Tag)
	return err
}

// needsSubject reports whether the image has to be there, without its tag, before what is
// attached to it: Harbor refuses cosign's signatures of what it does not have.
func (d *delivery) needsSubject() bool {
	return slices.ContainsFunc(d.attachments, func(a *attachment) bool {
		return a.subject == d.plan.tree.Root.Descriptor.Digest
	})
}

// pushTree brings a manifest, without a tag, and everything below it. Where another image
// of the run is at it already, that is waited for; what it fails at is tried from this
// image's own source.
func (d *delivery) pushTree(ctx context.Context, tree *content.Tree, m *content.Manifest) (content.ManifestPushed, error) {
	key := contentKey{d.place, idOf(m.Descriptor)}
	for {
		pushed, mine, err := d.engine.manifestPushes.do(ctx, &d.engine.running, key,
			func(ctx context.Context) (content.ManifestPushed, error) {
				if pushed, known := d.registry.manifest(d.place.repository, m.Descriptor.Digest); known {
					return pushed, nil
				}
				if err := d.pushBelow(ctx, tree, m); err != nil {
					return content.ManifestPushed{}, err
				}
				return d.pushManifest(ctx, tree, m, "")
			})
		if err != nil && !mine && ctx.Err() == nil {
			continue
		}
		if err == nil { // whoever put it: these blobs are wanted no more
			d.announceKnown(tree, m)
		}
		return pushed, err
	}
}

// pushBelow brings what a manifest refers to: blobs, and children with all that is theirs.
func (d *delivery) pushBelow(ctx context.Context, tree *content.Tree, m *content.Manifest) error {
	if _, known := d.registry.manifest(d.place.repository, m.Descriptor.Digest); known {
		d.announceKnown(tree, m)
		return nil
	}
	group, ctx := newSiblings(ctx)
	for _, child := range m.Manifests {
		if below := tree.Manifest(child.Digest); below != nil {
			group.Go(func() error {
				_, err := d.pushTree(ctx, tree, below)
				return err
			})
		}
	}
	for _, blob := range m.Blobs() {
		group.Go(func() error { return d.pushBlob(ctx, blob) })
	}
	return group.Wait()
}

// announceKnown reports the blobs under a manifest that is there, of which nothing was said.
func (d *delivery) announceKnown(tree *content.Tree, m *content.Manifest) {
	for _, child := range m.Manifests {
		if below := tree.Manifest(child.Digest); below != nil {
			d.announceKnown(tree, below)
		}
	}
	for _, blob := range m.Blobs() {
		outcome := BlobExists
		if d.omits(blob) {
			outcome = BlobOmitted
		}
		d.report(blob, blobResult{outcome: outcome}, nil)
	}
}

// pushBlob brings one blob. Where another image of the run is at it already, that is waited
// for; what it fails at is tried once more from this image's own source.
func (d *delivery) pushBlob(ctx context.Context, blob content.Descriptor) error {
	if d.omits(blob) {
		d.report(blob, blobResult{outcome: BlobOmitted}, nil)
		return nil
	}
	supply := d.wantBlob(blob)
	for {
		_, mine, err := d.engine.blobPushes.do(ctx, &d.engine.running, contentKey{d.place, idOf(blob)},
			func(ctx context.Context) (struct{}, error) {
				upload := &blobUpload{
					engine: d.engine, source: d.plan.source, sourceRef: d.plan.Job.Source,
					target: d.target, targetRef: d.ref, registry: d.registry, place: d.place,
					blob: blob, supply: supply, ended: d.ended,
				}
				result, err := upload.run(ctx)
				if err == nil {
					d.engine.arrived(supply, d.place)
					d.report(blob, result, nil)
				}
				return struct{}{}, err
			})
		if err != nil && !mine && ctx.Err() == nil {
			continue
		}
		d.report(blob, blobResult{outcome: BlobExists}, err) // no news where this image brought it
		return err
	}
}

// report ends a blob at this destination, and tells it once.
func (d *delivery) report(blob content.Descriptor, result blobResult, err error) {
	if err != nil {
		result.outcome = BlobFailed
	}
	if !d.settle(blob, result.outcome) {
		return
	}
	switch result.outcome {
	case BlobExists:
		d.engine.Counters.Skipped.Add(blob.Size)
	case BlobMounted:
		d.engine.Counters.Mounted.Add(blob.Size)
	}
	d.engine.emit(BlobDone{Destination: d.ref, Descriptor: blob, Outcome: result.outcome, From: result.from, Err: err})
}

// pushManifest puts a manifest whose blobs and children are there. A registry that says
// otherwise is believed: they are asked for, what is missing is sent, and the manifest is
// put once more.
func (d *delivery) pushManifest(ctx context.Context, tree *content.Tree, m *content.Manifest, tag string) (content.ManifestPushed, error) {
	if err := d.refresh(ctx, m); err != nil {
		return content.ManifestPushed{}, err
	}
	pushed, err := d.target.PushManifest(ctx, m.Descriptor, m.Raw, tag)
	if err != nil && ctx.Err() == nil && mayLackBlobs(err) {
		missing, checkErr := d.complete(ctx, tree, m)
		if checkErr != nil {
			return pushed, checkErr
		}
		if missing {
			pushed, err = d.target.PushManifest(ctx, m.Descriptor, m.Raw, tag)
		}
	}
	if err != nil {
		return pushed, onSide(SideDestination, d.ref, err)
	}
	d.registry.learnManifest(d.place.repository, m.Descriptor.Digest, pushed)
	for _, blob := range m.Blobs() {
		d.registry.commit(d.place.repository, blob.Digest)
	}
	d.engine.emit(ManifestPushed{Destination: d.ref, Descriptor: m.Descriptor, Tag: tag})
	return pushed, nil
}

// mayLackBlobs reports whether a refused manifest may have been refused for what is not
// there. Registries say so in many ways: MANIFEST_BLOB_UNKNOWN (distribution),
// MANIFEST_INVALID (zot), BLOB_UPLOAD_UNKNOWN (ECR).
func mayLackBlobs(err error) bool {
	return !errors.Is(err, content.ErrUnauthorized) && !errors.Is(err, content.ErrDenied) &&
		!errors.Is(err, content.ErrUnsupported) && !retry.Retryable(err) && retry.After(err) == 0
}

// refresh asks again for blobs that a registry may have collected by now.
func (d *delivery) refresh(ctx context.Context, m *content.Manifest) error {
	for _, blob := range m.Blobs() {
		since, ok := d.registry.has(d.place.repository, blob.Digest)
		if ok && d.engine.since(since) > blobMemory {
			if _, err := d.check(ctx, blob); err != nil {
				return err
			}
		}
	}
	return nil
}

// complete asks for everything that m refers to and sends what is missing.
func (d *delivery) complete(ctx context.Context, tree *content.Tree, m *content.Manifest) (missing bool, err error) {
	for _, blob := range m.Blobs() {
		lacked, err := d.check(ctx, blob)
		if err != nil {
			return false, err
		}
		missing = missing || lacked
	}
	for _, child := range m.Manifests {
		below := tree.Manifest(child.Digest)
		if below == nil {
			continue
		}
		_, err := d.target.Resolve(ctx, child.Digest.String())
		switch {
		case err == nil:
		case errors.Is(err, content.ErrNotFound):
			missing = true
			d.registry.forgetManifest(d.place.repository, child.Digest)
			if _, err := d.pushTree(ctx, tree, below); err != nil {
				return false, err
			}
		default:
			return false, onSide(SideDestination, d.ref, err)
		}
	}
	return missing, nil
}

// check asks for a blob that was taken to be there, and sends it if it is not.
func (d *delivery) check(ctx context.Context, blob content.Descriptor) (lacked bool, err error) {
	if d.omits(blob) {
		return false, nil
	}
	here, err := d.target.HasBlob(ctx, blob)
	if err != nil {
		return false, onSide(SideDestination, d.ref, err)
	}
	if here {
		d.registry.learn(d.place.repository, blob.Digest)
		return false, nil
	}
	d.registry.forget(d.place.repository, blob.Digest)
	return true, d.pushBlob(ctx, blob)
}

// onSide says which end of a copy an error comes from; an error that says so already, or
// that comes from neither, stays as it is.
func onSide(side Side, ref reference.Reference, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrDeferred) {
		return err
	}
	if _, said := errors.AsType[*Error](err); said {
		return err
	}
	return &Error{Side: side, Reference: ref, Err: err}
}
