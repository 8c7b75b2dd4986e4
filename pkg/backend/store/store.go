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
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Store is a local image store. Its methods may be called concurrently.
type Store struct {
	layout *layout.Layout

	mu    sync.Mutex
	hints map[place][]string // repositories; read from the images when first needed
}

var _ io.Closer = (*Store)(nil)

// Open opens the store in a directory, and creates it if it does not exist. Errors of a disk
// that is full or may not be written to are a [layout.DiskError].
func Open(dir string) (*Store, error) { return open(dir, layout.OpenOrCreate) }

// OpenExisting opens the store in a directory and creates nothing: if it does not exist, the
// error is a [content.ErrNotFound].
func OpenExisting(dir string) (*Store, error) { return open(dir, layout.Open) }

func open(dir string, openLayout func(path string) (*layout.Layout, error)) (*Store, error) {
	l, err := openLayout(dir)
	if err != nil {
		return nil, fmt.Errorf("open the local store: %w", err)
	}
	return &Store{layout: l}, nil
}

// Close ends writing: until then no process frees blobs, see [layout.Layout.Close]. The
// store may be used again after it.
func (s *Store) Close() error { return s.layout.Close() }

// Repository is the repository that ref names; its transport, tag and digest are not
// looked at.
func (s *Store) Repository(ref reference.Reference) *layout.Repository {
	return s.layout.Repository(string(reference.Store), nameOf(ref))
}

// nameOf is a repository's name in the store, the same whatever the transport is.
func nameOf(ref reference.Reference) string { return ref.Registry + "/" + ref.Repository }

// Tag gives the image that src names (see [Store.Find]) another name, which an image of
// that name loses. The name needs a tag and has no digest.
func (s *Store) Tag(ctx context.Context, src string, dst reference.Reference) error {
	if dst.Tag == "" || dst.Digest != "" || dst.Registry == "" {
		return fmt.Errorf("tag %s: %w: want a name with a tag", dst, content.ErrInvalid)
	}
	image, err := s.Find(ctx, src)
	if err != nil {
		return err
	}
	name := nameOf(dst) + ":" + dst.Tag
	return s.layout.Update(ctx, func(entries []content.Descriptor) ([]content.Descriptor, error) {
		from := slices.IndexFunc(entries, image.isEntry)
		if from < 0 {
			return nil, fmt.Errorf("image %q has just been removed: %w", src, content.ErrNotFound)
		}
		if image.name == name {
			return entries, nil
		}
		tagged := entries[from]
		tagged.Annotations = map[string]string{ocispec.AnnotationRefName: name}
		if seen := entries[from].Annotations[annotationSeenAt]; seen != "" {
			tagged.Annotations[annotationSeenAt] = seen
		}
		entries = slices.DeleteFunc(entries, func(e content.Descriptor) bool { return layout.FullName(e) == name })
		return append(entries, tagged), nil
	})
}

// isEntry reports whether an entry of the layout is this image under this name.
func (i Image) isEntry(entry content.Descriptor) bool {
	return entry.Digest == i.Digest && layout.FullName(entry) == i.name
}

// Removal is what a removal did.
type Removal struct {
	// Untagged are the removed names, as Docker users write them.
	Untagged []string
	// Deleted are the IDs of the deleted images, which have no name left.
	Deleted []digest.Digest
	// Freed is the bytes that this freed on disk.
	Freed int64
	// Deferred: an image is being written to the store, so that nothing could be freed
	// now; the next removal will.
	Deferred bool
}

// ConflictError says that an ID that was to be removed has names in several repositories.
type ConflictError struct {
	ID    digest.Digest
	Names []string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("image %s has names in several repositories: %s", shortID(e.ID), strings.Join(e.Names, ", "))
}

// Remove removes images as docker rmi does. A name is untagged, and the image deleted with
// its last name; an ID is removed with all its names, which needs force where they are in
// several repositories (a [ConflictError]). Blobs that no image needs are freed.
func (s *Store) Remove(ctx context.Context, nameOrID string, force bool) (*Removal, error) {
	images, err := s.Images(ctx)
	if _, failure := content.SplitInvalidNames(err); failure != nil {
		return nil, failure
	}
	found, byID, err := find(images, nameOrID)
	if err != nil {
		return nil, err
	}
	if byID && !force {
		if err := conflict(found, nameOrID); err != nil {
			return nil, err
		}
	}
	removal, err := s.unlist(ctx, found)
	if err != nil || len(removal.Deleted) == 0 {
		return removal, err
	}
	removal.Freed, err = s.layout.GC(ctx)
	if errors.Is(err, layout.ErrInUse) {
		removal.Deferred, err = true, nil
	}
	return removal, err
}

