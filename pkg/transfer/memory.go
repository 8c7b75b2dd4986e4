package transfer

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// The interfaces below remember things between runs. All they say are hints: the engine
// believes only what follows from a digest, and what the caller has asked it to believe
// ([Job].Immutable). They may be called concurrently, do not block for long, and have no
// errors: a memory that does not work remembers nothing.

// SelectionMemory remembers what a selection of platforms made of an index. Equal digests
// and selections always give the same image.
type SelectionMemory interface {
	// Selected is the image, and what a person was told about it.
	Selected(source digest.Digest, selection string) (image content.Descriptor, warnings []string, known bool)
	KeepSelected(source digest.Digest, selection string, image content.Descriptor, warnings []string)
}

// ChildMemory remembers the manifests below indexes, which follow from their digests.
type ChildMemory interface {
	Children(index digest.Digest) (children []digest.Digest, known bool)
	KeepChildren(index digest.Digest, children []digest.Digest)
}

// CopyMemory remembers which immutable tags have been copied. from and to are names: a
// reference with what was selected of it, and a reference.
type CopyMemory interface {
	// Copied is what was copied, and when.
	Copied(from, to string) (image digest.Digest, at time.Time, known bool)
	KeepCopied(from, to string, image digest.Digest)
}

// AbilityMemory remembers what registries can do, by names of the engine's own.
type AbilityMemory interface {
	// Ability is whether a registry has been seen to do something, or to refuse it.
	Ability(registry, ability string) (can, known bool)
	KeepAbility(registry, ability string, can bool)
}
