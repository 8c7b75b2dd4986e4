package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Removal is what a removal did.
type Removal struct {
	// Untagged are the names that are no more, as Docker users write them.
	Untagged []string
	// Deleted are the IDs of images that are no more: they have lost their last name.
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
