package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Missing compares the folder of another distribution registry with what was put into this storage: each tag
// must point at the same digest, and each manifest and blob must be in the same repository and have its digest. It
// returns one line for each difference, and how many tags are right.
func (s *Storage) Missing(dir string) (missing []string, tags int) {
	lacks := func(link string, digest v1.Hash, what string) bool {
		if err := hasLink(link, digest); err != nil {
			missing = append(missing, fmt.Sprintf("%s: %v", what, err))
			return true
		}
		return false
	}
	contents := map[v1.Hash]bool{}
	for _, r := range s.Repositories {
		for _, tag := range slices.Sorted(maps.Keys(r.Tags)) {
			if !lacks(tagLink(dir, r.Name, tag), r.Tags[tag], r.Name+":"+tag) {
				tags++
			}
		}
		for digest := range r.Manifests {
			contents[digest] = true
			lacks(revisionLink(dir, r.Name, digest), digest, r.Name+"@"+digest.String())
		}
		for digest := range r.Blobs {
			contents[digest] = true
			lacks(layerLink(dir, r.Name, digest), digest, r.Name+", blob "+digest.String())
		}
	}
	for digest := range contents {
		if err := hasContent(blobFile(dir, digest), digest); err != nil {
			missing = append(missing, err.Error())
		}
	}
	return missing, tags
}

func hasLink(file string, digest v1.Hash) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if string(text) != digest.String() {
		return fmt.Errorf("is %s, want %s", text, digest)
	}
	return nil
}

func hasContent(file string, digest v1.Hash) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != digest.Hex {
		return fmt.Errorf("content of %s has the digest sha256:%s", digest, got)
	}
	return nil
}

// CopyTo makes an empty folder the storage of a registry with the same content. Files are hard links:
// distribution replaces files and never changes one.
func (s *Storage) CopyTo(dir string) error {
	return errors.Join(os.RemoveAll(root(dir)), linkAll(root(s.Dir), root(dir)))
}
