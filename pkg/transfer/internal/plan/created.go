package plan

import (
	"context"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// Created is when an image was made, as its configuration says; of an index, the newest of
// the images in it, because a rebuild of one platform makes a new index. It is zero where
// that is not said, as of what is no image. It costs the manifest and the configuration of
// each image; manifests are taken from the run's memory where they are in it.
func Created(ctx context.Context, manifests content.ManifestFetcher, blobs content.BlobFetcher, m *content.Manifest) (time.Time, error) {
	if m.Config != nil {
		return content.Created(ctx, blobs, *m.Config)
	}
	var newest time.Time
	for _, child := range m.Manifests {
		if isAttestation(child) || content.IsIndex(child.MediaType) {
			continue
		}
		image, err := content.FetchAndParse(ctx, manifests, child)
		if err != nil {
			return time.Time{}, err
		}
		if image.Config == nil {
			continue
		}
		at, err := content.Created(ctx, blobs, *image.Config)
		if err != nil {
			return time.Time{}, err
		}
		if at.After(newest) {
			newest = at
		}
	}
	return newest, nil
}
