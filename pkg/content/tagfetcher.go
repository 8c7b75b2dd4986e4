package content

import (
	"context"
	"errors"
)

// ErrCountsPulls means that a manifest was not read by its tag, because the place counts pulls: resolving the tag
// first costs no pull, and tags with the same digest then share one.
var ErrCountsPulls = errors.New("the registry counts pulls")

// TagFetcher is a place that gives the manifest that a tag names in one request, where
// [Resolver] and [ManifestFetcher] take two. Many registries count it as a pull, so that it
// is for manifests that are wanted anyway.
type TagFetcher interface {
	// FetchTag returns a manifest and its bytes, which are checked against what the place
	// says of them. It reads no more than [MaxManifestSize], and returns an [ErrNotFound] for
	// what is not there, and an [ErrInvalid], without a request, for what is no tag. It returns an
	// [ErrCountsPulls], without a request, if the place has just turned out to count pulls.
	FetchTag(ctx context.Context, tag string) (Descriptor, []byte, error)
	// CountsPulls reports whether the place is known to limit how many manifests may be read.
	CountsPulls() bool
}

// FetchResolved reads and parses the manifest that a tag or digest was resolved to. If the
// place serves manifests by tag only, and returns [ErrNotFound] for their digests, it reads the manifest
// that the tag names, which may have another digest by then.
func FetchResolved(ctx context.Context, from ManifestFetcher, reference string, d Descriptor) (*Manifest, error) {
	m, err := FetchAndParse(ctx, from, d)
	tags, ok := from.(TagFetcher)
	if !errors.Is(err, ErrNotFound) || !ok || CheckTag(reference) != nil {
		return m, err
	}
	named, raw, tagErr := tags.FetchTag(ctx, reference)
	if tagErr != nil {
		return nil, err
	}
	return ParseManifest(named, raw)
}
