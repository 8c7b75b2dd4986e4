package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
	"github.com/regsync/regsync/pkg/transfer/internal/plan"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Job says which image is to be copied, and to which places. It is plain data; the engine plans it.
type Job struct {
	// Entry groups jobs in events and reports: the name of a configuration's entry, or empty.
	Entry string `json:"entry,omitempty"`
	// Source names one image, by tag or by digest. With both, the digest is copied.
	Source reference.Reference `json:"source"`
	// Destinations are where it is copied to: each names a tag, a digest, or both. A duplicate is skipped, with a warning.
	Destinations []reference.Reference `json:"destinations"`
	// Platforms selects from an index; nil copies the index unchanged. One platform selects that
	// platform's own manifest, several a rewritten index.
	Platforms []content.Platform `json:"platforms,omitempty"`
	// RequirePlatforms makes a platform that the source lacks an error, not a warning.
	RequirePlatforms bool `json:"requirePlatforms,omitempty"`
	// IgnoreMissingPlatforms suppresses the warning about a platform that the source lacks.
	IgnoreMissingPlatforms bool `json:"ignoreMissingPlatforms,omitempty"`
	// RequireSource makes it a failure that the source no longer has its tag or digest, although the destination has it.
	// Otherwise the destination keeps it ([ActionKeep]), with a warning.
	RequireSource bool `json:"requireSource,omitempty"`
	// Attestations says whether the attestations that BuildKit adds to an index are copied.
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
	// Overwrite says whether an existing tag may move at a destination, also that of a signature.
	// Lists of referrers are always merged.
	Overwrite Overwrite `json:"overwrite,omitempty"`
	// Immutable: the tag never changes. Once it is copied, neither side is checked again, as
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

// Overwrite is what may happen to a tag that exists at a destination and points to another image.
type Overwrite string

// The values of Overwrite; the empty one is OverwriteAlways.
const (
	OverwriteAlways Overwrite = "always"
	// OverwriteNever does not move it.
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

// Action is what is done at a destination.
type Action string

// The actions on a destination.
const (
	ActionAdd       Action = "add"       // the tag did not exist
	ActionMove      Action = "move"      // the tag pointed to another image
	ActionUnchanged Action = "unchanged" // it is up to date
	ActionSkip      Action = "skip"      // a rule of the job does not allow it
	ActionKeep      Action = "keep"      // it no longer exists at the source, and is kept at the destination
	ActionNone      Action = "none"      // nothing was decided: planning failed
)

// ErrNoPlatform: the source has none of the requested platforms, or lacks a required one.
var ErrNoPlatform = plan.ErrNoPlatform

// Result is the result of a job.
type Result struct {
	Job Job
	// Digest is that of the image to copy; empty if planning failed before it was known.
	Digest digest.Digest
	// Destinations has one element for each distinct destination of the job.
	Destinations []DestinationResult
	// Warnings are for the user: a missing platform, referrers that were not copied.
	Warnings []warning.Warning
	Elapsed  time.Duration
}

// DestinationResult is how a job ended at one destination.
type DestinationResult struct {
	Reference reference.Reference
	Action    Action
	// Digest is that of the tag now; empty if the copy failed.
	Digest digest.Digest
	// Previous is what the tag pointed at before; empty if it did not exist.
	Previous digest.Digest
	// Rule is that of [DestinationPlan].
	Rule Rule
	// Referrers is how many signatures and other referrers were copied.
	Referrers int
	// Refused is how many were left out because the destination does not accept them.
	Refused int
	// WithoutAttestations: the index was copied without its attestations, because the destination does not accept them.
	WithoutAttestations bool
	// Err is nil if the destination is up to date now, or if Rule leaves it as it is. It is an
	// [ErrDeferred] if the image is left to the next run.
	Err error
}

// RuleKind is a rule of a job by which a destination is not changed.
type RuleKind string

// The kinds of rules.
const (
	// RuleImmutable: the job is immutable, and the tag points to another image.
	RuleImmutable RuleKind = "immutable"
	// RuleCopied: the job is immutable and was copied before, according to [Options].Copies.
	// No request was made to either side.
	RuleCopied RuleKind = "copied"
	// RuleSeen: the tag is up to date according to [Options].Seen; the destination was not checked ([Job].VerifyEvery).
	RuleSeen RuleKind = "seen"
	// RuleNever is [OverwriteNever], and the tag points to another image.
	RuleNever RuleKind = "never"

	// The next four belong to [OverwriteNewer]: the destination's image is newer than the
	// source's, was created at the same time, or one of them has no time of creation.

	RuleNewer              RuleKind = "newer"
	RuleSameAge            RuleKind = "sameAge"
	RuleSourceUndated      RuleKind = "sourceUndated"
	RuleDestinationUndated RuleKind = "destinationUndated"

	// RuleMaxSize: the image is larger than [Job].MaxSize.
	RuleMaxSize RuleKind = "maxSize"
)

// Rule is why a job does not change a destination. The zero value is no rule.
type Rule struct {
	Kind RuleKind
	// Limit is the MaxSize, in bytes, of RuleMaxSize.
	Limit int64
	// Found is what the rule was applied to. Without it, equal rules compare equal for all images.
	Found Found
}

// Found is what a [Rule] was applied to.
type Found struct {
	// Size is that of the image, in bytes, under RuleMaxSize.
	Size int64
	// SourceCreated and DestinationCreated are when the two images were created, under RuleNewer and RuleSameAge.
	SourceCreated, DestinationCreated time.Time
}

// Failed reports whether the job failed at any destination.
func (r *Result) Failed() bool {
	return slices.ContainsFunc(r.Destinations, func(d DestinationResult) bool { return d.Err != nil })
}

// Err joins the errors of the destinations, equal ones once.
func (r *Result) Err() error {
	var errs []error
	seen := map[string]bool{}
	for _, d := range r.Destinations {
		if d.Err != nil && !seen[d.Err.Error()] {
			seen[d.Err.Error()] = true
			errs = append(errs, d.Err)
		}
	}
	return errors.Join(errs...)
}

// Side is the side of a copy that failed.
type Side string

// The two sides.
const (
	SideSource      Side = "source"
	SideDestination Side = "destination"
)

// Error is an error of one side of a copy.
type Error struct {
	Side Side
	// Reference is the image at that side.
	Reference reference.Reference
	Err       error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %v", e.Side, e.Reference.Familiar(), e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// onSide records in an error which side of a copy failed. An error that already has a side, or
// concerns neither side, is returned unchanged.
func onSide(side Side, ref reference.Reference, err error) error {
	ended := errors.Is(err, context.Canceled) || errors.Is(err, ErrDeferred)
	if err == nil || ended && !is[*retry.NotRetriedError](err) {
		return err
	}
	if _, known := errors.AsType[*Error](err); known {
		return err
	}
	return &Error{Side: side, Reference: ref, Err: err}
}

func atDestination(ref reference.Reference, err error) error {
	return onSide(SideDestination, ref, err)
}
