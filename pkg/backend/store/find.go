package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// AmbiguousError says that the first characters of an ID fit several images.
type AmbiguousError struct {
	Prefix string
	// Images are those it fits, one for each ID.
	Images []Image
}

func (e *AmbiguousError) Error() string {
	var fits []string
	for _, image := range e.Images {
		fits = append(fits, shortID(image.ID)+" ("+image.title()+")")
	}
	return fmt.Sprintf("image ID %q is ambiguous: it fits %s", e.Prefix, strings.Join(fits, ", "))
}

// title is how people know the image.
func (i Image) title() string {
	switch {
	case i.Reference != (reference.Reference{}):
		return i.Reference.Familiar()
	case i.name != "":
		return i.name
	default:
		return "<none>"
	}
}

// Find finds an image by name, by digest, or by the first characters of its ID; a name
// wins, as with Docker. It returns a [content.ErrNotFound] where there is none, and an
// [AmbiguousError] where several IDs begin so.
func (s *Store) Find(ctx context.Context, nameOrID string) (Image, error) {
	images, err := s.Images(ctx)
	if _, failure := content.SplitInvalidNames(err); failure != nil {
		return Image{}, failure
	}
	found, _, err := find(images, nameOrID)
	if err != nil {
		return Image{}, err
	}
	return found[0], nil
}

// find gives all rows of what nameOrID means, and whether that was an ID: what was seen
// somewhere but has no name from there is known by its digest alone.
func find(images []Image, nameOrID string) (found []Image, byID bool, err error) {
	ref, parseErr := reference.Parse(nameOrID)
	if parseErr == nil {
		if found := filter(images, func(i Image) bool { return i.hasName(ref) }); len(found) > 0 {
			return found, false, nil
		}
		if found := filter(images, func(i Image) bool { return i.wasSeenAs(ref) }); len(found) > 0 {
			return found, true, nil
		}
	}
	if found := filter(images, func(i Image) bool { return i.name != "" && i.name == nameOrID }); len(found) > 0 {
		return found, false, nil
	}
	if prefix, is := idPrefix(nameOrID); is {
		found, err := findByID(images, prefix)
		if len(found) > 0 || err != nil {
			return found, true, err
		}
	} else if parseErr != nil {
		return nil, false, parseErr
	}
	return nil, false, fmt.Errorf("no image %q in the local store: %w", nameOrID, content.ErrNotFound)
}

// hasName reports whether the image is what ref names, whatever the transport.
// An image without a name is what each of its repositories calls by the digest.
func (i Image) hasName(ref reference.Reference) bool {
	if i.name == "" {
		return i.wasSeenAs(ref)
	}
	if nameOf(i.Reference) != nameOf(ref) {
		return false
	}
	if ref.Digest != "" {
		return i.Digest == ref.Digest && (ref.Tag == "" || i.Reference.Tag == ref.Tag)
	}
	return i.Reference.Tag == ref.Tag
}

// wasSeenAs reports whether ref, REPOSITORY@DIGEST, is where the image was pulled from or
// pushed to, whatever it is called here.
func (i Image) wasSeenAs(ref reference.Reference) bool {
	return ref.Tag == "" && ref.Digest != "" && i.Digest == ref.Digest && slices.Contains(i.seen, nameOf(ref))
}

// idPrefix reads the first characters of an ID, with or without "sha256:".
func idPrefix(s string) (string, bool) {
	encoded := strings.TrimPrefix(s, "sha256:")
	return encoded, encoded != "" && strings.Trim(encoded, "0123456789abcdef") == ""
}

// findByID looks for IDs that begin so, and for a manifest that has just this digest.
func findByID(images []Image, prefix string) ([]Image, error) {
	found := filter(images, func(i Image) bool {
		return strings.HasPrefix(i.ID.Encoded(), prefix) || i.Digest.Encoded() == prefix
	})
	var ids []digest.Digest
	ambiguous := &AmbiguousError{Prefix: prefix}
	for _, image := range found {
		if !slices.Contains(ids, image.ID) {
			ids = append(ids, image.ID)
			ambiguous.Images = append(ambiguous.Images, image)
		}
	}
	if len(ids) > 1 {
		return nil, ambiguous
	}
	return found, nil
}

func filter(images []Image, keep func(Image) bool) []Image {
	return slices.DeleteFunc(slices.Clone(images), func(i Image) bool { return !keep(i) })
}
