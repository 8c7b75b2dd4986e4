package content

import (
	"context"
	"fmt"
	"io"
)

// maxConfigSize bounds an image's configuration, in bytes.
const maxConfigSize = 4 << 20

// FetchImageConfig reads the configuration of an image and checks it. It is nil, without a
// request, where config is no image's, as those of artifacts, or is larger than 4 MiB.
func FetchImageConfig(ctx context.Context, from BlobFetcher, config Descriptor) ([]byte, error) {
	if !IsImageConfig(config.MediaType) || config.Size > maxConfigSize {
		return nil, nil
	}
	blob, err := from.FetchBlob(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", config.Digest, err)
	}
	defer blob.Close()
	raw, err := io.ReadAll(NewStream(blob, config))
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", config.Digest, err)
	}
	return raw, nil
}
