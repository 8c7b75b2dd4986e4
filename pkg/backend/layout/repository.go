package layout

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// layout is embedded under a name of ours, so that it is no field of the API.
type layout = Layout

// Repository is those images of a layout whose full names, "docker.io/library/nginx:1.25", have one repository.
// Blobs and manifests are the whole layout's; tags are its own. It has every optional ability.
type Repository struct {
	*layout
	transport string
	name      string
}

var (
	_ content.Target    = (*Repository)(nil)
	_ content.Mounter   = (*Repository)(nil)
	_ content.TagLister = (*Repository)(nil)
	_ content.Deleter   = (*Repository)(nil)
)

// Location implements [content.Located]: the registry is the transport and the directory.
func (r *Repository) Location() content.Location {
	return content.Location{Registry: r.transport + ":" + r.Path(), Repository: r.name}
}

// Resolve implements [content.Resolver].
func (r *Repository) Resolve(ctx context.Context, tagOrDigest string) (content.Descriptor, error) {
	if digest.Digest(tagOrDigest).Validate() == nil {
		return r.layout.Resolve(ctx, tagOrDigest)
	}
	if err := r.check(tagOrDigest); err != nil {
		return content.Descriptor{}, err
	}
	return r.layout.Resolve(ctx, r.full(tagOrDigest))
}

// PushManifest implements [content.ManifestPusher].
func (r *Repository) PushManifest(ctx context.Context, d content.Descriptor, raw []byte, tag string) (content.ManifestPushed, error) {
	if tag == "" {
		return r.layout.PushManifest(ctx, d, raw, "")
	}
	if err := r.check(tag); err != nil {
		return content.ManifestPushed{}, err
	}
	return r.layout.PushManifest(ctx, d, raw, r.full(tag))
}

// Mount implements [content.Mounter]. What one repository has, all have.
func (r *Repository) Mount(ctx context.Context, d content.Descriptor, _ string) (content.Upload, error) {
	if there, err := r.HasBlob(ctx, d); there || err != nil {
		return nil, err
	}
	return r.StartUpload(ctx, d)
}

// Tags implements [content.TagLister]. The [content.InvalidNamesError] counts entries without a
// valid digest of all repositories.
func (r *Repository) Tags(ctx context.Context) iter.Seq2[string, error] {
	return r.listTags(ctx, "tag", func([]content.Descriptor) func(content.Descriptor) (string, string) {
		return func(entry content.Descriptor) (tag, leftOut string) {
			tag, ours := strings.CutPrefix(FullName(entry), r.full(""))
			switch {
			case !ours:
				return "", ""
			case reference.CheckTag(tag) != nil:
				return "", FullName(entry)
			}
			return tag, ""
		}
	})
}

// Delete implements [content.Deleter]. A digest goes from this repository alone, unless it
// has no name in any. [Layout.GC] frees its blobs.
func (r *Repository) Delete(ctx context.Context, tagOrDigest string) error {
	d := digest.Digest(tagOrDigest)
	if d.Validate() != nil {
		if err := r.check(tagOrDigest); err != nil {
			return err
		}
		return r.layout.Delete(ctx, r.full(tagOrDigest))
	}
	err := r.DeleteManifest(ctx, d, func(entry content.Descriptor) bool {
		name := FullName(entry)
		return name == "" || strings.HasPrefix(name, r.full(""))
	})
	if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// check refuses what is no tag: after the name of the repository, "x/y:1" would name an image
// in another one.
func (r *Repository) check(tag string) error {
	if err := content.CheckTag(tag); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

func (r *Repository) full(tag string) string { return r.name + ":" + tag }
