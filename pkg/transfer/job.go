package transfer

import (
	"context"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Job says which image is to be copied, and to which places. It is plain data; the engine plans it.
type Job struct {
	// Entry groups jobs in events and reports: the name of a configuration's entry, or empty.
	Entry string `json:"entry,omitempty"`
	// Source names one image, by tag or by digest. With both, the digest is copied.
	Source reference.Reference `json:"source"`
	// Destinations are where it is copied to: each names a tag, a digest, or both. A duplicate is skipped, with a warning.
	Destinations []reference.Reference `json:"destinations"`
	// Platforms selects from an index; nil takes the index as it is. One platform takes
	// that platform's own manifest, several a rewritten index.
	Platforms []content.Platform `json:"platforms,omitempty"`
	// RequirePlatforms makes a platform that the source lacks an error, not a warning.
	RequirePlatforms bool `json:"requirePlatforms,omitempty"`
	// RequireSource makes it a failure that the source no longer has its tag or digest, although the destination has it.
	// Otherwise the destination keeps it ([ActionKeep]), with a warning.
	RequireSource bool `json:"requireSource,omitempty"`
	// Attestations says what happens to the attestations that BuildKit puts into an index.
	Attestations Attestations `json:"attestations,omitempty"`
	// Referrers also copies signatures, attestations and other referrers.
	Referrers bool `json:"referrers,omitempty"`
	// ReferrersOnCopy does so only if the image itself is copied: an unchanged image is not checked for new referrers.
	ReferrersOnCopy bool `json:"referrersOnCopy,omitempty"`
	// ReferrersRequired moves a tag only if the search for referrers succeeded, and all that it found are at the destination.
	ReferrersRequired bool `json:"referrersRequired,omitempty"`
	// ReferrerTypes are the artifact types that are copied; all if empty. What cosign attaches to an image by a tag has the
	// type that cosign gives it as a referrer: "application/vnd.dev.cosign.artifact.sig.v1+json" for signatures, and the same
	// with "att" and "sbom".
	ReferrerTypes []string `json:"referrerTypes,omitempty"`
	// Overwrite says what may happen to a tag that is at a destination already, and to the
	// tag of a signature: lists of referrers are merged in any case.
	Overwrite Overwrite `json:"overwrite,omitempty"`
	// Immutable: the tag never changes. Once it is copied, neither side is asked about it again, as
	// long as Options.Copies remembers it; one that points elsewhere at a destination is not moved.
	Immutable bool `json:"immutable,omitempty"`
	// VerifyEvery is in how many rounds an unchanged tag is resolved at the destination once; in the others, the run relies
	// on what an earlier one saw there. Zero or one: in each round. See [SeenMemory].
	VerifyEvery int `json:"verifyEvery,omitempty"`
	// MaxSize is the size of the largest image that is copied, in bytes of its blobs; zero sets no limit.
	MaxSize int64 `json:"maxSize,omitempty"`
	// Timeout is how long all jobs of the Entry may take together, from the start of the first; zero sets no limit.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Resolved is what the source's tag was resolved to a moment ago; if nil, the engine resolves it.
	Resolved *content.Descriptor `json:"-"`
	// ForeignLayers also copies foreign (non-distributable) layers, from their URLs if the source lacks them.
	ForeignLayers bool `json:"foreignLayers,omitempty"`
}

// Overwrite says what may happen to a tag that is at a destination already and points elsewhere.
type Overwrite string

// The values of Overwrite; the empty one is OverwriteAlways.
const (
	OverwriteAlways Overwrite = "always"
	// OverwriteNever leaves it as it is.
	OverwriteNever Overwrite = "never"
	// OverwriteNewer moves it only to an image that was created later; see [content.Created].
	OverwriteNewer Overwrite = "newer"
)

// Attestations says what happens to the attestations in an index.
type Attestations string

// The values of Attestations.
const (
	// AttestationsAuto copies them. For a registry that refuses them because it accepts only images
	// ([content.ErrImagesOnly]) the index is written without them, and so has another digest; the platforms keep theirs. The
	// registry is remembered ([Options].Abilities), and a warning says it once a run.
	AttestationsAuto Attestations = ""
	// AttestationsKeep copies them; if they are refused, the image fails.
	AttestationsKeep Attestations = "keep"
	// AttestationsDrop leaves them out.
	AttestationsDrop Attestations = "drop"
)

// Opener turns references into places. Equal repositories should give values with equal
// Locations. The engine opens each place once for a job.
type Opener interface {
	OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error)
	OpenTarget(ctx context.Context, ref reference.Reference) (content.Target, error)
}
