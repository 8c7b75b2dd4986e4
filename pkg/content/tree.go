package content

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
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

func newWalker(from ManifestFetcher, b *Budget) *walker {
	return &walker{from: from, budget: b, found: map[digest.Digest]*Manifest{}}
}

// descend fetches what is below root, a level at a time, so that no more than readsAtOnce goroutines wait,
// whatever the shape of the tree. A manifest that two indexes share is fetched once.
func (w *walker) descend(ctx context.Context, root *Manifest) error {
	for level, depth := []*Manifest{root}, 0; len(level) > 0; depth++ {
		if depth > w.budget.limits.depth() {
			return fmt.Errorf("manifest %s: %w: more than %d indexes lie above it",
				level[0].Descriptor.Digest, ErrInvalid, w.budget.limits.depth())
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

// tree returns what was found below root.
func (w *walker) tree(root *Manifest) *Tree {
	var all []*Manifest
	w.collect(root, map[digest.Digest]bool{}, func(m *Manifest) { all = append(all, m) })
	last := len(all) - 1
	return NewTree(all[last], all[:last]...)
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
