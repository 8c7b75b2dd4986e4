// Package referrers finds what is attached to images (signatures, attestations, SBOMs and other
// referrers) and copies it to their destinations.
//
// Start at [Finder.Find], which compares the source of an image with one destination, and [Finder.Push]. There are two schemes:
// manifests with a subject, which the referrers API or the list under the tag sha256-<hex> names (OCI distribution
// specification, "Listing Referrers"), and cosign's tags sha256-<hex>.sig, .att and .sbom.
//
// A failure is an [Error] about a referrer, never about its image.
package referrers

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/internal/manifests"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

const (
	// maxDepth bounds chains such as the signature of the SBOM of an image.
	maxDepth = 4
	// maxReferrers bounds the referrers of one image.
	maxReferrers = 1000
	// parallel is the number of subjects whose referrers are searched for, and of referrers that are read or pushed, at a time.
	parallel = 16
)

// Children remembers the manifests below indexes and on lists of referrers.
type Children interface {
	Children(index digest.Digest) (children []digest.Digest, known bool)
	KeepChildren(index digest.Digest, children []digest.Digest)
}

// Abilities remembers what registries were seen to do.
type Abilities interface {
	Ability(registry, ability string) (seen string, known bool)
	KeepAbility(registry, ability, seen string)
}

// Options configures a Finder. AttachedTags and Images may be nil.
type Options struct {
	Manifests *manifests.Cache
	// Running counts goroutines that several calls share.
	Running   *sync.WaitGroup
	Children  Children
	Abilities Abilities
	// AttachedTags returns the tags of a repository that belong to images, if the repository was listed in this run already.
	AttachedTags func(content.Location) (tags []string, listed bool)
	// Images returns how many images of a repository the run is known to copy.
	Images func(content.Location) int
}

// Finder finds and copies the referrers of one run. Images with the same digest share the answers of registries.
type Finder struct {
	answers answers
	pushes  flight.Memo[pushKey, pushed]
	lists   flight.Locks[nameAt] // lists that are being written, by subject

	refusals refusals
}

// New creates the Finder of a run.
func New(options Options) *Finder {
	return &Finder{
		answers:  answers{Options: options, asked: map[content.Location]int{}, counted: map[nameAt]bool{}},
		refusals: refusals{abilities: options.Abilities},
	}
}

// Pending is how many shared requests are in progress, and how many locks are held.
func (f *Finder) Pending() int {
	a := &f.answers
	return a.listings.Pending() + a.tags.Pending() + a.apis.Pending() + a.first.Held() + f.pushes.Pending() + f.lists.Held()
}

// Policy says which referrers are copied with an image.
type Policy struct {
	// Types are the artifact types that are copied; all if empty.
	Types []string
	// KeepTags does not overwrite signature tags that differ at the destination.
	KeepTags bool
	// Required: every referrer must be copied, so those refused in earlier runs are tried again.
	Required bool
	// Thorough also tries refused referrers again. It checks remembered lists again, and resolves the tags of an
	// unchanged image's children one by one.
	Thorough bool
}

func (p Policy) takes(artifactType string) bool {
	return len(p.Types) == 0 || slices.Contains(p.Types, artifactType)
}

// Image is an image at its source.
type Image struct {
	Source content.Source
	// Descriptor is the image that destinations get.
	Descriptor content.Descriptor
	// Tree is the image's manifests; nil if they were not read.
	Tree *content.Tree
	// Index is the source's index if the image was selected or rewritten from it, else empty.
	Index digest.Digest
	// Failed adds the reference of the source to an error.
	Failed func(error) error
}

// Destination is where the referrers go.
type Destination struct {
	Target content.Target
	// Lacks: the image is copied there in this run.
	Lacks bool
	// Failed adds the reference of the destination to an error.
	Failed func(error) error
}

// Found is what [Finder.Find] found.
type Found struct {
	// All are the referrers that were found at the source. A list that is unchanged at the destination was not read.
	All []content.Descriptor
	// Missing are those that the destination lacks, each after its subject.
	Missing []*Referrer
	// Kept are tags that differ at the destination and are not overwritten ([Policy].KeepTags).
	Kept []string
	// Incomplete: some were not searched for, as a warning says.
	Incomplete bool
	// Warnings are for the user.
	Warnings []warning.Warning
	// Failures say what could not be looked for or read.
	Failures []*Error
}

// HasSubject reports whether a missing referrer is attached to a manifest.
func (f *Found) HasSubject(d digest.Digest) bool {
	return slices.ContainsFunc(f.Missing, func(r *Referrer) bool { return r.subject == d })
}

// Referrer is a manifest that is attached to another one.
type Referrer struct {
	Descriptor content.Descriptor // as the list has it
	Tree       *content.Tree      // set for missing ones

	subject digest.Digest
	tag     string // cosign's; empty for a manifest with a subject
	list    *list  // the list that names it; nil with a tag
	depth   int    // 0 if it is attached to the image itself
	refused bool   // the destination is known not to accept it
	err     error  // of reading Tree
}

// Error is a failure to find or copy a referrer.
type Error struct {
	// What the error is about: "signature sha256-….sig", "referrer sha256:…", "referrers of sha256:…".
	What string
	// Found: the referrer exists at the source. Otherwise it is unknown whether there is one.
	Found bool
	// Refused: the repository does not accept referrers of this kind.
	Refused bool
	Err     error
}

func (e *Error) Error() string { return e.What + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

func (r *Referrer) failed(err error) *Error {
	what := "referrer " + r.Descriptor.Digest.String()
	if r.tag != "" {
		what = kindOf(r.tag) + " " + r.tag
	}
	return &Error{What: what, Found: true, Err: err}
}

func (r *Referrer) notAccepted(err error) *Error {
	e := r.failed(err)
	e.Refused = true
	return e
}

func (l *list) failed(err error) *Error {
	return &Error{What: "list of referrers of " + l.subject.String(), Found: true, Err: err}
}

func unknown(subject digest.Digest, err error) *Error {
	return &Error{What: "referrers of " + subject.String(), Err: err}
}

func tooMany() error {
	return fmt.Errorf("%w: more than %d signatures and referrers of one image", content.ErrInvalid, maxReferrers)
}

// Find finds the referrers of an image and of its children at the source, and which of them the
// destination lacks. It returns context.Cause(ctx) if ctx has ended; other failures are in Found.
//
// An unchanged image costs one request to the API for each of its manifests, and one request at each
// side for each tag that is named after one of them.
func (f *Finder) Find(ctx context.Context, image Image, to Destination, policy Policy) (*Found, error) {
	s := &search{
		answers: &f.answers, refusals: &f.refusals, image: image, to: to, policy: policy,
		budget: content.NewBudget(content.Limits{}), seen: map[digest.Digest]bool{},
	}
	if image.Tree != nil {
		if err := s.budget.CountTree(image.Tree); err != nil {
			s.found.Failures = append(s.found.Failures, unknown(image.Descriptor.Digest, image.Failed(err)))
			return &s.found, context.Cause(ctx)
		}
	}
	s.warnIndexReferrers(ctx)
	round := s.subjects(ctx)
	for depth := 0; depth < maxDepth && len(round) > 0; depth++ {
		round = s.round(ctx, depth, round)
	}
	if len(round) > 0 {
		s.warnIncomplete(warning.Warning{Kind: warning.TooDeep, Digest: image.Descriptor.Digest, Count: maxDepth})
	}
	s.endReading()
	return &s.found, context.Cause(ctx)
}
