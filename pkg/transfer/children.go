package transfer

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// keepChildren remembers the children of an index, which are all that is below it unless
// one of them is an index, too.
func (e *Engine) keepChildren(index digest.Digest, children []content.Descriptor) {
	if slices.ContainsFunc(children, func(d content.Descriptor) bool { return content.IsIndex(d.MediaType) }) {
		return
	}
	below := make([]digest.Digest, 0, len(children))
	for _, d := range children {
		below = append(below, d.Digest)
	}
	e.keepBelow(index, below)
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
