// Package deliver pushes manifests to one destination, each after everything below it.
//
// Start at [Run.Open]. A [Delivery] requests the blobs of a tree, waits for them, and pushes its
// manifests; the root last, with the tag.
package deliver

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
	"github.com/regsync/regsync/pkg/transfer/internal/blobs"
)

// parallel is how many children of an index are pushed at a time.
const parallel = 8

// Observer receives the events of manifests. Its methods are called concurrently and must not block.
type Observer interface {
	ManifestPushed(to reference.Reference, m content.Descriptor, tag string)
	// BlobOmitted is called once for each foreign layer that a delivery leaves out.
	BlobOmitted(to reference.Reference, blob content.Descriptor)
}

// Run has what the deliveries of a run share: a manifest is pushed to a repository once.
type Run struct {
	Limiter  *limit.Limiter
	Observer Observer
	// Running counts goroutines that several deliveries share.
	Running *sync.WaitGroup
	// AtDestination marks an error as one of the destination.
	AtDestination func(reference.Reference, error) error

	pushes flight.Memo[key, content.ManifestPushed]
}

// Pending is how many manifests are being pushed.
func (r *Run) Pending() int { return r.pushes.Pending() }

// key is a manifest at a place, as a descriptor describes it.
type key struct {
	at     content.Location
	digest digest.Digest
	size   int64
}

// Options describes a delivery.
type Options struct {
	Target content.Target
	// Ref is the destination. Errors and events name it; the tag may be empty.
	Ref   reference.Reference
	Blobs *blobs.Delivery
	// Announce is called with the blobs of each tree before they are requested.
	Announce func([]content.Descriptor)
	// PushAttestation is called with the push of each attestation in an index; nil pushes them like other manifests.
	PushAttestation func(ctx context.Context, push func() error) error
	// Foreign copies foreign layers, too.
	Foreign bool
	// Attached: what is pushed is attached to an image, so that a refusal concerns nothing else.
	Attached bool
	// Adds: the tag is not there yet, so that a refusal concerns the repository, not the tag.
	Adds bool
}

// Delivery pushes manifests to one destination.
type Delivery struct {
	run *Run
	Options
	omitted sync.Map // foreign layers that were reported, by digest
}

// Open starts a delivery. The caller releases its blobs.
func (r *Run) Open(options Options) *Delivery {
	return &Delivery{run: r, Options: options}
}

// ForAttached returns a delivery to the same place for what is attached to the image.
func (d *Delivery) ForAttached() *Delivery {
	options := d.Options
	options.Attached, options.PushAttestation = true, nil
	return d.run.Open(options)
}

// Need requests the blobs of a tree.
func (d *Delivery) Need(tree *content.Tree) {
	all := d.blobsBelow(tree, tree.Root)
	d.Announce(all)
	d.Blobs.Need(all...)
}

