package transfer

import (
	"context"
	"errors"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
)

// pushManifest puts a manifest whose blobs and children are there; without a tag, once in a
// run however many images need it in the repository. Where another image's delivery fails at
// it, this one tries it itself.
func (d *delivery) pushManifest(ctx context.Context, tree *content.Tree, m *content.Manifest, tag string) (content.ManifestPushed, error) {
	key := contentKey{d.place, idOf(m.Descriptor)}
	if tag != "" {
		pushed, err := d.put(ctx, tree, m, tag)
		if err == nil {
			d.engine.manifestPushes.Keep(key, pushed)
		}
		return pushed, err
	}
	for {
		pushed, mine, err := d.engine.manifestPushes.Do(ctx, &d.engine.running, key, func(ctx context.Context) (content.ManifestPushed, error) {
			return d.put(ctx, tree, m, "")
		})
		if err == nil || mine || ctx.Err() != nil {
			return pushed, err
		}
	}
}

// put puts a manifest. A registry that refuses it for a cause that may be what is not there
// is believed: blobs and children are asked for, what is missing is sent, and the manifest is
// put once more.
func (d *delivery) put(ctx context.Context, tree *content.Tree, m *content.Manifest, tag string) (content.ManifestPushed, error) {
	pushed, err := d.at.target.PushManifest(ctx, m.Descriptor, m.Raw, tag)
	if err != nil && ctx.Err() == nil && mayLackBlobs(err) {
		missing, checkErr := d.complete(ctx, tree, m)
		if checkErr != nil {
			return pushed, checkErr
		}
		if missing {
			pushed, err = d.at.target.PushManifest(ctx, m.Descriptor, m.Raw, tag)
		}
	}
	if err != nil {
		return pushed, onSide(SideDestination, d.ref, err)
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

// complete asks for everything that m refers to and sends what is missing.
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
			d.engine.manifestPushes.Forget(contentKey{d.place, idOf(child)})
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
	if err := d.pushBelow(ctx, tree, m); err != nil {
		return err
	}
	_, err := d.pushManifest(ctx, tree, m, "")
	return err
}
