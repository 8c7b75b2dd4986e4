package content

import "context"

// TagFetcher is a place that gives the manifest that a tag names in one request, where
// [Resolver] and [ManifestFetcher] take two. Many registries count it as a pull, so that it
// is for manifests that are wanted anyway.
type TagFetcher interface {
	// FetchTag returns a manifest and its bytes, which are checked against what the place
	// says of them. It reads no more than [MaxManifestSize], and returns an [ErrNotFound] for
	// what is not there, and an [ErrInvalid], without a request, for what is no tag.
	FetchTag(ctx context.Context, tag string) (Descriptor, []byte, error)
	// CountsPulls reports whether the place is known to limit how many manifests are read.
	CountsPulls() bool
}
