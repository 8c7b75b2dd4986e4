package transfer

import (
	"context"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// keepChildren remembers the children of an index, which are all that is below it unless
// one of them is an index, too.
func (e *Engine) keepChildren(index digest.Digest, children []content.Descriptor) {
	nested := slices.ContainsFunc(children, func(d content.Descriptor) bool { return content.IsIndex(d.MediaType) })
	if !nested {
		e.keepBelow(index, digestsOf(children))
	}
}

func (e *Engine) keepBelow(index digest.Digest, below []digest.Digest) {
	if e.options.Children != nil {
		e.options.Children.KeepChildren(index, below)
	}
}

// keepTree remembers what is below the top of a tree, where that is an index.
func (e *Engine) keepTree(tree *content.Tree) {
	if !tree.Root.IsIndex() {
		return
	}
	var below []digest.Digest
	for m := range tree.Manifests() {
		if m != tree.Root {
			below = append(below, m.Descriptor.Digest)
		}
	}
	e.keepBelow(tree.Root.Descriptor.Digest, below)
}

// knownBelow are the manifests below an index, if they are remembered.
func (e *Engine) knownBelow(index digest.Digest) (below []digest.Digest, known bool) {
	if e.options.Children == nil {
		return nil, false
	}
	return e.options.Children.Children(index)
}

func digestsOf(descriptors []content.Descriptor) []digest.Digest {
	digests := make([]digest.Digest, 0, len(descriptors))
	for _, d := range descriptors {
		digests = append(digests, d.Digest)
	}
	return digests
}

// below are the manifests below an index that destinations have already: remembered, or
// read from one of them, because many sources count manifest reads. It is read at the
// source where no destination has it.
func (p *planner) below(ctx context.Context, index content.Descriptor) ([]digest.Digest, error) {
	below, known := p.engine.knownBelow(index.Digest)
	if known {
		return below, nil
	}
	var err error
	for _, from := range p.readers() {
		if below, err = readBelow(ctx, from, index, attachmentDepth); err == nil {
			p.engine.keepBelow(index.Digest, below)
			return below, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// readers read manifests: first of the destinations that have the image, then of the source.
func (p *planner) readers() []content.ManifestFetcher {
	var from []content.ManifestFetcher
	for _, d := range p.plan.Destinations {
		if d.served() && !d.pending() {
			from = append(from, manifestReader{p.engine, d.target})
		}
	}
	return append(from, p.manifests)
}

// readBelow reads an index, and the indexes in it.
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
