package content

import (
	"context"
	"io"
)

// Location says where content is kept, so that equal places are recognised.
type Location struct {
	// Registry names what stores a blob once, by the same name however it was addressed:
	// "docker.io", "harbor.corp:5443", "oci:/srv/mirror".
	Registry string
	// Repository is the path inside the registry, "library/nginx"; empty where blobs
	// belong to no repository, as in a layout.
	Repository string
	// Account tells credentials apart without revealing them. Blobs are mounted only
	// between repositories that are reached under one account.
	Account string
}

// String is the name people know the place by.
func (l Location) String() string {
	if l.Repository == "" {
		return l.Registry
	}
	return l.Registry + "/" + l.Repository
}

// Located is anything that has a place.
type Located interface {
	Location() Location
}

// Resolver looks references up.
type Resolver interface {
	// Resolve returns the media type, digest and size of the manifest that a tag or a
	// digest names, without reading the manifest where the place allows that (an HTTP
	// HEAD). It returns an [ErrNotFound] for what is not there, and an [ErrInvalid], without
	// a request, for what is neither a tag nor a digest.
	Resolve(ctx context.Context, reference string) (Descriptor, error)
}

// ManifestFetcher reads manifests.
type ManifestFetcher interface {
	// FetchManifest returns the bytes of a manifest, checked against d's digest and, where
	// d.Size is positive, its size. It reads no more than [MaxManifestSize].
	FetchManifest(ctx context.Context, d Descriptor) ([]byte, error)
}

// BlobFetcher reads blobs. At a registry it sends one request, takes no slot and does not
// retry; the caller does both. For a small blob use [ReadBlob].
type BlobFetcher interface {
	// FetchBlob opens a blob. What it yields is unchecked: read it through a [Stream].
	// The caller closes it.
	FetchBlob(ctx context.Context, d Descriptor) (io.ReadCloser, error)
}

// Source is a repository that images can be read from. All methods may be called
// concurrently.
type Source interface {
	Located
	Resolver
	ManifestFetcher
	BlobFetcher
}
