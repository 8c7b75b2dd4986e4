// Package plan finds what an image at a source needs at one destination. It only reads.
//
// Start at [Run.Plan].
package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/internal/manifests"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Run has what the plans of a run share. Manifests, Running and Children are required.
type Run struct {
	Manifests *manifests.Cache
	// Running counts goroutines that several plans share.
	Running    *sync.WaitGroup
	Selections Selections
	Children   Children
	Abilities  Abilities
	// AttachedTags returns the tags of a repository that belong to images, if the repository was listed in this run already.
	AttachedTags func(content.Location) (tags []string, listed bool)

	inventories inventories // tags of destinations
	// metered are the images whose manifests are being read from a quota.
	metered flight.Locks[sourceDigest]
}

// sourceDigest is an image at its source.
type sourceDigest struct {
	at     content.Location
	digest digest.Digest
}

// Request is what to plan.
type Request struct {
	From *Source
	// Outdated is the digest that an earlier plan resolved and that the source no longer has; empty the first time.
	Outdated digest.Digest
	// Target is the destination; nil if only the source matters. Tag or, without one, Digest is what is written.
	Target content.Target
	Tag    string
	Digest digest.Digest
	// Trusted is what the tag is trusted to point at: it is resolved only if the image differs. Empty resolves it in any case.
	Trusted digest.Digest
	// Listable: a listing of the target is trusted to show whether it lacks the tag. In some registries a
	// listing shows a new tag late: a tag that must not be overwritten is resolved instead.
	Listable bool
	// Platforms selects from an index; nil takes the index as it is.
	Platforms []content.Platform
	// RequirePlatforms makes a platform that the source lacks an [ErrNoPlatform].
	RequirePlatforms bool
	// OmitAttestations leaves out the attestations in an index.
	OmitAttestations bool
	// EitherForm: a destination that has the index with its attestations, or without them, is up to date.
	EitherForm bool
	// Stays: the policy does not move an existing tag, whatever the image is. No manifest is read for EitherForm then.
	Stays bool
	// KeepGone: a destination that has what the source no longer has keeps it.
	KeepGone bool
	// Policy may refuse the image.
	Policy Policy
}

// Policy decides what may be written. It sets Refused.
type Policy interface {
	// Move is called before an existing tag moves to another image. Its error is one of the source.
	Move(ctx context.Context, p *Plan) error
	// Copy is called before an image is copied, after its Tree was read.
	Copy(p *Plan)
}

// Plan is what an image needs at one destination.
type Plan struct {
	// Source is what the source's reference was resolved to; Image is what the destination gets: the
	// same, the manifest of one platform, or a rewritten index.
	Source, Image content.Descriptor
	// There is what the destination's tag points at; zero if the tag does not exist.
	There content.Descriptor
	// NotAsked: There is Request.Trusted.
	NotAsked bool
	// Tree is the image's manifests; nil if they were not read.
	Tree     *content.Tree
	Warnings []warning.Warning
	// Refused: the policy leaves the destination as it is.
	Refused bool
	// Gone: the source no longer has the image, and the destination keeps There.
	Gone bool
	// WithoutAttestations: the image is the index without attestations that it has for the selected platforms.
	WithoutAttestations bool
	// Err is an error of the destination.
	Err error

	root  *content.Manifest                               // of the image; nil if it was not read
	begin func(context.Context, content.Descriptor) error // called before a manifest of the source is read
}

// Lacks reports whether the image has to be copied.
func (p *Plan) Lacks() bool { return p.Err == nil && !p.Refused && p.There.Digest != p.Image.Digest }

// Derived reports whether the image differs from the source: one platform of it, or a rewritten index.
func (p *Plan) Derived() bool { return p.Image.Digest != p.Source.Digest }

// planning is a plan in the making.
type planning struct {
	Request
	*Plan
	run *Run
	// attestationMissing: the source lacks an attestation of a selected platform.
	attestationMissing bool
	// unlock lets other plans of the same image read from the quota; nil if this one does not.
	unlock func()
}

