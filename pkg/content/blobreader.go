package content

import (
	"context"
	"fmt"
	"io"
)

// maxSmallBlob bounds a blob that is read into memory, in bytes.
const maxSmallBlob = 4 << 20

// BlobReader is a source that reads a small blob as a whole. What FetchBlob leaves to its
// caller is done here: at a registry, ReadBlob waits for a slot of its own, and makes other
// attempts where they make sense.
type BlobReader interface {
	// ReadBlob returns the bytes of d, checked.
	ReadBlob(ctx context.Context, d Descriptor) ([]byte, error)
}

// ReadBlob returns the bytes of a blob, an image's configuration for example, checked. It is
// for callers that hold no slots. More than 4 MiB are an [ErrInvalid].
func ReadBlob(ctx context.Context, from BlobFetcher, d Descriptor) ([]byte, error) {
	if d.Size > maxSmallBlob {
		return nil, fmt.Errorf("blob %s: %w: %d bytes, more than the %d that are accepted", d.Digest, ErrInvalid, d.Size, maxSmallBlob)
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
