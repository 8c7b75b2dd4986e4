package transfer

import (
	"context"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Job is an intent: this image, to these places. It is plain data; whoever executes it
// plans for itself.
type Job struct {
	// Entry groups jobs in events and reports: the name of a configuration's entry, or
	// empty.
	Entry string `json:"entry,omitempty"`
	// Source names one image, by tag or by digest. With both, the digest is copied.
	Source reference.Reference `json:"source"`
	// Destinations are where it goes: each a tag, a digest, or both; the same one twice is
	// done once, with a warning.
	Destinations []reference.Reference `json:"destinations"`
	// Platforms selects from an index; nil takes the index as it is. One platform takes
	// that platform's own manifest, several a rewritten index.
	Platforms []content.Platform `json:"platforms,omitempty"`
	// RequirePlatforms makes a platform that the source lacks an error, not a warning.
	RequirePlatforms bool `json:"requirePlatforms,omitempty"`
	// Referrers brings signatures, attestations and other referrers along.
	Referrers bool `json:"referrers,omitempty"`
	// ReferrersOnCopy does so only where the image itself is brought: what is attached to an
	// unchanged one is not asked for.
	ReferrersOnCopy bool `json:"referrersOnCopy,omitempty"`
	// ReferrersRequired moves a tag only if the search for referrers succeeded and all that were
	// found are at the destination.
	ReferrersRequired bool `json:"referrersRequired,omitempty"`
	// ReferrerTypes are the artifact types that go along; none takes all. What cosign ties to
	// an image by a tag has the type that cosign gives it as a referrer:
	// "application/vnd.dev.cosign.artifact.sig.v1+json" for signatures, and the same with
	// "att" and "sbom".
	ReferrerTypes []string `json:"referrerTypes,omitempty"`
	// Overwrite says what may happen to a tag that is at a destination already, and to the
	// tag of a signature: lists of referrers are merged in any case.
	Overwrite Overwrite `json:"overwrite,omitempty"`
	// Immutable: the tag never changes. Once it is copied nobody is asked about it, as far as
	// Options.Copies remembers; one that points elsewhere at a destination is not moved.
	Immutable bool `json:"immutable,omitempty"`
	// MaxSize is the largest image that is brought, in bytes of its blobs; zero sets no limit.
	MaxSize int64 `json:"maxSize,omitempty"`
	// Timeout is how long all jobs of the Entry may take together, from the start of the
	// first; zero sets no limit.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Resolved is what the source's tag was resolved to a moment ago; nil asks.
	Resolved *content.Descriptor `json:"-"`
	// ForeignLayers copies non-distributable layers too.
	ForeignLayers bool `json:"foreignLayers,omitempty"`
}

// Overwrite says what may happen to a tag that is at a destination already and points
// elsewhere.
type Overwrite string

// The values of Overwrite; the empty one is OverwriteAlways.
const (
	OverwriteAlways Overwrite = "always"
	// OverwriteNever leaves it as it is.
	OverwriteNever Overwrite = "never"
	// OverwriteNewer moves it only to an image whose configuration states a later time.
	OverwriteNewer Overwrite = "newer"
)

// Opener turns references into places. Equal repositories should give values with equal
// Locations; the engine opens a place once a job.
type Opener interface {
	OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error)
	OpenTarget(ctx context.Context, ref reference.Reference) (content.Target, error)
}
