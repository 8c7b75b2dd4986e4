package referrers

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// listVersion is part of what is remembered about lists: change it with the way they are written.
const listVersion = "1"

// list is a subject's list of referrers, as a destination without the referrers API should have
// it. Its digest is known before its bytes are.
type list struct {
	subject    digest.Digest
	descriptor content.Descriptor
	// origin is the list under the source's tag; zero if it comes from the API.
	origin  content.Descriptor
	invalid *content.InvalidNamesError // entries of the API; nil if all are valid

	mu      sync.Mutex // guards the rest until it is loaded
	loaded  bool
	entries []content.Descriptor
	raw     []byte
}

// newList writes a list. Equal entries, in any order, give equal bytes.
func newList(subject digest.Digest, entries []content.Descriptor) (*list, error) {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: make([]content.Descriptor, 0, len(entries)),
	}
	for _, d := range entries {
		index.Manifests = append(index.Manifests, content.Descriptor{
			MediaType: d.MediaType, Digest: d.Digest, Size: d.Size,
			ArtifactType: d.ArtifactType, Annotations: d.Annotations,
		})
	}
	slices.SortFunc(index.Manifests, func(a, b content.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	raw, err := json.Marshal(index)
	return &list{
		subject: subject, descriptor: content.NewDescriptor(ocispec.MediaTypeImageIndex, raw),
		loaded: true, entries: index.Manifests, raw: raw,
	}, err
}

func (l *list) isLoaded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loaded
}

func (l *list) fill(entries []content.Descriptor, raw []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loaded {
		l.loaded, l.entries, l.raw = true, entries, raw
	}
}

// readList reads what a tag of a list names. What is not there has no entries, and neither has what
// is no list.
func readList(ctx context.Context, from content.ManifestFetcher, d content.Descriptor) ([]content.Descriptor, error) {
	if d.MediaType != ocispec.MediaTypeImageIndex {
		return nil, nil
	}
	m, err := content.FetchAndParse(ctx, from, d)
	if err != nil {
		return nil, err
	}
	return m.Manifests, nil
}

// merged returns the list of a destination that has some entries and gets others: l itself if the
// destination has nothing of its own and lacks nothing.
func (l *list) merged(have []content.Descriptor, brought map[digest.Digest]bool) (*list, error) {
	all := slices.Clone(have)
	for _, d := range l.entries {
		if brought[d.Digest] && !has(have, d.Digest) {
			all = append(all, d)
		}
	}
	own := slices.ContainsFunc(have, func(d content.Descriptor) bool { return !has(l.entries, d.Digest) })
	if !own && len(all) == len(l.entries) && digest.FromBytes(l.raw) == l.descriptor.Digest {
		return l, nil
	}
	return newList(l.subject, all)
}

// within reports whether all entries that pass are among others.
func (l *list) within(others []content.Descriptor, pass func(digest.Digest) bool) bool {
	return !slices.ContainsFunc(l.entries, func(d content.Descriptor) bool { return pass(d.Digest) && !has(others, d.Digest) })
}

func has(descriptors []content.Descriptor, d digest.Digest) bool {
	return slices.ContainsFunc(descriptors, func(have content.Descriptor) bool { return have.Digest == d })
}

func digestsOf(descriptors []content.Descriptor) []digest.Digest {
	digests := make([]digest.Digest, 0, len(descriptors))
	for _, d := range descriptors {
		digests = append(digests, d.Digest)
	}
	return digests
}

// readBelow reads the manifests below an index, to a depth.
func readBelow(ctx context.Context, from content.ManifestFetcher, index content.Descriptor, depth int) ([]digest.Digest, error) {
	m, err := content.FetchAndParse(ctx, from, index)
	if err != nil {
		return nil, err
	}
	below := digestsOf(m.Manifests)
	for _, child := range m.Manifests {
		if !content.IsIndex(child.MediaType) || depth == 1 {
			continue
		}
		deeper, err := readBelow(ctx, from, child, depth-1)
		if err != nil {
			return nil, err
		}
		below = append(below, deeper...)
	}
	return below, nil
}

// mergedKey is what the merged list at a place is remembered by.
func mergedKey(at content.Location) string { return "referrers/" + listVersion + " at " + at.String() }
