package content

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// maxConfigSize bounds an image's configuration, in bytes.
const maxConfigSize = 4 << 20

// Created reads the time at which an image was made from its configuration. It is zero where
// that states none, and where it is no image's, as those of artifacts.
func Created(ctx context.Context, from BlobFetcher, config Descriptor) (time.Time, error) {
	if !IsImageConfig(config.MediaType) || config.Size > maxConfigSize {
		return time.Time{}, nil
	}
	blob, err := from.FetchBlob(ctx, config)
	if err != nil {
		return time.Time{}, fmt.Errorf("config %s: %w", config.Digest, err)
	}
	defer blob.Close()
	raw, err := io.ReadAll(NewVerifier(blob, config))
	if err != nil {
		return time.Time{}, fmt.Errorf("config %s: %w", config.Digest, err)
	}
	var image struct {
		Created string `json:"created"`
	}
	if json.Unmarshal(raw, &image) != nil {
		return time.Time{}, nil
	}
	at, _ := time.Parse(time.RFC3339, image.Created) // zero where it is none
	return at, nil
}
