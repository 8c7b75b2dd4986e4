package content

import (
	"context"
	"fmt"
	"io"
)

// maxSmallBlob bounds a blob that is read into memory, in bytes.
const maxSmallBlob = 4 << 20

// BlobReader is a source that reads a small blob as a whole. Unlike FetchBlob, ReadBlob takes
// its own slot of a registry, and retries.
type BlobReader interface {
	// ReadBlob returns the verified bytes of d.
	ReadBlob(ctx context.Context, d Descriptor) ([]byte, error)
}

// ReadBlob returns the verified bytes of a blob, for example the configuration of an image. The
// caller must hold no slots. A blob of more than 4 MiB is an [ErrInvalid].
func ReadBlob(ctx context.Context, from BlobFetcher, d Descriptor) ([]byte, error) {
	if d.Size > maxSmallBlob {
		return nil, fmt.Errorf("blob %s: %w: %d bytes exceed the limit of %d", d.Digest, ErrInvalid, d.Size, maxSmallBlob)
	}
	if reader, ok := from.(BlobReader); ok {
		return reader.ReadBlob(ctx, d)
	}
	blob, err := from.FetchBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return io.ReadAll(NewStream(blob, d))
}
