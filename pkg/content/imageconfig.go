package content

import (
	"context"
	"fmt"
)

// FetchImageConfig reads the configuration of an image by [ReadBlob]. It is nil, without a
// request, where config is no image's, as those of artifacts, or is larger than 4 MiB.
func FetchImageConfig(ctx context.Context, from BlobFetcher, config Descriptor) ([]byte, error) {
	if !IsImageConfig(config.MediaType) || config.Size > maxSmallBlob {
		return nil, nil
	}
	raw, err := ReadBlob(ctx, from, config)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", config.Digest, err)
	}
	return raw, nil
}
