package transfer

import (
	"context"
	"errors"
	"time"

	"github.com/regsync/regsync/internal/retry"
	"github.com/regsync/regsync/pkg/content"
)

// blobMemory is how long a blob that no manifest refers to is relied on. Registries collect
// such blobs: zot after one hour, Harbor after two.
const blobMemory = 30 * time.Minute

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
