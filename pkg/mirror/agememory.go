package mirror

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// AgeMemory remembers the creation dates of images, which follow from their digests. Its methods are called
// concurrently.
type AgeMemory interface {
	// Created returns what [content.Created] returned for the image; zero if the image has no date.
	Created(image digest.Digest) (at time.Time, known bool)
	KeepCreated(image digest.Digest, at time.Time)
}
