package transfer

import (
	"context"
	"slices"
	"sync"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

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
		pushed, mine, err := d.engine.manifestPushes.Do(ctx, &d.engine.running, key,
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
		_, mine, err := d.engine.blobPushes.Do(ctx, &d.engine.running, contentKey{d.place, idOf(blob)},
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
