package content

import (
	"fmt"

	_ "crypto/sha256" // registers the algorithms that digest.Digest verifies with
	_ "crypto/sha512"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Descriptor points at content by digest, size in bytes and media type.
// See the OCI image specification, "descriptor.md".
type Descriptor = ocispec.Descriptor

// Platform is what an image runs on, as an image index states it.
type Platform = ocispec.Platform

// NewDescriptor describes raw as content of the given media type.
func NewDescriptor(mediaType string, raw []byte) Descriptor {
	return Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
}

// maxBlobSize bounds the size that a descriptor states: 256 TiB. The sum of an image's sizes does not overflow.
const maxBlobSize = 1 << 48

// CheckDescriptor refuses a descriptor that nothing may be fetched or named by: a digest
// that is malformed or of an unknown algorithm (it becomes part of URLs and file names),
// or a size that is negative or that no blob has. The error is an [ErrInvalid].
func CheckDescriptor(d Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w: %w", d.Digest, ErrInvalid, err)
	}
	if d.Size < 0 || d.Size > maxBlobSize {
		return fmt.Errorf("%s has the size %d: %w", d.Digest, d.Size, ErrInvalid)
	}
	return nil
}
