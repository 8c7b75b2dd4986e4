package transfer

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// attachment is a manifest that belongs to an image without being below it: a referrer,
// or what cosign's older scheme ties to it by a tag.
type attachment struct {
	descriptor content.Descriptor // of a referrer: as the list has it
	subject    digest.Digest
	tag        string        // "sha256-<hex>.sig"; empty for a referrer
	list       *referrerList // that a referrer is on
	tree       *content.Tree // nil unless a destination lacks it
}

// attachmentSuffixes are those of cosign's tags for signatures, attestations and SBOMs
// (cosign, "Signature Specification", "Storage").
var attachmentSuffixes = [...]string{".sig", ".att", ".sbom"}

// attachmentDepth bounds chains such as the signature of the SBOM of an image.
const attachmentDepth = 4

// attachmentCount bounds the attachments of one image.
const attachmentCount = 1000

func tooManyAttached() error {
	return fmt.Errorf("%w: more than %d signatures and referrers of one image", content.ErrInvalid, attachmentCount)
}

// subject is a manifest that others may be attached to.
type subject struct {
	digest digest.Digest
	ask    bool // the referrers API, where the source serves it
}

// search finds what is attached to an image, and which of it each destination lacks.
type search struct {
	*planner
	tags    attachedTags // at the source
	copying bool         // the image goes to a destination, or costs nothing to ask about
	seen    map[digest.Digest]bool
	found   int
}

// findAttachments decides what of that which is attached to the image and its children goes
// to which destination. An unchanged image costs the listing of the source's tags, once a
// repository; one HEAD a side for each tag that is named after it; and where the source
// serves the referrers API, one request, for the image itself but not for its children.
func (p *planner) findAttachments(ctx context.Context) error {
	if !slices.ContainsFunc(p.plan.Destinations, p.attaches) {
		return nil
	}
	tags, err := p.engine.attachedTags(ctx, p.plan.source)
	if err != nil {
		return err
	}
	s := &search{planner: p, tags: tags, seen: map[digest.Digest]bool{}}
	s.copying = slices.ContainsFunc(p.plan.Destinations, DestinationPlan.pending) || rereadable(p.plan.source)
	if p.derived() {
		if err := s.leaveBehind(ctx, p.plan.Source.Digest); err != nil {
			return err
		}
	}
	round, err := s.subjects(ctx)
	for depth := 0; err == nil && len(round) > 0 && depth < attachmentDepth; depth++ {
		round, err = s.round(ctx, round)
	}
	return err
}

// attaches reports whether a destination gets what is attached to the image.
func (p *planner) attaches(d DestinationPlan) bool {
	return d.served() && (d.pending() || !p.plan.Job.ReferrersOnCopy)
}

// subjects are the manifests whose attachments go along. A rewritten index is none: nobody
// has signed it. The children of an unchanged image matter only where the source has tags
// that may be named after them.
func (s *search) subjects(ctx context.Context) ([]subject, error) {
	image := s.plan.Image
	rewritten := s.derived() && len(s.plan.Job.Platforms) > 1
	var round []subject
	add := func(d digest.Digest, ask bool) {
		if !s.seen[d] {
			s.seen[d] = true
			round = append(round, subject{d, ask})
		}
	}
	if !rewritten {
		add(image.Digest, true)
	}
	if tree := s.plan.tree; tree != nil {
		s.seen[image.Digest] = true
		for m := range tree.Manifests() {
			add(m.Descriptor.Digest, s.copying)
		}
		return round, nil
	}
	if !content.IsIndex(image.MediaType) || !s.unexplained() {
		return round, nil
	}
	children, err := s.below(ctx, image)
	for _, child := range children {
		add(child, false)
	}
	return round, err
}

// unexplained reports whether the source has tags named after something that was not seen
// in this search.
func (s *search) unexplained() bool {
	for d := range s.tags {
		if !s.seen[d] {
			return true
		}
	}
	return false
}

// leaveBehind warns of attachments of the source's index, which do not fit a selection of
// its platforms. The referrers API is not asked for them where the image is unchanged.
func (s *search) leaveBehind(ctx context.Context, index digest.Digest) error {
	left := slices.ContainsFunc(s.tags[index], s.wanted)
	if !left && s.copying {
		answer, err := s.engine.referrersAt(ctx, s.plan.source, index)
		if err != nil {
			return err
		}
		left = len(s.plan.Job.takenTypes(answer.listed)) > 0
	}
	if left {
		s.warn("signatures or referrers of the source's index %s do not fit a selection of its platforms: left behind", index)
	}
	return nil
}

// wanted reports whether tags of a suffix go along.
func (s *search) wanted(suffix string) bool {
	return suffix == "" || slices.Contains(attachmentSuffixes[:], suffix) && s.plan.Job.takesType(typeOfSuffix(suffix))
}
