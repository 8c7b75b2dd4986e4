package referrers

import (
	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// Children remembers the manifests below indexes and on lists of referrers.
type Children interface {
	Children(index digest.Digest) (children []digest.Digest, known bool)
	KeepChildren(index digest.Digest, children []digest.Digest)
}

// Selections remembers what was made of a list of referrers: a part of it, or a merged one.
type Selections interface {
	Selected(source digest.Digest, selection string) (made content.Descriptor, warnings []string, known bool)
	KeepSelected(source digest.Digest, selection string, made content.Descriptor, warnings []string)
}

// Abilities remembers what registries can do.
type Abilities interface {
	Ability(registry, ability string) (can, known bool)
	KeepAbility(registry, ability string, can bool)
}

// memory is what earlier runs have learned. Its fields may be nil.
type memory struct {
	children   Children
	selections Selections
	abilities  Abilities
}

func (m memory) below(index digest.Digest) (below []digest.Digest, known bool) {
	if m.children == nil {
		return nil, false
	}
	return m.children.Children(index)
}

func (m memory) keepBelow(index digest.Digest, below []digest.Digest) {
	if m.children != nil {
		m.children.KeepChildren(index, below)
	}
}

func (m memory) selected(from digest.Digest, key string) (content.Descriptor, bool) {
	if m.selections == nil {
		return content.Descriptor{}, false
	}
	d, _, known := m.selections.Selected(from, key)
	return d, known && content.CheckDescriptor(d) == nil
}

func (m memory) keepSelected(from digest.Digest, key string, made content.Descriptor) {
	if m.selections != nil {
		m.selections.KeepSelected(from, key, made, nil)
	}
}

func (m memory) ability(registry, name string) (can, known bool) {
	if m.abilities == nil {
		return false, false
	}
	return m.abilities.Ability(registry, name)
}

func (m memory) keepAbility(registry, name string, can bool) {
	if m.abilities != nil {
		m.abilities.KeepAbility(registry, name, can)
	}
}
