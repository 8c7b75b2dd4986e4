package transfer

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// created is when an image was made, as its configuration says; of an index, the newest of
// the images in it, because a rebuild of one platform makes a new index. It is zero where
// that is not said, as of what is no image. It costs the manifest and the configuration of
// each image; manifests are taken from the run's memory where they are in it.
func created(ctx context.Context, manifests content.ManifestFetcher, blobs content.BlobFetcher, m *content.Manifest) (time.Time, error) {
	if m.Config != nil {
		return configCreated(ctx, blobs, *m.Config)
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
		at, err := configCreated(ctx, blobs, *image.Config)
		if err != nil {
			return time.Time{}, err
		}
		if at.After(newest) {
			newest = at
		}
	}
	return newest, nil
}

// configCreated reads the time from an image's configuration; one that is no time is none.
func configCreated(ctx context.Context, blobs content.BlobFetcher, config content.Descriptor) (time.Time, error) {
	if !content.IsImageConfig(config.MediaType) || config.Size > maxConfigSize {
		return time.Time{}, nil
	}
	body, err := blobs.FetchBlob(ctx, config)
	if err != nil {
		return time.Time{}, err
	}
	defer body.Close()
	raw, err := io.ReadAll(content.NewVerifier(body, config))
	if err != nil {
		return time.Time{}, err
	}
	var image struct{ Created string }
	if json.Unmarshal(raw, &image) != nil {
		return time.Time{}, nil
	}
	at, _ := time.Parse(time.RFC3339, image.Created) // zero where it is none
	return at, nil
}
