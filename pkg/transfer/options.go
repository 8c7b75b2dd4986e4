package transfer

import (
	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
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
	// Selections, Children, Copies, Seen and Abilities remember what earlier runs have learned, and Uploads what
	// they were doing; nil ones remember nothing.
	Selections SelectionMemory
	Children   ChildMemory
	Copies     CopyMemory
	Seen       SeenMemory
	Abilities  AbilityMemory
	Uploads    UploadMemory
	// Recheck checks immutable tags even if Copies has them, trusts nothing that Seen has, and resolves the signature tags of the
	// platforms of unchanged images. It also tries referrers again that a destination refused in an
	// earlier run.
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
