// Package store is the local image store: what pull, tag, push, images and rmi work on.
//
// Start at [Open]. The store is one OCI image layout, so that images share blobs on disk
// and other tools can read it; an image's full name, "docker.io/library/nginx:1.25", is
// its entry's org.opencontainers.image.ref.name. [Store.Repository] gives the engine a
// repository of it; the other methods are Docker's commands.
//
// What is listed is complete: an image of which one platform was pulled is that platform's
// own manifest.
package store

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Store is a local image store. Its methods may be called concurrently.
type Store struct {
	layout *layout.Layout
	hints  hints
}

var _ io.Closer = (*Store)(nil)

// Open opens the store in a directory and makes it where there is none. Errors of a disk
// that is full or may not be written to are a [layout.DiskError].
func Open(dir string) (*Store, error) {
	l, err := layout.OpenOrCreate(dir)
	if err != nil {
		return nil, fmt.Errorf("open the local store: %w", err)
	}
	return &Store{layout: l}, nil
}

// OpenExisting opens the store in a directory and makes nothing: where there is none, the
// error is a [content.ErrNotFound].
func OpenExisting(dir string) (*Store, error) {
	l, err := layout.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the local store: %w", err)
	}
	return &Store{layout: l}, nil
}

// Path is the store's directory, absolute.
func (s *Store) Path() string { return s.layout.Path() }

// Close ends writing: until then no process frees blobs, see [layout.Layout.Close]. The
// store may be used again after it.
func (s *Store) Close() error { return s.layout.Close() }

// Repository is the repository that ref names; its transport, tag and digest are not
// looked at.
func (s *Store) Repository(ref reference.Reference) *Repository {
	return &Repository{shared: s.layout, name: nameOf(ref)}
}

// nameOf is a repository's name in the store, the same whatever the transport is.
func nameOf(ref reference.Reference) string { return ref.Registry + "/" + ref.Repository }

// shared is embedded under a name of ours, so that it is no field of the API.
type shared = layout.Layout

// Repository is one repository of a [Store]. Blobs and manifests are the whole store's;
// tags are its own. It has every optional ability.
type Repository struct {
	*shared
	name string
}

var (
	_ content.Target          = (*Repository)(nil)
	_ content.Mounter         = (*Repository)(nil)
	_ content.RangeFetcher    = (*Repository)(nil)
	_ content.UploadResumer   = (*Repository)(nil)
	_ content.TagLister       = (*Repository)(nil)
	_ content.ReferrersLister = (*Repository)(nil)
	_ content.Deleter         = (*Repository)(nil)
	_ content.Rereader        = (*Repository)(nil)
)

// Location implements [content.Located]: the registry is "store:" and the directory.
func (r *Repository) Location() content.Location {
	return content.Location{Registry: "store:" + r.Path(), Repository: r.name}
}

// Resolve implements [content.Resolver].
func (r *Repository) Resolve(ctx context.Context, tagOrDigest string) (content.Descriptor, error) {
	if digest.Digest(tagOrDigest).Validate() == nil {
		return r.shared.Resolve(ctx, tagOrDigest)
	}
	if err := r.check(tagOrDigest); err != nil {
		return content.Descriptor{}, err
	}
	return r.shared.Resolve(ctx, r.full(tagOrDigest))
}

// PushManifest implements [content.ManifestPusher].
func (r *Repository) PushManifest(ctx context.Context, d content.Descriptor, raw []byte, tag string) (content.ManifestPushed, error) {
	if tag == "" {
		return r.shared.PushManifest(ctx, d, raw, "")
	}
	if err := r.check(tag); err != nil {
		return content.ManifestPushed{}, err
	}
	return r.shared.PushManifest(ctx, d, raw, r.full(tag))
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
	return func(yield func(string, error) bool) {
		entries, err := r.Entries(ctx)
		invalid, failure := content.SplitInvalidNames(err)
		if failure != nil {
			yield("", failure)
			return
		}
		if invalid == nil {
			invalid = &content.InvalidNamesError{Kind: "tag"}
		}
		seen := map[string]bool{}
		for _, entry := range entries {
			tag, ours := strings.CutPrefix(entryName(entry), r.full(""))
			switch {
			case !ours || seen[tag]:
				continue
			case reference.CheckTag(tag) != nil:
				invalid.Add(tag)
			case !yield(tag, nil):
				return
			}
			seen[tag] = true
		}
		if err := invalid.Err(); err != nil {
			yield("", err)
		}
	}
}

// Delete implements [content.Deleter]. A digest goes from this repository alone, unless it
// has no name in any. Blobs are freed by [Store.Remove].
func (r *Repository) Delete(ctx context.Context, tagOrDigest string) error {
	d := digest.Digest(tagOrDigest)
	if d.Validate() != nil {
		if err := r.check(tagOrDigest); err != nil {
			return err
		}
		return r.shared.Delete(ctx, r.full(tagOrDigest))
	}
	err := r.DeleteManifest(ctx, d, func(entry content.Descriptor) bool {
		name := entryName(entry)
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