// PushBelow waits for the blobs of a manifest, and pushes its children as soon as their own
// blobs exist. moved: the destination lacked a blob of the manifest.
func (d *Delivery) PushBelow(ctx context.Context, tree *content.Tree, m *content.Manifest) (moved bool, err error) {
	group, putting := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, child := range m.Manifests {
		below := tree.Manifest(child.Digest)
		if below == nil {
			continue
		}
		if _, err := d.PushBelow(putting, tree, below); err != nil {
			return false, cmp.Or(group.Wait(), err)
		}
		group.Go(func() error {
			push := func() error {
				_, err := d.Push(putting, tree, below, "")
				return err
			}
			if d.PushAttestation != nil && content.IsAttestation(child) {
				return d.PushAttestation(putting, push)
			}
			return push()
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	return d.Blobs.Wait(ctx, d.blobsOf(m)...)
}

// blobsBelow returns the blobs of a manifest and of everything below it that are copied.
func (d *Delivery) blobsBelow(tree *content.Tree, m *content.Manifest) []content.Descriptor {
	all := d.blobsOf(m)
	for _, child := range m.Manifests {
		if below := tree.Manifest(child.Digest); below != nil {
			all = append(all, d.blobsBelow(tree, below)...)
		}
	}
	return all
}

// blobsOf returns the blobs of a manifest without the foreign layers that the job leaves out.
func (d *Delivery) blobsOf(m *content.Manifest) []content.Descriptor {
	return slices.DeleteFunc(m.Blobs(), func(blob content.Descriptor) bool {
		if !content.IsForeign(blob) || d.Foreign {
			return false
		}
		if _, reported := d.omitted.LoadOrStore(blob.Digest, true); !reported {
			d.run.Observer.BlobOmitted(d.Ref, blob)
		}
		return true
	})
}

func (d *Delivery) keyOf(m content.Descriptor) key { return key{d.Target.Location(), m.Digest, m.Size} }

// Push pushes a manifest whose blobs and children exist. Without a tag, the manifest is pushed once in a run, however many
// images need it in the repository. If another image's delivery fails to push it, this one tries.
func (d *Delivery) Push(ctx context.Context, tree *content.Tree, m *content.Manifest, tag string) (content.ManifestPushed, error) {
	k := d.keyOf(m.Descriptor)
	if tag != "" {
		pushed, err := d.put(ctx, tree, m, tag)
		if err == nil {
			d.run.pushes.Keep(k, pushed)
		}
		return pushed, d.run.AtDestination(d.Ref, err)
	}
	for {
		pushed, executed, err := d.run.pushes.Do(ctx, d.run.Running, k, func(ctx context.Context) (content.ManifestPushed, error) {
			return d.put(ctx, tree, m, "")
		})
		_, refused := errors.AsType[Refusal](err)
		if err == nil || executed || refused || ctx.Err() != nil {
			return pushed, d.run.AtDestination(d.Ref, err)
		}
	}
}

// Refusal is the destination's answer to the push of a manifest, which other deliveries that wait for the push would get, too.
type Refusal struct {
	error
	// Manifest is the digest of the manifest that was refused.
	Manifest digest.Digest
}

// Unwrap returns the answer.
func (r Refusal) Unwrap() error { return r.error }

// put pushes a manifest. If the registry refuses it, possibly because blobs or children are missing, put checks
// them, sends those that are missing, and pushes the manifest once more. It also does so if the registry reports a
// missing blob and then has it: one replica of a registry may see a blob later than another.
func (d *Delivery) put(ctx context.Context, tree *content.Tree, m *content.Manifest, tag string) (content.ManifestPushed, error) {
	pushed, err := d.putOnce(ctx, m, tag)
	if err != nil && ctx.Err() == nil && mayLackBlobs(err) {
		missing, checkErr := d.complete(ctx, tree, m)
		if checkErr != nil {
			return pushed, checkErr
		}
		if missing || mayPass(err) {
			pushed, err = d.putOnce(ctx, m, tag)
		}
	}
	if err != nil {
		// An existing tag may be refused because it is immutable. If a new tag is refused, the repository refuses all pushes.
		if refusesAccount(err) && !d.Attached && (tag == "" || d.Adds) {
			d.Blobs.Refuse(err)
		}
		return pushed, Refusal{err, m.Descriptor.Digest}
	}
	d.run.Observer.ManifestPushed(d.Ref, m.Descriptor, tag)
	return pushed, nil
}

// putOnce puts a manifest. A registry client waits for a slot itself; a local place needs a slot,
// too, because each manifest there opens files.
func (d *Delivery) putOnce(ctx context.Context, m *content.Manifest, tag string) (content.ManifestPushed, error) {
	if content.IsRereadable(d.Target) {
		release, err := d.run.Limiter.Acquire(ctx, limit.Peer{Registry: d.Target.Location().Registry}, limit.Small)
		if err != nil {
			return content.ManifestPushed{}, err
		}
		defer release()
	}
	d.Blobs.PushedManifest()
	return d.Target.PushManifest(ctx, m.Descriptor, m.Raw, tag)
}

func refusesAccount(err error) bool {
	return errors.Is(err, content.ErrDenied) || errors.Is(err, content.ErrUnauthorized) || errors.Is(err, content.ErrQuota)
}

// mayLackBlobs reports whether a manifest may have been refused because something is missing. Registries say so in many ways:
// MANIFEST_BLOB_UNKNOWN (distribution), MANIFEST_INVALID (zot), BLOB_UPLOAD_UNKNOWN (ECR).
func mayLackBlobs(err error) bool {
	return !refusesAccount(err) && !errors.Is(err, content.ErrUnconfirmed) && !errors.Is(err, content.ErrImmutable) &&
		!errors.Is(err, content.ErrPolicy) && !errors.Is(err, content.ErrUnsupported) &&
		!retry.Retryable(err) && retry.After(err) == 0
}

// mayPass reports whether a registry may accept a manifest that it has refused, although nothing is missing: it said that
// a blob or child is missing, or that the manifest, whose digest has been verified, does not match its digest. Distribution
// says so if two clients push the same manifest at the same time.
func mayPass(err error) bool {
	return slices.Contains([]string{"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "DIGEST_INVALID"}, content.AnswerOf(err).Code)
}

// complete checks everything that m refers to and sends what is missing.
func (d *Delivery) complete(ctx context.Context, tree *content.Tree, m *content.Manifest) (missing bool, err error) {
	all := d.blobsOf(m)
	d.Blobs.Recheck(all...)
	if missing, err = d.Blobs.Wait(ctx, all...); err != nil {
		return false, err
	}
	for _, child := range m.Manifests {
		below := tree.Manifest(child.Digest)
		if below == nil {
			continue
		}
		_, err := d.Target.Resolve(ctx, child.Digest.String())
		switch {
		case err == nil:
		case errors.Is(err, content.ErrNotFound):
			missing = true
			d.run.pushes.Forget(d.keyOf(child))
			blobs := d.blobsBelow(tree, below)
			d.Blobs.Recheck(blobs...)
			d.Blobs.Need(blobs...)
			if _, err := d.PushBelow(ctx, tree, below); err != nil {
				return false, err
			}
			if _, err := d.Push(ctx, tree, below, ""); err != nil {
				return false, err
			}
		default:
			return false, Refusal{err, child.Digest}
		}
	}
	return missing, nil
}
