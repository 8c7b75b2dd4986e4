package transfer

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/internal/blobs"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// The interfaces below remember things between runs. What they return are hints: the engine
// trusts only what follows from a digest, and what the caller has told it to trust
// ([Job].Immutable). Their methods may be called concurrently, must not block for long, and return no
// errors: a memory that does not work remembers nothing.

// SelectionMemory remembers what a selection of platforms made of an index. Equal digests
// and selections always give the same image.
type SelectionMemory interface {
	// Selected returns the image, and the warnings about the selection.
	Selected(source digest.Digest, selection string) (image content.Descriptor, warnings []warning.Warning, known bool)
	KeepSelected(source digest.Digest, selection string, image content.Descriptor, warnings []warning.Warning)
}

// ChildMemory remembers the manifests below indexes, and those on lists of referrers. They follow from
// the digest of the index or list.
type ChildMemory interface {
	Children(index digest.Digest) (children []digest.Digest, known bool)
	KeepChildren(index digest.Digest, children []digest.Digest)
}

// CopyMemory remembers which immutable tags have been copied, and at which images referrers are still
// missing ([Job].ReferrersOnCopy). from and to are names: a reference with what was selected of it, and a
// reference.
type CopyMemory interface {
	// Copied returns what was copied, and when.
	Copied(from, to string) (image digest.Digest, at time.Time, known bool)
	KeepCopied(from, to string, image digest.Digest)
}

// SeenMemory remembers what the tags of destinations pointed at when a run saw them: when it pushed or
// resolved them ([Job].VerifyEvery). A repository is named as [content.Location] does. The memory counts
// rounds: the runs that ask for tags of a repository.
type SeenMemory interface {
	// Seen returns what was seen at a tag, in which round, and the round of this run; as is what
	// KeepSeen was given. image is empty if nothing is known, and as long as nothing can be written: what
	// cannot be forgotten must not be trusted.
	Seen(repository, tag string) (image digest.Digest, as string, at, now int64)
	KeepSeen(repository, tag string, image digest.Digest, as string)
	// ForgetSeen forgets a tag, or with an empty one all tags of the repository.
	ForgetSeen(repository, tag string)
}

// UploadMemory remembers uploads that are in progress, so that a later process continues what was killed.
type UploadMemory interface {
	// OpenUpload takes the upload of a blob to a place, named as [content.Location] does, for this
	// process alone. It returns nil if another process has it.
	OpenUpload(place string, blob digest.Digest) UploadRecord
}

// UploadRecord is what is remembered of one upload. Its methods must not wait for a disk for long; after
// Forget and Release they do nothing.
type UploadRecord = blobs.Record

// AbilityMemory remembers what registries were seen to do. The engine and the registry client choose names and
// values, such as "mount" and "yes", "committed" or "no".
type AbilityMemory interface {
	// Ability returns what was seen last; known is false if nothing is remembered.
	Ability(registry, ability string) (seen string, known bool)
	KeepAbility(registry, ability, seen string)
}
