package transfer

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// keepChildren remembers the children of an index.
func (e *Engine) keepChildren(index digest.Digest, children []content.Descriptor) {
	if e.options.Children == nil {
		return
	}
	digests := make([]digest.Digest, 0, len(children))
	for _, child := range children {
		digests = append(digests, child.Digest)
	}
	e.options.Children.KeepChildren(index, digests)
}

// keepTree remembers the children of the indexes of a tree.
func (e *Engine) keepTree(tree *content.Tree) {
	for m := range tree.Manifests() {
		if m.IsIndex() {
			e.keepChildren(m.Descriptor.Digest, m.Manifests)
		}
	}
}

// knownBelow are the manifests below an index, as far as they are remembered.
func (e *Engine) knownBelow(index digest.Digest, depth int) (below []digest.Digest, known bool) {
	if e.options.Children == nil || depth == 0 {
		return nil, false
	}
	children, known := e.options.Children.Children(index)
	for _, child := range children {
		below = append(below, child)
		deeper, _ := e.knownBelow(child, depth-1)
		below = append(below, deeper...)
	}
	return below, known
}

// below are the manifests below an index that destinations have already: remembered, or
// read from one of them, because many sources count manifest reads. It is read at the
// source where no destination has it.
func (p *planner) below(ctx context.Context, index content.Descriptor) ([]digest.Digest, error) {
	if below, known := p.engine.knownBelow(index.Digest, attachmentDepth); known {
		return below, nil
	}
	tree, err := p.treeThere(ctx, index)
	if err != nil {
		return nil, err
	}
	var below []digest.Digest
	for _, m := range tree {
		p.engine.keepChildren(m.Descriptor.Digest, m.Manifests)
		for _, child := range m.Manifests {
			below = append(below, child.Digest)
		}
	}
	return below, nil
}

// treeThere reads an index, and the indexes in it, where a destination has it.
func (p *planner) treeThere(ctx context.Context, index content.Descriptor) (indexes []*content.Manifest, err error) {
	from := []content.ManifestFetcher{}
	for _, d := range p.plan.Destinations {
		if d.served() && !d.pending() {
			from = append(from, manifestReader{p.engine, d.target})
		}
	}
	for _, fetcher := range append(from, p.manifests) {
		if indexes, err = readIndexes(ctx, fetcher, index, attachmentDepth); err == nil || ctx.Err() != nil {
			return indexes, err
		}
	}
	return nil, err
}

func readIndexes(ctx context.Context, from content.ManifestFetcher, index content.Descriptor, depth int) ([]*content.Manifest, error) {
	m, err := content.FetchAndParse(ctx, from, index)
	if err != nil {
		return nil, err
	}
	indexes := []*content.Manifest{m}
	for _, child := range m.Manifests {
		if content.IsIndex(child.MediaType) && depth > 1 {
			deeper, err := readIndexes(ctx, from, child, depth-1)
			if err != nil {
				return nil, err
			}
			indexes = append(indexes, deeper...)
		}
	}
	return indexes, nil
}
