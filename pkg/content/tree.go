package content

import (
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

// Limits bound what one image may consist of: registries lie. The zero value is the
// default.
type Limits struct {
	// Depth is how many indexes may lie above a manifest; 8 if zero.
	Depth int
	// Nodes is how many manifests and blobs there may be; 10,000 if zero.
	Nodes int
	// Bytes is how much the manifests may have together; 16 MiB if zero.
	Bytes int
}

func (l Limits) depth() int { return orDefault(l.Depth, 8) }
func (l Limits) nodes() int { return orDefault(l.Nodes, 10_000) }
func (l Limits) bytes() int { return orDefault(l.Bytes, 16<<20) }

func orDefault(n, fallback int) int {
	if n > 0 {
		return n
	}
	return fallback
}

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
func (t *Tree) Manifests() iter.Seq[*Manifest] {
	return func(yield func(*Manifest) bool) {
		for _, m := range t.order {
			if !yield(m) {
				return
			}
		}
	}
}

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
// requests that makes at a time is the source's business. Children that turn out to be blobs
// are among the layers of their index in the tree. Errors are an [ErrInvalid] where a bound of
// limits is exceeded, and a [PartError] if a child cannot be read.
func FetchTree(ctx context.Context, from ManifestFetcher, root *Manifest, limits Limits) (*Tree, error) {
	w := &walker{from: from, limits: limits, found: map[digest.Digest]*Manifest{}}
	if err := w.descend(ctx, root); err != nil {
		return nil, err
	}
	var all []*Manifest
	w.collect(root, map[digest.Digest]bool{}, func(m *Manifest) { all = append(all, m) })
	last := len(all) - 1
	return NewTree(all[last], all[:last]...), nil
}

// FetchAndParse reads and parses one manifest.
func FetchAndParse(ctx context.Context, from ManifestFetcher, d Descriptor) (*Manifest, error) {
	raw, err := fetchBounded(ctx, from, d)
	if err != nil {
		return nil, err
	}
	return ParseManifest(d, raw)
}

func fetchBounded(ctx context.Context, from ManifestFetcher, d Descriptor) ([]byte, error) {
	if err := CheckDescriptor(d); err != nil {
		return nil, err
	}
	if d.Size > MaxManifestSize {
		return nil, fmt.Errorf("manifest %s: %w: %d bytes exceed the limit of %d",
			d.Digest, ErrInvalid, d.Size, MaxManifestSize)
	}
	raw, err := from.FetchManifest(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	return raw, nil
}

// FetchChild reads and parses a child of an index. It returns nil, without an error, if the child
// is a blob: by its media type, or because its media type is unknown and from has no manifest
// with that digest, or returns bytes that are not a manifest. Errors are a [PartError].
func FetchChild(ctx context.Context, from ManifestFetcher, d Descriptor) (*Manifest, error) {
	known := IsManifest(d.MediaType)
	if IsBlob(d.MediaType) || !known && d.Size > MaxManifestSize {
		return nil, nil
	}
	raw, err := fetchBounded(ctx, from, d)
	if err != nil {
		if !known && errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		return nil, &PartError{d, err}
	}
	m, err := ParseManifest(d, raw)
	if err != nil {
		if !known && errors.Is(err, ErrInvalid) && !LooksLikeManifest(raw) {
			return nil, nil
		}
		return nil, &PartError{d, err}
	}
	return m, nil
}

// readsAtOnce is how many parts of one index are read at a time.
const readsAtOnce = 16

// readingBytes bounds the manifests of one image that are being read, in bytes.
const readingBytes = 2 * MaxManifestSize

type walker struct {
	from   ManifestFetcher
	limits Limits
	// imagesOnly leaves out attestations, and children that are not found.
	imagesOnly bool

	nodes int // manifests that were read, and their blobs
	ahead int // children that are still to be read
	found map[digest.Digest]*Manifest
	bytes atomic.Int64
}

// descend fetches what is below root, a level at a time, so that no more than readsAtOnce goroutines wait,
// whatever the shape of the tree. A manifest that two indexes share is fetched once.
func (w *walker) descend(ctx context.Context, root *Manifest) error {
	if err := w.count(root); err != nil {
		return err
	}
	for level, depth := []*Manifest{root}, 0; len(level) > 0; depth++ {
		if depth > w.limits.depth() {
			return fmt.Errorf("manifest %s: %w: more than %d indexes lie above it",
				level[0].Descriptor.Digest, ErrInvalid, w.limits.depth())
		}
		var children []Descriptor
		for _, m := range level {
			more, err := w.admit(m)
			if err != nil {
				return err
			}
			children = append(children, more...)
		}
		fetched, err := w.fetch(ctx, children)
		if err != nil {
			return err
		}
		level = fetched
	}
	return nil
}

// fetch reads the manifests of a level. Children that are blobs are left out.
func (w *walker) fetch(ctx context.Context, children []Descriptor) ([]*Manifest, error) {
	fetched := make([]*Manifest, len(children))
	room := semaphore.NewWeighted(readingBytes)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtOnce)
	for i, d := range children {
		group.Go(func() error {
			size := d.Size
			if size <= 0 || size > MaxManifestSize { // not stated, or not read
				size = MaxManifestSize
			}
			if err := room.Acquire(ctx, size); err != nil {
				return context.Cause(ctx)
			}
			defer room.Release(size)
			child, err := FetchChild(ctx, w.from, d)
			if w.imagesOnly && errors.Is(err, ErrNotFound) || err == nil && child == nil {
				return nil
			}
			if err == nil {
				fetched[i], err = child, w.count(child)
			}
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
	w.nodes += 1 + len(m.Blobs())
	w.ahead = max(0, w.ahead-1)
	var children []Descriptor
	for _, d := range m.Manifests {
		if _, known := w.found[d.Digest]; !known && (!w.imagesOnly || mayBeImage(d)) {
			w.found[d.Digest] = nil
			children = append(children, d)
		}
	}
	w.ahead += len(children)
	if w.nodes+w.ahead > w.limits.nodes() {
		return nil, fmt.Errorf("manifest %s: %w: more than %d manifests and blobs in one image",
			m.Descriptor.Digest, ErrInvalid, w.limits.nodes())
	}
	return children, nil
}

// count adds the bytes of a manifest.
func (w *walker) count(m *Manifest) error {
	if w.bytes.Add(int64(len(m.Raw))) > int64(w.limits.bytes()) {
		return fmt.Errorf("manifest %s: %w: the manifests of one image have more than %d bytes",
			m.Descriptor.Digest, ErrInvalid, w.limits.bytes())
	}
	return nil
}

// collect visits m after everything below it. Children without a manifest are blobs.
func (w *walker) collect(m *Manifest, seen map[digest.Digest]bool, visit func(*Manifest)) {
	if seen[m.Descriptor.Digest] {
		return
	}
	seen[m.Descriptor.Digest] = true
	for _, d := range m.Manifests {
		if child := w.found[d.Digest]; child != nil {
			w.collect(child, seen, visit)
		}
	}
	settled := *m
	settled.takeBlobs(func(d Descriptor) bool { return w.found[d.Digest] == nil })
	visit(&settled)
}
