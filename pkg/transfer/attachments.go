package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
)

// attachment is a manifest that belongs to an image without being below it: a referrer,
// or what cosign's older scheme ties to it by a tag.
type attachment struct {
	descriptor content.Descriptor // as the list of referrers has it
	subject    digest.Digest
	tag        string // "sha256-<hex>.sig"; empty for a referrer
	tree       *content.Tree
}

// attachmentSuffixes are those of cosign's tags for signatures, attestations and SBOMs
// (cosign, "Signature Specification", "Storage").
var attachmentSuffixes = [...]string{".sig", ".att", ".sbom"}

// attachmentDepth bounds chains such as the signature of the SBOM of an image.
const attachmentDepth = 4

// attachmentCount bounds the attachments of one image.
const attachmentCount = 1000

// findAttachments finds what is attached to the image and to its children. from is the
// index that the image was taken from, or nil: what is attached to that index does not fit
// what was taken from it.
func (p *planner) findAttachments(ctx context.Context, from *content.Manifest) error {
	subjects, err := p.subjects(ctx, from)
	if err != nil {
		return err
	}
	if from != nil {
		if err := p.leaveBehind(ctx, p.plan.Source.Digest); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for range attachmentDepth {
		if len(subjects) == 0 {
			break
		}
		found, err := p.attachedTo(ctx, subjects)
		if err != nil {
			return err
		}
		subjects = subjects[:0]
		for _, a := range found {
			if key := a.tag + "@" + a.descriptor.Digest.String(); !seen[key] {
				seen[key] = true
				p.plan.attached = append(p.plan.attached, a)
				p.plan.Referrers = append(p.plan.Referrers, a.descriptor)
				subjects = append(subjects, a.descriptor.Digest)
			}
		}
		if len(p.plan.attached) > attachmentCount {
			return tooManyAttached()
		}
	}
	return nil
}

func tooManyAttached() error {
	return fmt.Errorf("%w: more than %d signatures and referrers of one image", content.ErrInvalid, attachmentCount)
}

// subjects are the manifests whose attachments go along. A rewritten index is none: nobody
// has signed it.
func (p *planner) subjects(ctx context.Context, from *content.Manifest) ([]digest.Digest, error) {
	rewritten := from != nil && len(p.plan.Job.Platforms) > 1
	var subjects []digest.Digest
	if tree := p.plan.tree; tree != nil {
		for m := range tree.Manifests() {
			if m != tree.Root || !rewritten {
				subjects = append(subjects, m.Descriptor.Digest)
			}
		}
		return subjects, nil
	}
	if !rewritten {
		subjects = append(subjects, p.plan.Image.Digest)
	}
	children, err := p.unchangedChildren(ctx)
	return append(subjects, children...), err
}

// unchangedChildren are the children of an image that is at every destination already.
// They are read from there, because many sources count manifest reads, and only where the
// source has tags that may be attached to them.
func (p *planner) unchangedChildren(ctx context.Context) ([]digest.Digest, error) {
	if !content.IsIndex(p.plan.Image.MediaType) {
		return nil, nil
	}
	tags, err := p.engine.attachmentTags(ctx, p.plan.source)
	if err != nil || len(tags) == 0 {
		return nil, err
	}
	for _, d := range p.plan.Destinations {
		if d.Err != nil {
			continue
		}
		index, err := content.FetchAndParse(ctx, manifestReader{p.engine, d.target}, p.plan.Image)
		if err != nil {
			return nil, onSide(SideDestination, d.Reference, err)
		}
		children := make([]digest.Digest, 0, len(index.Manifests))
		for _, child := range index.Manifests {
			children = append(children, child.Digest)
		}
		return children, nil
	}
	return nil, nil
}

// leaveBehind warns of attachments of the source's index.
func (p *planner) leaveBehind(ctx context.Context, index digest.Digest) error {
	listed, tagged, err := p.list(ctx, index)
	if n := len(listed) + len(tagged); err == nil && n > 0 {
		p.warn("%d signatures or referrers of the source's index %s do not fit a selection of its platforms: left behind", n, index)
	}
	return err
}

// attachedTo finds and reads the attachments of several subjects.
func (p *planner) attachedTo(ctx context.Context, subjects []digest.Digest) ([]attachment, error) {
	found := make([][]attachment, len(subjects))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, subject := range subjects {
		group.Go(func() (err error) {
			found[i], err = p.readAttached(reading, subject)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Concat(found...), func(a attachment) bool {
		if a.tree == nil {
			p.warn("%s is on the list of referrers of %s and is not there: left out", a.descriptor.Digest, a.subject)
		}
		return a.tree == nil
	}), nil
}

// readAttached reads the attachments of one subject. One that is listed and not there, as
// after a registry has collected it, has no tree.
func (p *planner) readAttached(ctx context.Context, subject digest.Digest) ([]attachment, error) {
	listed, tagged, err := p.list(ctx, subject)
	if err != nil {
		return nil, err
	}
	if len(listed) > attachmentCount {
		return nil, tooManyAttached()
	}
	var found []attachment
	for _, d := range listed {
		tree, err := p.readTree(ctx, d)
		if err != nil && !errors.Is(err, content.ErrNotFound) {
			return nil, fmt.Errorf("referrer of %s: %w", subject, err)
		}
		found = append(found, attachment{descriptor: d, subject: subject, tree: tree})
	}
	for _, tag := range tagged {
		d, err := p.plan.source.Resolve(ctx, tag)
		if errors.Is(err, content.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		tree, err := p.readTree(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("tag %s: %w", tag, err)
		}
		found = append(found, attachment{descriptor: d, subject: subject, tag: tag, tree: tree})
	}
	return found, nil
}

func (p *planner) readTree(ctx context.Context, d content.Descriptor) (*content.Tree, error) {
	root, err := content.FetchAndParse(ctx, p.manifests, d)
	if err != nil {
		return nil, err
	}
	return content.FetchTree(ctx, p.manifests, root, content.Limits{})
}

// list finds the attachments of a subject at the source: referrers by the API, or by the
// fallback tag where there is none; and cosign's tags. Tags are looked up in the listing
// of the repository, which is read once in a run.
func (p *planner) list(ctx context.Context, subject digest.Digest) (referrers []content.Descriptor, tags []string, err error) {
	api := false
	if lister, ok := p.plan.source.(content.ReferrersLister); ok {
		referrers, err = lister.Referrers(ctx, subject)
		api = err == nil
		if err != nil && !errors.Is(err, content.ErrUnsupported) && !errors.Is(err, content.ErrNotFound) {
			return nil, nil, err
		}
	}
	listed, err := p.engine.attachmentTags(ctx, p.plan.source)
	if err != nil {
		return nil, nil, err
	}
	fallback := content.FallbackTag(subject)
	for _, tag := range listed {
		suffix, ok := strings.CutPrefix(tag, fallback)
		if !ok {
			continue
		}
		if suffix == "" && !api {
			if referrers, err = fallbackList(ctx, p.plan.source, p.manifests, tag); err != nil {
				return nil, nil, err
			}
		}
		for _, known := range attachmentSuffixes {
			if suffix == known {
				tags = append(tags, tag)
			}
		}
	}
	return referrers, tags, nil
}

// fallbackList reads a list of referrers that is kept under a tag. What stands there and is
// no list is none.
func fallbackList(ctx context.Context, at content.Resolver, from content.ManifestFetcher, tag string) ([]content.Descriptor, error) {
	d, err := at.Resolve(ctx, tag)
	if errors.Is(err, content.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := content.FetchAndParse(ctx, from, d)
	if err != nil || m.Descriptor.MediaType != ocispec.MediaTypeImageIndex {
		return nil, err
	}
	return m.Manifests, nil
}

// attachmentTags are the tags of a repository that belong to images, listed once in a run.
// A place that cannot list has none.
func (e *Engine) attachmentTags(ctx context.Context, source content.Source) ([]string, error) {
	lister, ok := source.(content.TagLister)
	if !ok {
		return nil, nil
	}
	at := source.Location()
	e.mu.Lock()
	tags, known := e.tagsSeen[at]
	e.mu.Unlock()
	if known {
		return tags, nil
	}
	tags, _, err := e.signatureTags.do(ctx, &e.running, at, func(ctx context.Context) ([]string, error) {
		tags := []string{}
		for tag, err := range lister.Tags(ctx) {
			if errors.Is(err, content.ErrUnsupported) || errors.Is(err, content.ErrNotFound) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("list tags for signatures: %w", err)
			}
			if content.IsAttachedTag(tag) {
				tags = append(tags, tag)
			}
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.tagsSeen[at] = tags
		return tags, nil
	})
	return tags, err
}