// Plan plans a request. It returns errors of the source, with the plan as far as it got; an error of the
// destination is in the plan.
func (r *Run) Plan(ctx context.Context, request Request) (*Plan, error) {
	p := &planning{Request: request, Plan: &Plan{}, run: r}
	p.begin = p.beginPulls
	defer func() {
		if p.unlock != nil {
			p.unlock()
		}
	}()
	err := p.resolve(ctx)
	if err != nil || p.Err != nil || p.Gone {
		return p.Plan, err
	}
	resolved := *p.Plan
	err = p.decide(ctx)
	if part, missing := missingPart(err); missing && content.IsAttestation(part) && len(p.Platforms) > 0 {
		*p.Plan, p.attestationMissing = resolved, true
		err = p.decide(ctx)
	}
	return p.Plan, err
}

func (p *planning) warn(w warning.Warning) { p.Warnings = append(p.Warnings, w) }

// written is what the destination's reference writes: its tag or, without one, the digest.
func (q *Request) written() string { return cmp.Or(q.Tag, q.Digest.String()) }

// resolve resolves the source's and the destination's references concurrently. If the source fails, it
// does not wait for the destination. If a listing shows that the destination lacks the tag, the source's
// manifest is read by its tag, which takes one request instead of two.
func (p *planning) resolve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listed := p.Trusted == "" && p.run.listsFirst(&p.Request)
	there := content.Descriptor{Digest: p.Trusted}
	var thereErr error
	answered := make(chan struct{})
	p.run.Running.Go(func() {
		defer close(answered)
		if p.Target != nil && p.written() != "" && p.Trusted == "" {
			there, thereErr = p.run.resolveAt(ctx, &p.Request)
		}
	})
	if listed {
		<-answered
	}
	source, err := p.From.Resolve(ctx, p.Outdated, listed && errors.Is(thereErr, content.ErrNotFound))
	p.Source = source
	if errors.Is(err, content.ErrNotFound) && p.KeepGone && p.Target != nil && p.written() != "" {
		<-answered
		return p.keepGone(ctx, there, thereErr, err)
	}
	if err != nil {
		return err
	}
	<-answered
	p.setThere(there, thereErr)
	p.NotAsked = p.Trusted != ""
	return nil
}

// keepGone decides whether the destination keeps an image that the source no longer has; gone is the source's error.
// If the destination's tag points to another digest than the wanted one, the destination does not have the image. A
// proxy may also answer 404, so the registry must confirm it in an error document.
func (p *planning) keepGone(ctx context.Context, there content.Descriptor, err, gone error) error {
	if p.Trusted != "" {
		there, err = p.run.resolveAt(ctx, &p.Request)
	}
	p.setThere(there, err)
	p.Source.Digest, p.Image.Digest = p.From.ref.Digest, p.From.ref.Digest
	has := err == nil && (p.From.ref.Digest == "" || there.Digest == p.Source.Digest || p.recallSelected(p.OmitAttestations) ||
		p.EitherForm && p.recallSelected(!p.OmitAttestations))
	p.Source, p.Image = content.Descriptor{}, content.Descriptor{}
	if has {
		p.Gone, gone = p.From.confirmGone(ctx, p.Outdated, gone)
	}
	if told := p.Gone || !has && p.Err != nil; told {
		return nil
	}
	return gone
}

func (p *planning) setThere(there content.Descriptor, err error) {
	p.There = there
	if !errors.Is(err, content.ErrNotFound) { // no other answer means that the tag does not exist
		p.Err = err
	}
}

// decide chooses the image for the destination, and reads its manifests if it has to be copied.
func (p *planning) decide(ctx context.Context) error {
	before := len(p.Warnings)
	if err := p.selectImage(ctx); err != nil {
		return err
	}
	if p.NotAsked && p.There.Digest != p.Image.Digest {
		p.NotAsked = false
		p.setThere(p.run.resolveAt(ctx, &p.Request))
		if p.EitherForm {
			p.Warnings, p.root = p.Warnings[:before], nil
			if err := p.selectImage(ctx); err != nil {
				return err
			}
		}
	}
	if p.Target != nil {
		p.compare()
	}
	if p.Err == nil && p.There.Digest != "" && p.There.Digest != p.Image.Digest {
		if err := p.Policy.Move(ctx, p.Plan); err != nil {
			return err
		}
	}
	// A local source is read in any case: that costs no request, and lets the output list the layers of
	// an unchanged image, as Docker does.
	if p.Target != nil && p.Lacks() || content.IsRereadable(p.From.Source) {
		if err := p.readTree(ctx); err != nil {
			return err
		}
	}
	if p.Target != nil && p.Lacks() {
		p.Policy.Copy(p.Plan)
	}
	return nil
}