// conflict is an error if removing asked takes names in other repositories with it.
func conflict(found []Image, asked string) error {
	var repositories, names []string
	if ref, err := reference.Parse(asked); err == nil && ref.Digest != "" {
		repositories = append(repositories, nameOf(ref))
	}
	for _, image := range found {
		names = append(names, image.title())
		if name := nameOf(image.Reference); !slices.Contains(repositories, name) {
			repositories = append(repositories, name)
		}
	}
	if len(repositories) > 1 {
		return &ConflictError{ID: found[0].ID, Names: names}
	}
	return nil
}

func (s *Store) unlist(ctx context.Context, found []Image) (*Removal, error) {
	removal := &Removal{}
	err := s.layout.Update(ctx, func(entries []content.Descriptor) ([]content.Descriptor, error) {
		return slices.DeleteFunc(entries, func(e content.Descriptor) bool {
			return slices.ContainsFunc(found, func(i Image) bool { return i.isEntry(e) })
		}), nil
	})
	if err != nil {
		return nil, err
	}
	left, err := s.Images(ctx)
	if _, failure := content.SplitInvalidNames(err); failure != nil {
		return nil, failure
	}
	for _, image := range found {
		if image.name != "" {
			removal.Untagged = append(removal.Untagged, image.title())
		}
		lives := slices.ContainsFunc(left, func(i Image) bool { return i.ID == image.ID })
		if !lives && !slices.Contains(removal.Deleted, image.ID) {
			removal.Deleted = append(removal.Deleted, image.ID)
		}
	}
	return removal, nil
}

// annotationSeenAt lists the repositories that have an image, by their full names with
// commas between, the latest first.
const annotationSeenAt = "io.github.regsync.seen-at"

// maxSeenAt bounds that list.
const maxSeenAt = 8

// Seen remembers that a repository has the image of this manifest digest, because it was
// just pulled from there or pushed to there.
func (s *Store) Seen(ctx context.Context, image digest.Digest, at reference.Reference) error {
	s.mu.Lock()
	s.hints = nil
	s.mu.Unlock()
	name := nameOf(at)
	return s.layout.Update(ctx, func(entries []content.Descriptor) ([]content.Descriptor, error) {
		found := false
		for i, entry := range entries {
			if entry.Digest != image {
				continue
			}
			found = true
			seen := append([]string{name}, slices.DeleteFunc(seenAt(entry), func(s string) bool { return s == name })...)
			annotations := maps.Clone(entry.Annotations)
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[annotationSeenAt] = strings.Join(seen[:min(len(seen), maxSeenAt)], ",")
			entries[i].Annotations = annotations
		}
		if !found {
			return nil, fmt.Errorf("image %s: %w", image, content.ErrNotFound)
		}
		return entries, nil
	})
}

func seenAt(entry content.Descriptor) []string {
	list := entry.Annotations[annotationSeenAt]
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// MountHints names the repositories of a registry that had an image with the blob when the
// store last saw them, so that a mount may be tried. It is the engine's
// Options.MountHints. What cannot be read gives no hints.
func (s *Store) MountHints(registry string, blob digest.Digest) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hints == nil {
		s.hints = s.readHints(context.Background())
	}
	return slices.Clone(s.hints[place{registry, blob}])
}

// place is where a blob may be.
type place struct {
	registry string
	blob     digest.Digest
}

func (s *Store) readHints(ctx context.Context) map[place][]string {
	hints := map[place][]string{}
	entries, err := s.layout.Entries(ctx)
	if _, failure := content.SplitInvalidNames(err); failure != nil {
		return hints
	}
	for _, entry := range entries {
		repositories := seenAt(entry)
		if len(repositories) == 0 {
			continue
		}
		for _, blob := range s.read(ctx, entry).Blobs {
			for _, name := range repositories {
				registry, repository, _ := strings.Cut(name, "/")
				at := place{registry, blob.Digest}
				if reference.CheckRepository(repository) == nil && !slices.Contains(hints[at], repository) {
					hints[at] = append(hints[at], repository)
				}
			}
		}
	}
	return hints
}
