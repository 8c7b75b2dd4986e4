package content

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/semaphore"
)

// Limits bound what one image may consist of: registries lie. The zero value is the
// default.
type Limits struct {
	// Depth is how many indexes may lie above a manifest; 8 if zero.
	Depth int
	// Nodes is how many manifests and blobs there may be; 10,000 if zero.
	Nodes int
	// Bytes is how much the manifests may have together; 16 MiB if zero.
	Bytes int
	// Values is how many JSON values the manifests may have together; 100,000 if zero.
	Values int
}

func (l Limits) depth() int  { return orDefault(l.Depth, 8) }
func (l Limits) nodes() int  { return orDefault(l.Nodes, 10_000) }
func (l Limits) bytes() int  { return orDefault(l.Bytes, 16<<20) }
func (l Limits) values() int { return orDefault(l.Values, maxValues) }

func orDefault(n, fallback int) int {
	if n > 0 {
		return n
	}
	return fallback
}

// readingBytes bounds the manifests of one image that are being read, in bytes.
const readingBytes = 2 * MaxManifestSize

// Budget counts what an image and its referrers consist of, against one set of [Limits]. What was counted stays
// counted. All methods may be called concurrently. A nil Budget bounds single manifests only.
type Budget struct {
	limits  Limits
	nodes   atomic.Int64 // manifests whose children are known, and their blobs
	bytes   atomic.Int64
	values  atomic.Int64
	reading *semaphore.Weighted // bytes
}

// NewBudget returns a budget of which nothing is spent.
func NewBudget(limits Limits) *Budget {
	return &Budget{limits: limits, reading: semaphore.NewWeighted(readingBytes)}
}

// Fetch reads, counts and parses a manifest. It returns an [ErrInvalid] where a bound is exceeded: without a request
// if the stated size exceeds it, and always before the manifest is parsed.
func (b *Budget) Fetch(ctx context.Context, from ManifestFetcher, d Descriptor) (*Manifest, error) {
	release, err := b.reserve(ctx, d)
	if err != nil {
		return nil, err
	}
	defer release()
	raw, err := fetchBounded(ctx, from, d)
	if err != nil {
		return nil, err
	}
	return b.Parse(d, raw)
}

// Parse counts raw, and parses it as [ParseManifest] does.
func (b *Budget) Parse(d Descriptor, raw []byte) (*Manifest, error) {
	values := countValues(raw)
	if err := b.spend(d, len(raw), values); err != nil {
		return nil, err
	}
	return parseManifest(d, raw, values)
}

// Count counts a manifest that was read by other means.
func (b *Budget) Count(m *Manifest) error { return b.spend(m.Descriptor, len(m.Raw), m.values) }

// CountTree counts the manifests and blobs of a tree that was read by other means.
func (b *Budget) CountTree(t *Tree) error {
	for m := range t.Manifests() {
		if err := b.Count(m); err != nil {
			return err
		}
		if err := b.count(m, 0); err != nil {
			return err
		}
	}
	return nil
}

// CountList counts a list of referrers that was read by other means than as a manifest, as if it were one.
func (b *Budget) CountList(subject digest.Digest, referrers []Descriptor) error {
	size, values := ListSize(referrers)
	return b.spend(Descriptor{Digest: subject}, size, values)
}

// FetchTree is the function [FetchTree] for a root that was counted.
func (b *Budget) FetchTree(ctx context.Context, from ManifestFetcher, root *Manifest) (*Tree, error) {
	w := newWalker(from, b)
	if err := w.descend(ctx, root); err != nil {
		return nil, err
	}
	return w.tree(root), nil
}

// reserve waits until d may be read.
func (b *Budget) reserve(ctx context.Context, d Descriptor) (release func(), err error) {
	if b == nil {
		return func() {}, nil
	}
	size := d.Size
	if size <= 0 || size > MaxManifestSize { // not stated, or not read
		size = MaxManifestSize
	}
	if err := b.reading.Acquire(ctx, size); err != nil {
		return nil, context.Cause(ctx)
	}
	if err := b.exceeded(d, b.bytes.Load()+max(0, d.Size), b.values.Load()); err != nil {
		b.reading.Release(size)
		return nil, err
	}
	return func() { b.reading.Release(size) }, nil
}

func (b *Budget) spend(d Descriptor, bytes, values int) error {
	if b == nil {
		return nil
	}
	return b.exceeded(d, b.bytes.Add(int64(bytes)), b.values.Add(int64(values)))
}

func (b *Budget) exceeded(d Descriptor, bytes, values int64) error {
	if bytes > int64(b.limits.bytes()) {
		return fmt.Errorf("manifest %s: %w: the manifests of one image, and of its referrers, have more than %d bytes",
			d.Digest, ErrInvalid, b.limits.bytes())
	}
	if values > int64(b.limits.values()) {
		return fmt.Errorf("manifest %s: %w: the manifests of one image, and of its referrers, have more than %d JSON values",
			d.Digest, ErrInvalid, b.limits.values())
	}
	return nil
}

// count counts m and its blobs. ahead manifests are known, and not counted yet.
func (b *Budget) count(m *Manifest, ahead int) error {
	if b.nodes.Add(int64(1+len(m.Blobs())))+int64(ahead) > int64(b.limits.nodes()) {
		return fmt.Errorf("manifest %s: %w: more than %d manifests and blobs in one image, and in its referrers",
			m.Descriptor.Digest, ErrInvalid, b.limits.nodes())
	}
	return nil
}

// fetchChild is [FetchChild] within the budget. A child that turns out to be a blob is not counted.
func (b *Budget) fetchChild(ctx context.Context, from ManifestFetcher, d Descriptor) (*Manifest, error) {
	known := IsManifest(d.MediaType)
	if IsBlob(d.MediaType) || !known && d.Size > MaxManifestSize {
		return nil, nil
	}
	release, err := b.reserve(ctx, d)
	if err != nil {
		return nil, err
	}
	defer release()
	raw, err := fetchBounded(ctx, from, d)
	if !known && (errors.Is(err, ErrNotFound) || err == nil && !LooksLikeManifest(raw)) {
		return nil, nil
	}
	var m *Manifest
	if err == nil {
		m, err = b.Parse(d, raw)
	}
	if err != nil {
		return nil, &PartError{d, err}
	}
	return m, nil
}
