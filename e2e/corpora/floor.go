package corpora

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/storage"
)

// Floor is the least that a first run needs.
type Floor struct {
	Listings      int   // of the source's repositories: one request each
	Tags          int   // ask the source (the first of equal tags: read the manifest), put: two
	Children      int   // manifests without a tag, in each repository: read, put: two
	Blobs         int   // different ones: read, open the upload, send: three
	Mounts        int   // blobs in each further repository: one
	BlobBytes     int64 // of different blobs
	ManifestBytes int64 // of the manifests in each repository
}

// Requests returns the number of requests, to both sides.
func (f Floor) Requests() int { return f.Listings + 2*f.Tags + 2*f.Children + 3*f.Blobs + f.Mounts }

// FloorOf computes the floor of a storage whose repositories are copied with all their tags.
func FloorOf(s *storage.Storage) Floor {
	f := Floor{Listings: len(s.Repositories)}
	blobs := map[v1.Hash]bool{}
	for _, r := range s.Repositories {
		tagged := map[v1.Hash]bool{}
		for _, manifest := range r.Tags {
			tagged[manifest] = true
		}
		f.Tags += len(r.Tags)
		f.Children += len(r.Manifests) - len(tagged)
		for _, size := range r.Manifests {
			f.ManifestBytes += size
		}
		for blob, size := range r.Blobs {
			if blobs[blob] {
				f.Mounts++
				continue
			}
			blobs[blob] = true
			f.BlobBytes += size
		}
	}
	f.Blobs = len(blobs)
	return f
}
