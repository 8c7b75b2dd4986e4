package mirror

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// AgeMemory remembers when images were made, which follows from their digests. It may be
// called concurrently.
type AgeMemory interface {
	// Created is when the image of a digest says that it was made; the zero time where it
	// does not say.
	Created(image digest.Digest) (at time.Time, known bool)
	KeepCreated(image digest.Digest, at time.Time)
}
