package transfer

import (
	"context"
	"slices"

	"github.com/regsync/regsync/internal/retry"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// probeLimit is the size, in bytes, above which a blob is asked for by HEAD while it is not
// known whether the registry answers a mount from the blob's own repository.
const probeLimit = 1 << 20

// blobUpload brings one blob to one repository, in the cheapest way there is: known to be
// there, mounted, asked for, sent.
type blobUpload struct {
	engine    *Engine
	source    content.Source
	sourceRef reference.Reference
	target    content.Target
	targetRef reference.Reference
	registry  *registry
	place     place
	blob      content.Descriptor
	supply    *supply
	ended     <-chan struct{} // of the delivery that this is for

	// begin says that the bytes begin to move, and reports whether they may.
	begin func() bool
	// upload is open, because a mount was answered with one; nil otherwise.
	upload content.Upload
	// renewed: the registry has dropped an upload that waited long for its turn.
	renewed bool
	// gaveWay: its spool was needed for another blob; it is served later, without one.
	gaveWay bool
	// lies counts the readings that gave other bytes than the blob's.
	lies int
}

// blobResult is how a blob came to be in a repository.
type blobResult struct {
	outcome BlobOutcome
	from    string // the repository it was mounted from
}

// run ends when the blob is in the repository. Of the repositories of one registry that
// need a blob at the same time one leads and the others wait, holding nothing, to mount
// from it; when it fails, the next one leads. Where a registry mounts only what a manifest
// refers to, they wait for that.
func (u *blobUpload) run(ctx context.Context) (blobResult, error) {
	defer func() { cancelUpload(ctx, u.upload) }()
	for {
		step := u.next()
		switch {
		case step.here:
			return blobResult{outcome: BlobExists}, nil
		case step.mountFrom != "":
			if mounted, err := u.mount(ctx, step.mountFrom, step.committed); err != nil {
				return blobResult{}, err
			} else if mounted {
				return blobResult{outcome: BlobMounted, from: step.mountFrom}, nil
			}
		case step.wait != nil:
			if err := u.wait(ctx, step); err != nil {
				return blobResult{}, err
			}
		default:
			result, err := u.lead(ctx)
			u.resign(step.leading)
			return result, err
		}
	}
}

func (u *blobUpload) wait(ctx context.Context, s step) error {
	if s.waitFor != "" {
		defer u.registry.waited(u.place.repository, s.waitFor)
	}
	select {
	case <-s.wait:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// step is what to do next for a blob; the first field that is set says it.
type step struct {
	here      bool
	mountFrom string
	committed bool // a manifest refers to the blob there
	wait      <-chan struct{}
	waitFor   string // the repository whose manifest it is, where it is one
	leading   chan struct{}
}

// next decides by what is known of the registry, and takes the lead where nobody has it.
func (u *blobUpload) next() step {
	_, mountable := u.target.(content.Mounter)
	r := u.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.blob(u.blob.Digest)
	if _, here := b.seen[u.place.repository]; here {
		return step{here: true}
	}
	if mountable && (r.mounts != no || r.mountAgain) {
		for from := range b.seen {
			early := (r.mounts == committed || r.mounts == no) && b.put[from] != nil && !b.committed[from]
			if !b.refused[from] && !early {
				r.mountAgain = false
				return step{mountFrom: from, committed: b.committed[from]}
			}
		}
	}
	if b.leading != nil && mountable && r.mounts != no {
		return step{wait: b.leading}
	}
	if from, ended := r.await(b, u.place.repository); ended != nil {
		return step{wait: ended, waitFor: from}
	}
	leading := make(chan struct{})
	if b.leading == nil {
		b.leading = leading
	}
	return step{leading: leading}
}

// resign ends the lead, won or lost.
func (u *blobUpload) resign(leading chan struct{}) {
	u.registry.mu.Lock()
	defer u.registry.mu.Unlock()
	if b := u.registry.blob(u.blob.Digest); b.leading == leading {
		b.leading = nil
	}
	close(leading)
}

// mount asks for the blob from another repository of the registry, where a manifest refers
// to it or not. An error is one of the context only: whatever else a registry answers means
// "not from there".
func (u *blobUpload) mount(ctx context.Context, from string, committed bool) (bool, error) {
	mounter, ok := u.target.(content.Mounter)
	if !ok {
		return false, nil
	}
	upload, err := mounter.Mount(ctx, u.blob, from)
	if ctx.Err() != nil {
		cancelUpload(ctx, upload)
		return false, context.Cause(ctx)
	}
	granted := err == nil && upload == nil
	u.registry.mounted(from, u.blob.Digest, mountAnswer{granted: granted, final: !retry.Retryable(err), committed: committed})
	if granted {
		u.registry.learn(u.place.repository, u.blob.Digest)
		return true, nil
	}
	if upload != nil {
		cancelUpload(ctx, u.upload)
		u.upload = upload
	}
	return false, nil
}

// lead brings the blob, unless the run is to end before its bytes begin to move.
func (u *blobUpload) lead(ctx context.Context) (blobResult, error) {
	ctx, begin, stop := u.engine.untilDraining(ctx)
	defer stop()
	if ctx.Err() != nil {
		return blobResult{}, context.Cause(ctx)
	}
	u.begin = begin
	result, err := u.bring(ctx)
	return result, deferral(ctx, err)
}

// bring mounts by hint, asks whether the blob is there, or sends it.
func (u *blobUpload) bring(ctx context.Context) (blobResult, error) {
	for _, from := range u.hints() {
		if mounted, err := u.mount(ctx, from, false); err != nil {
			return blobResult{}, err
		} else if mounted {
			return blobResult{outcome: BlobMounted, from: from}, nil
		}
	}
	here, err := u.ask(ctx)
	if err != nil {
		return blobResult{}, u.atTarget(err)
	}
	if here {
		u.registry.learn(u.place.repository, u.blob.Digest)
		return blobResult{outcome: BlobExists}, nil
	}
	if err := u.send(ctx); err != nil {
		return blobResult{}, err
	}
	if u.blob.Size > probeLimit {
		u.registry.learnForLater(ctx)
	}
	return blobResult{outcome: BlobSent}, nil
}

// learnPut notes that the blob was put: before the stream ends that others wait for, so
// that they find it there.
func (u *blobUpload) learnPut() {
	u.registry.learnPut(u.place.repository, u.blob.Digest, u.ended)
	u.registry.keepSample(u.target, u.blob)
}

// hints are the repositories of the target's registry that may have the blob, each once: the
// source's own, where it is that registry, and those that Options.MountHints names.
func (u *blobUpload) hints() []string {
	if _, ok := u.target.(content.Mounter); !ok {
		return nil
	}
	var from []string
	if at := placeOf(u.source.Location()); at.registry == u.place.registry {
		from = append(from, at.repository)
	}
	if u.engine.options.MountHints != nil {
		from = append(from, u.engine.options.MountHints(u.registry.name, u.blob.Digest)...)
	}
	u.registry.mu.Lock()
	defer u.registry.mu.Unlock()
	refused, named := u.registry.blob(u.blob.Digest).refused, map[string]bool{}
	return slices.DeleteFunc(from, func(repository string) bool {
		again := named[repository]
		named[repository] = true
		return again || repository == u.place.repository || repository == "" || refused[repository]
	})
}

// ask finds out whether the blob is in the repository. A mount from the repository itself
// does that and opens the upload in one request; where it is not known to, only blobs that
// are cheap to send are asked for so.
func (u *blobUpload) ask(ctx context.Context) (bool, error) {
	big := u.blob.Size > probeLimit
	if u.upload != nil && !big {
		return false, nil
	}
	mounter, ok := u.target.(content.Mounter)
	if ok && big {
		u.registry.awaitSample(ctx)
		u.registry.learnProbe(ctx)
	}
	probes := u.registry.canProbe()
	if ok && u.upload == nil && (probes == yes || probes == unknown && !big) {
		upload, err := mounter.Mount(ctx, u.blob, u.place.repository)
		if err == nil {
			u.upload = upload
			u.registry.probed(upload == nil, false)
			return upload == nil, nil
		}
		if ctx.Err() != nil {
			return false, err
		}
	}
	return u.target.HasBlob(ctx, u.blob)
}
