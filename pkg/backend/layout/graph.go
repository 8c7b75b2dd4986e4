package layout

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// node is what is remembered of a manifest: what it is, and what it points at. Annotations, which may be large, are not.
type node struct {
	mediaType    string
	children     []content.Descriptor
	subject      digest.Digest
	artifactType string // empty where subject is
}

// graph remembers manifests that were read. They cannot change. The zero value is ready.
type graph struct {
	mu    sync.Mutex
	nodes map[digest.Digest]*node
}

func (l *Layout) node(ctx context.Context, d content.Descriptor) (*node, error) {
	l.graph.mu.Lock()
	known := l.graph.nodes[d.Digest]
	l.graph.mu.Unlock()
	if known != nil {
		return known, nil
	}
	m, err := content.FetchAndParse(ctx, l, d)
	if err != nil {
		return nil, err
	}
	n := &node{mediaType: m.Descriptor.MediaType, children: withoutAnnotations(m.Manifests)}
	if m.Subject != nil {
		n.subject, n.artifactType = m.Subject.Digest, m.ReferrerType()
	}
	l.graph.keep(d.Digest, n)
	return n, nil
}

func (g *graph) keep(d digest.Digest, n *node) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.nodes == nil {
		g.nodes = map[digest.Digest]*node{}
	}
	g.nodes[d] = n
}

func withoutAnnotations(descriptors []content.Descriptor) []content.Descriptor {
	short := make([]content.Descriptor, 0, len(descriptors))
	for _, d := range descriptors {
		short = append(short, content.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size})
	}
	return short
}

// forget frees what is remembered of a manifest that was removed.
func (g *graph) forget(d digest.Digest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.nodes, d)
}

func (l *Layout) isReferrer(ctx context.Context, entry content.Descriptor) bool {
	n, err := l.node(ctx, entry)
	return err == nil && n.subject != ""
}

// byDigest finds a manifest in the list of images, or inside an index in it. A blob that
// happens to be a manifest is none.
func (l *Layout) byDigest(ctx context.Context, entries []content.Descriptor, want digest.Digest) (content.Descriptor, error) {
	found, _, err := l.search(ctx, entries, want)
	if err == nil && found == nil {
		err = fmt.Errorf("%s: manifest %s: %w", l.path, want, content.ErrNotFound)
	}
	if err != nil {
		return content.Descriptor{}, err
	}
	return *found, nil
}

// search is byDigest, which also reports whether some indexes could not be read. found is nil if nothing was found.
func (l *Layout) search(ctx context.Context, entries []content.Descriptor, want digest.Digest) (found *content.Descriptor, unreadable bool, err error) {
	seen := map[digest.Digest]bool{}
	for level := entries; len(level) > 0; {
		if i := slices.IndexFunc(level, func(d content.Descriptor) bool { return d.Digest == want }); i >= 0 {
			return &level[i], unreadable, nil
		}
		var below []content.Descriptor
		for _, d := range level {
			if seen[d.Digest] || !mayHaveChildren(d) {
				continue
			}
			seen[d.Digest] = true
			n, err := l.node(ctx, d)
			if ctx.Err() != nil {
				return nil, unreadable, ctx.Err()
			}
			if err != nil { // one broken image must not hide the others
				unreadable = true
				continue
			}
			below = append(below, n.children...)
		}
		level = below
	}
	return nil, unreadable, nil
}

// mayHaveChildren spares reading the manifests of which the list says that they have none.
func mayHaveChildren(d content.Descriptor) bool {
	return content.IsIndex(d.MediaType) || !slices.Contains(content.ManifestMediaTypes(), d.MediaType)
}

// Tags implements [content.TagLister]: the tags of all images, in the order of index.json. An
// image with a full name is listed by the tag in it. A tag that several images share, as
// docker save writes them, is listed once; Resolve returns an [AmbiguousError] for it. An
// entry with an invalid descriptor is left out.
func (l *Layout) Tags(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		entries, err := l.Entries(ctx)
		invalid, failure := content.SplitInvalidNames(err)
		if failure != nil {
			yield("", failure)
			return
		}
		if invalid == nil {
			invalid = &content.InvalidNamesError{Kind: "name"}
		}
		seen := map[string]bool{}
		for _, entry := range entries {
			name := tagOf(entry)
			tag, ok := tagIn(name)
			switch {
			case name == "" || ok && seen[tag]:
				continue
			case !ok:
				invalid.Add(name)
				continue
			case entry.MediaType != "" && content.CheckMediaType(entry.MediaType) != nil:
				invalid.Add(name + " of media type " + entry.MediaType)
				continue
			}
			seen[tag] = true
			if !yield(tag, nil) {
				return
			}
		}
		if err := invalid.Err(); err != nil {
			yield("", err)
		}
	}
}
