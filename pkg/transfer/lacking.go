package transfer

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// attachedName is what an attachment is told by at one place.
type attachedName struct {
	tag    string
	digest digest.Digest
}

// lacking is which attachments a destination lacks.
type lacking struct {
	names     map[attachedName]bool
	kept      []string // tags that are there and differ, and stay
	err       error    // of the destination
	sourceErr error
}

// lackedBy asks one destination. One that lacks the image itself is taken to lack all, until
// its delivery finds otherwise: it is asked only for tags that must not be written over.
func (s *search) lackedBy(ctx context.Context, d DestinationPlan, tagged []*attachment, list *referrerList) lacking {
	l := lacking{names: map[attachedName]bool{}}
	for _, a := range tagged {
		var there content.Descriptor
		if !d.pending() || s.plan.Job.keepsAttached() {
			var err error
			if there, err = s.engine.tagAt(ctx, d.target, a.tag); err != nil {
				l.err = onSide(SideDestination, d.Reference, err)
				return l
			}
		}
		switch {
		case there.Digest == a.descriptor.Digest:
		case there.Digest != "" && s.plan.Job.keepsAttached():
			l.kept = append(l.kept, a.tag)
		default:
			l.names[attachedName{a.tag, a.descriptor.Digest}] = true
		}
	}
	if list == nil {
		return l
	}
	missing, err := s.unlisted(ctx, d, list)
	if side, ok := errors.AsType[*Error](err); ok && side.Side == SideDestination {
		l.err = err
	} else {
		l.sourceErr = err
	}
	for _, entry := range missing {
		l.names[attachedName{"", entry.Digest}] = true
	}
	return l
}

// unlisted are the referrers that a destination lacks or does not list. Errors of the
// destination say so.
func (s *search) unlisted(ctx context.Context, d DestinationPlan, list *referrerList) ([]content.Descriptor, error) {
	if d.pending() {
		err := s.load(ctx, list)
		return list.entries, err
	}
	// What removes referrers leaves empty lists behind, and a selection of types may be empty.
	if digests, known := s.engine.knownBelow(list.descriptor.Digest); known && len(digests) == 0 {
		return nil, nil
	}
	answer, err := s.engine.referrersAt(ctx, d.target, list.subject)
	switch {
	case err != nil:
		return nil, onSide(SideDestination, d.Reference, err)
	case answer.served:
		return s.unlistedByAPI(ctx, answer.listed, list)
	default:
		return s.unlistedByTag(ctx, d, list)
	}
}

// unlistedByAPI compares digests, and reads the source's list only where one is missing or
// they are not remembered.
func (s *search) unlistedByAPI(ctx context.Context, have []content.Descriptor, list *referrerList) ([]content.Descriptor, error) {
	if digests, known := s.engine.knownBelow(list.descriptor.Digest); known {
		if !slices.ContainsFunc(digests, func(d digest.Digest) bool { return !has(have, d) }) {
			return nil, nil
		}
	}
	if err := s.load(ctx, list); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(list.entries), func(e content.Descriptor) bool { return has(have, e.Digest) }), nil
}

// unlistedByTag compares the lists under the tag. Nothing is read where the destination has
// the source's, or the one that this was merged into before.
func (s *search) unlistedByTag(ctx context.Context, d DestinationPlan, list *referrerList) ([]content.Descriptor, error) {
	there, err := s.engine.tagAt(ctx, d.target, content.FallbackTag(list.subject))
	if err != nil {
		return nil, onSide(SideDestination, d.Reference, err)
	}
	merged, _ := s.engine.selectionOf(list.descriptor.Digest, mergedKey(d.target.Location()))
	if there.Digest != "" && (there.Digest == list.descriptor.Digest || there.Digest == merged.Digest) {
		return nil, nil
	}
	if err := s.load(ctx, list); err != nil {
		return nil, err
	}
	have, err := readList(ctx, manifestReader{s.engine, d.target}, there)
	var missing []content.Descriptor
	for _, entry := range list.entries {
		if err != nil {
			break
		}
		here := has(have, entry.Digest)
		if here {
			here, err = s.engine.isThere(ctx, d.target, entry.Digest)
		}
		if !here {
			missing = append(missing, entry)
		}
	}
	if err == nil && len(missing) == 0 && there.Digest != "" {
		s.engine.keepSelection(list.descriptor.Digest, mergedKey(d.target.Location()), there, nil)
	}
	return missing, onSide(SideDestination, d.Reference, err)
}

// isThere reports whether a place has a manifest.
func (e *Engine) isThere(ctx context.Context, at content.Resolver, d digest.Digest) (bool, error) {
	_, err := at.Resolve(ctx, d.String())
	if errors.Is(err, content.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
