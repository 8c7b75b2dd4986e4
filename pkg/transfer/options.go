package transfer

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/transfer/internal/blobs"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Options configures an engine. The zero value works.
type Options struct {
	// Observe is called for every state change, concurrently. It must not block.
	Observe func(Event)
	// Limiter has the slots of the process; if nil, the engine creates one.
	Limiter *limit.Limiter
	// MountHints returns repositories of a registry that may have a blob, the most likely
	// first. A wrong hint costs one request.
	MountHints func(registry string, blob digest.Digest) []string
	// Selections, Children, Copies, Seen and Abilities remember what earlier runs have learned, and Uploads their
	// open uploads; nil ones remember nothing.
	Selections SelectionMemory
	Children   ChildMemory
	Copies     CopyMemory
	Seen       SeenMemory
	Abilities  AbilityMemory
	Uploads    UploadMemory
	// Recheck checks immutable tags even if Copies has them, trusts nothing that Seen has, and resolves the signature tags of
	// the platforms of unchanged images. It also tries referrers again that a destination refused in an earlier run.
	Recheck bool
	// AttachedTags returns the tags of a repository that belong to images, if the repository
	// was listed in this run already; may be nil.
	AttachedTags func(content.Location) (tags []string, listed bool)
	// Draining, once it is closed, keeps jobs, plans and blobs from being started; they end
	// with an [ErrDeferred]. Blobs in flight go on, and images whose blobs have all arrived
	// get their manifests and tags. The caller may cancel the context later.
	Draining <-chan struct{}
	// Window is how many deliveries are open at a time between two registries, and a quarter
	// of how many are open in all; 256 if zero.
	Window int
	// Attempts is how often a blob is tried; 8 if zero.
	Attempts int
	// FailFast reports each failure at once, without another attempt at the end of the run.
	FailFast bool
	// SpoolDir is where blobs for several destinations wait that do not fit in memory;
	// the system's temporary directory if empty.
	SpoolDir string
	// SpoolBytes bounds them; 8 GiB if zero.
	SpoolBytes int64
}

const (
	defaultWindow     = 256
	defaultSpoolBytes = 8 << 30
	// spoolMemory is how much of the spools is kept in memory.
	spoolMemory = 16 << 20
)

// The interfaces below remember things between runs. What they return are hints: the engine trusts only what follows from a
// digest, and what the caller declares unchanged ([Job].Immutable). Their methods may be called concurrently, must not block
// for long, and return no errors: a memory that does not work remembers nothing.

// SelectionMemory remembers the image that a selection of platforms makes of an index. Equal digests
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

// CopyMemory remembers which immutable tags have been copied, and at which images referrers are still missing
// ([Job].ReferrersOnCopy). from and to are names: a reference with what was selected of it, and a reference.
type CopyMemory interface {
	// Copied returns what was copied, and when.
	Copied(from, to string) (image digest.Digest, at time.Time, known bool)
	KeepCopied(from, to string, image digest.Digest)
}

// SeenMemory remembers what the tags of destinations pointed at when a run saw them: when it pushed or
// resolved them ([Job].VerifyEvery). A repository is named as [content.Location] does. The memory counts
// rounds: the runs that ask for tags of a repository.
type SeenMemory interface {
	// Seen returns what was seen at a tag, in which round, and the round of this run; as is what KeepSeen was given. image is
	// empty if nothing is known, and as long as nothing can be written: entries that cannot be forgotten must not be used.
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