// compare checks the destination's digest, and whether it is the source itself.
func (p *planning) compare() {
	switch {
	case p.Digest != "" && p.Digest != p.Image.Digest:
		p.Err = fmt.Errorf("the digest in the destination differs from the image's digest %s: %w", p.Image.Digest, content.ErrInvalid)
	case p.There.Digest == p.Image.Digest && p.Target.Location() == p.From.Location() && p.written() == p.From.ref.Identifier():
		p.warn(warning.Warning{Kind: warning.SameImage})
	}
}

func (p *planning) readTree(ctx context.Context) error {
	root, err := p.Root(ctx, p.From)
	if err != nil {
		return err
	}
	if err := p.reserveChildren(ctx, root); err != nil {
		return err
	}
	if p.Tree, err = content.FetchTree(ctx, p.From.Manifests, root, content.Limits{}); err != nil {
		return err
	}
	keepTree(p.run.Children, p.Tree)
	return nil
}

// beginPulls reserves what is known to be needed before the source's manifest d is read: one pull for an image. An index needs
// one for itself and one for each child; their number is remembered from an earlier run, or known once the index is read.
func (p *planning) beginPulls(ctx context.Context, d content.Descriptor) error {
	if p.From.Pulls == nil || p.From.Manifests.Has(d) {
		return nil
	}
	if err := p.lockPulls(ctx); err != nil || p.From.Manifests.Has(d) {
		return err
	}
	n, more := 1, false
	if content.IsIndex(d.MediaType) {
		n, more = p.indexPulls(d)
	}
	return p.From.Pulls.Reserve(ctx, n, more)
}

// lockPulls waits until no other plan of the same image reads manifests from the quota: one for another destination, or
// for another tag. What that one has read is then in the cache, and is not reserved twice. That one may come later in the
// file, and must not wait for the turn of this one.
func (p *planning) lockPulls(ctx context.Context) (err error) {
	if p.unlock != nil {
		return nil
	}
	image := sourceDigest{p.From.Location(), p.Source.Digest}
	unlock, free := p.run.metered.TryLock(image)
	if !free {
		p.From.Pulls.Pass()
		unlock, err = p.run.metered.Lock(ctx, image)
	}
	p.unlock = unlock
	return err
}

// indexPulls returns how many pulls an index needs. more: it may need more.
func (p *planning) indexPulls(index content.Descriptor) (n int, more bool) {
	if len(p.Platforms) == 0 && !p.OmitAttestations {
		if below, known := p.run.Children.Children(index.Digest); known {
			return 1 + len(below), false
		}
	}
	return 2, len(p.Platforms) != 1
}

// reserveChildren reserves a pull for each child of an index that was not read yet. If the quota does not have enough
// for all of them, the image is not begun.
func (p *planning) reserveChildren(ctx context.Context, index *content.Manifest) error {
	if p.From.Pulls == nil || p.unread(index) == 0 {
		return nil
	}
	if err := p.lockPulls(ctx); err != nil {
		return err
	}
	if n := p.unread(index); n > 0 {
		return p.From.Pulls.Reserve(ctx, n, false)
	}
	return nil
}

func (p *planning) unread(index *content.Manifest) (n int) {
	for _, child := range index.Manifests {
		if !content.IsBlob(child.MediaType) && !p.From.Manifests.Has(child) {
			n++
		}
	}
	return n
}

// Root reads the image's manifest at the source, once.
func (p *Plan) Root(ctx context.Context, from *Source) (*content.Manifest, error) {
	if p.root != nil {
		return p.root, nil
	}
	if err := p.begin(ctx, p.Image); err != nil {
		return nil, err
	}
	root, err := content.FetchAndParse(ctx, from.Manifests, p.Image)
	if err != nil && p.Derived() { // one platform of an index
		err = &content.PartError{Part: p.Image, Err: err}
	}
	p.root = root
	return root, err
}

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
	memory.KeepChildren(index, below)
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
	memory.KeepChildren(tree.Root.Descriptor.Digest, below)
}
