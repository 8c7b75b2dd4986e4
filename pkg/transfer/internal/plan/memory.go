package plan

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Selections remembers which image a selection of platforms gave for an index.
type Selections interface {
	Selected(source digest.Digest, selection string) (image content.Descriptor, warnings []warning.Warning, known bool)
	KeepSelected(source digest.Digest, selection string, image content.Descriptor, warnings []warning.Warning)
}

// Children remembers the manifests below indexes.
type Children interface {
	Children(index digest.Digest) (children []digest.Digest, known bool)
	KeepChildren(index digest.Digest, children []digest.Digest)
}

// Abilities remembers what registries were seen to do.
type Abilities interface {
	Ability(registry, ability string) (seen string, known bool)
	KeepAbility(registry, ability, seen string)
}

// keepChildren remembers the children of an index unless one of them may have children of its own: an
// index, or a manifest of unknown media type.
func keepChildren(memory Children, index digest.Digest, children []content.Descriptor) {
	if slices.ContainsFunc(children, func(d content.Descriptor) bool {
		return content.IsIndex(d.MediaType) || !content.IsManifest(d.MediaType)
	}) {
		return
	}
	below := make([]digest.Digest, 0, len(children))
	for _, d := range children {
		below = append(below, d.Digest)
	}
	keepBelow(memory, index, below)
}

func keepBelow(memory Children, index digest.Digest, below []digest.Digest) {
	if memory != nil {
		memory.KeepChildren(index, below)
	}
}

// keepTree remembers the manifests below the root of a tree if that is an index.
func keepTree(memory Children, tree *content.Tree) {
	if !tree.Root.IsIndex() {
		return
	}
	var below []digest.Digest
	for m := range tree.Manifests() {
		if m != tree.Root {
			below = append(below, m.Descriptor.Digest)
		}
	}
	keepBelow(memory, tree.Root.Descriptor.Digest, below)
}
