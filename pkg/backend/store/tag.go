package store

import (
	"context"
	"fmt"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Tag gives the image that src names (see [Store.Find]) another name, which an image of
// that name loses. The name needs a tag and has no digest.
func (s *Store) Tag(ctx context.Context, src string, dst reference.Reference) error {
	if dst.Tag == "" || dst.Digest != "" || dst.Registry == "" {
		return fmt.Errorf("tag %s: %w: a name with a tag is wanted", dst, content.ErrInvalid)
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
		entries = slices.DeleteFunc(entries, func(e content.Descriptor) bool { return entryName(e) == name })
		return append(entries, tagged), nil
	})
}

// isEntry reports whether an entry of the layout is this image under this name.
func (i Image) isEntry(entry content.Descriptor) bool {
	return entry.Digest == i.Digest && entryName(entry) == i.name
}
