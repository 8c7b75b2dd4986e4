package content

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// MaxManifestSize bounds a manifest, in bytes (OCI distribution specification, "Pushing
// Manifests": registries should accept at least 4 MiB; nothing larger is common).
const MaxManifestSize = 4 << 20

// Tree is one image: its top manifest and all that are below it.
type Tree struct {
	Root *Manifest
	// order has every manifest once, children before parents, the root last.
	order    []*Manifest
	byDigest map[digest.Digest]*Manifest
}

// NewTree is the tree of a manifest without children, or with children that are already
// known: those of below, in that order.
func NewTree(root *Manifest, below ...*Manifest) *Tree {
	t := &Tree{Root: root, byDigest: make(map[digest.Digest]*Manifest, len(below)+1)}
	for _, m := range append(below, root) {
		if t.byDigest[m.Descriptor.Digest] == nil {
			t.byDigest[m.Descriptor.Digest] = m
			t.order = append(t.order, m)
		}
	}
	return t
}

// Manifests yields every manifest once, children before the indexes they are in, the root
// last: the order in which they may be pushed.
func (t *Tree) Manifests() iter.Seq[*Manifest] { return slices.Values(t.order) }

// Manifest finds a manifest of the tree, or nil.
func (t *Tree) Manifest(d digest.Digest) *Manifest { return t.byDigest[d] }

// Blobs yields every blob once, in the order of [Tree.Manifests].
func (t *Tree) Blobs() iter.Seq[Descriptor] {
	return func(yield func(Descriptor) bool) {
		seen := make(map[digest.Digest]bool)
		for _, m := range t.order {
			for _, d := range m.Blobs() {
				if seen[d.Digest] {
					continue
				}
				seen[d.Digest] = true
				if !yield(d) {
					return
				}
			}
		}
	}
}

// FetchTree reads the manifests from root down. Children are read concurrently; how many
// requests that makes at a time is up to the source. Children that turn out to be blobs
// are among the layers of their index in the tree. Errors are an [ErrInvalid] where a bound of
// limits is exceeded, and a [PartError] if a child cannot be read.
func FetchTree(ctx context.Context, from ManifestFetcher, root *Manifest, limits Limits) (*Tree, error) {
	b := NewBudget(limits)
	if err := b.Count(root); err != nil {
		return nil, err
	}
	return b.FetchTree(ctx, from, root)
}

// FetchAndParse reads and parses one manifest.
func FetchAndParse(ctx context.Context, from ManifestFetcher, d Descriptor) (*Manifest, error) {
	return (*Budget)(nil).Fetch(ctx, from, d)
}

// FetchChild reads and parses a child of an index. It returns nil, without an error, if the child
// is a blob: by its media type, or because its media type is unknown and from has no manifest
// with that digest, or returns bytes that are not a manifest. Errors are a [PartError].
func FetchChild(ctx context.Context, from ManifestFetcher, d Descriptor) (*Manifest, error) {
	return (*Budget)(nil).fetchChild(ctx, from, d)
}

// readsAtOnce is how many parts of one index are read at a time.
const readsAtOnce = 16

type walker struct {
	from   ManifestFetcher
	budget *Budget
	// imagesOnly leaves out attestations, and children that are not found.
	imagesOnly bool

	ahead int // children that are still to be read
	found map[digest.Digest]*Manifest
}

// descend fetches what is below root, a level at a time, so that no more than readsAtOnce goroutines wait,
// whatever the shape of the tree. A manifest that two indexes share is fetched once.
func (w *walker) descend(ctx context.Context, root *Manifest) error {
	for level, depth := []*Manifest{root}, 0; len(level) > 0; depth++ {
		if depth > w.budget.limits.Depth {
			return fmt.Errorf("manifest %s: %w: nested in more than %d indexes",
				level[0].Descriptor.Digest, ErrInvalid, w.budget.limits.Depth)
		}
		var children []Descriptor
		for _, m := range level {
			more, err := w.admit(m)
			if err != nil {
				return err
			}
			children = append(children, more...)
		}
		var err error
		if level, err = w.fetch(ctx, children); err != nil {
			return err
		}
	}
	return nil
}

