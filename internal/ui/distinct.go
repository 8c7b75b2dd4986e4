package ui

import (
	"encoding/hex"

	"github.com/opencontainers/go-digest"
)

// distinct counts different digests. It keeps their sums only, in 32 bytes each: a run may
// have tens of thousands of images.
type distinct struct {
	sums   map[[32]byte]struct{}
	others map[digest.Digest]struct{} // those that are no sha256
}

// add reports whether d is new; the empty one never is.
func (s *distinct) add(d digest.Digest) bool {
	if d == "" {
		return false
	}
	var sum [32]byte
	if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return first(&s.others, d)
	}
	if _, err := hex.Decode(sum[:], []byte(d.Encoded())); err != nil {
		return first(&s.others, d)
	}
	return first(&s.sums, sum)
}

func first[K comparable](seen *map[K]struct{}, key K) bool {
	if _, known := (*seen)[key]; known {
		return false
	}
	if *seen == nil {
		*seen = map[K]struct{}{}
	}
	(*seen)[key] = struct{}{}
	return true
}