// fetch reads the manifests of a level. Children that are blobs are left out.
func (w *walker) fetch(ctx context.Context, children []Descriptor) ([]*Manifest, error) {
	fetched := make([]*Manifest, len(children))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtOnce)
	for i, d := range children {
		group.Go(func() error {
			child, err := w.budget.fetchChild(ctx, w.from, d)
			if w.imagesOnly && errors.Is(err, ErrNotFound) {
				return nil
			}
			fetched[i] = child
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(fetched, func(m *Manifest) bool { return m == nil }), nil
}

// admit counts m and returns those of its children that have not been fetched.
func (w *walker) admit(m *Manifest) ([]Descriptor, error) {
	w.found[m.Descriptor.Digest] = m
	w.ahead = max(0, w.ahead-1)
	var children []Descriptor
	for _, d := range m.Manifests {
		if _, known := w.found[d.Digest]; !known && (!w.imagesOnly || mayBeImage(d)) {
			w.found[d.Digest] = nil
			children = append(children, d)
		}
	}
	w.ahead += len(children)
	return children, w.budget.count(m, w.ahead)
}

// collect appends what was found below m, each manifest once, and then m. Children without a manifest are blobs.
func (w *walker) collect(all []*Manifest, m *Manifest, seen map[digest.Digest]bool) []*Manifest {
	if seen[m.Descriptor.Digest] {
		return all
	}
	seen[m.Descriptor.Digest] = true
	for _, d := range m.Manifests {
		if child := w.found[d.Digest]; child != nil {
			all = w.collect(all, child, seen)
		}
	}
	complete := *m
	complete.takeBlobs(func(d Descriptor) bool { return w.found[d.Digest] == nil })
	return append(all, &complete)
}

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
	limits.Depth = cmp.Or(limits.Depth, 8)
	limits.Nodes = cmp.Or(limits.Nodes, 10_000)
	limits.Bytes = cmp.Or(limits.Bytes, 16<<20)
	limits.Values = cmp.Or(limits.Values, maxValues)
	return &Budget{limits: limits, reading: semaphore.NewWeighted(readingBytes)}
}

// Fetch reads, counts and parses a manifest. It returns an [ErrInvalid] where a bound is exceeded: without a request
// if the stated size exceeds it, and always before the manifest is parsed.
func (b *Budget) Fetch(ctx context.Context, from ManifestFetcher, d Descriptor) (*Manifest, error) {
	return b.fetch(ctx, from, d, false)
}

// fetch is Fetch, which returns nil for what is not a manifest but may be a blob.
func (b *Budget) fetch(ctx context.Context, from ManifestFetcher, d Descriptor, mayBeBlob bool) (*Manifest, error) {
	release, err := b.reserve(ctx, d)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := CheckDescriptor(d); err != nil {
		return nil, err
	}
	if d.Size > MaxManifestSize {
		return nil, fmt.Errorf("manifest %s: %w: %d bytes exceed the limit of %d", d.Digest, ErrInvalid, d.Size, MaxManifestSize)
	}
	raw, err := from.FetchManifest(ctx, d)
	if mayBeBlob && (errors.Is(err, ErrNotFound) || err == nil && !LooksLikeManifest(raw)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
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

// CountList counts a list of referrers that was not read as a manifest, like one.
func (b *Budget) CountList(subject digest.Digest, referrers []Descriptor) error {
	size, values := ListSize(referrers)
	return b.spend(Descriptor{Digest: subject}, size, values)
}

// FetchTree is the function [FetchTree] for a root that was counted.
func (b *Budget) FetchTree(ctx context.Context, from ManifestFetcher, root *Manifest) (*Tree, error) {
	w := &walker{from: from, budget: b, found: map[digest.Digest]*Manifest{}}
	if err := w.descend(ctx, root); err != nil {
		return nil, err
	}
	all := w.collect(nil, root, map[digest.Digest]bool{})
	last := len(all) - 1
	return NewTree(all[last], all[:last]...), nil
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
	if bytes > int64(b.limits.Bytes) {
		return fmt.Errorf("manifest %s: %w: the image and its referrers have more than %d bytes of manifests",
			d.Digest, ErrInvalid, b.limits.Bytes)
	}
	if values > int64(b.limits.Values) {
		return fmt.Errorf("manifest %s: %w: the manifests of the image and its referrers have more than %d JSON values",
			d.Digest, ErrInvalid, b.limits.Values)
	}
	return nil
}

// count counts m and its blobs. ahead manifests are known, and not counted yet.
func (b *Budget) count(m *Manifest, ahead int) error {
	if b.nodes.Add(int64(1+len(m.Blobs())))+int64(ahead) > int64(b.limits.Nodes) {
		return fmt.Errorf("manifest %s: %w: the image and its referrers have more than %d manifests and blobs",
			m.Descriptor.Digest, ErrInvalid, b.limits.Nodes)
	}
	return nil
}

// fetchChild is [FetchChild] within the budget. A child that turns out to be a blob is not counted.
func (b *Budget) fetchChild(ctx context.Context, from ManifestFetcher, d Descriptor) (*Manifest, error) {
	known := IsManifest(d.MediaType)
	if IsBlob(d.MediaType) || !known && d.Size > MaxManifestSize {
		return nil, nil
	}
	m, err := b.fetch(ctx, from, d, !known)
	if err != nil {
		return nil, &PartError{d, err}
	}
	return m, nil
}
