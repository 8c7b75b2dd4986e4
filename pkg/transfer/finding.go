package transfer

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// finding is what is attached to one subject.
type finding struct {
	// attachments are those that were looked at: all but the referrers on a list which
	// every destination has as it is.
	attachments []*attachment
	list        *referrerList // nil if there are no referrers
	// lacks and errs have one element for each of the plan's destinations.
	lacks  [][]*attachment
	errs   []error
	lacked map[digest.Digest]bool // by any destination
}

// find finds what is attached to a subject at the source, asks the destinations for it,
// and reads what one of them lacks.
func (s *search) find(ctx context.Context, of subject) (*finding, error) {
	f := &finding{
		lacks: make([][]*attachment, len(s.plan.Destinations)), errs: make([]error, len(s.plan.Destinations)),
		lacked: map[digest.Digest]bool{},
	}
	if err := s.findTags(ctx, of, f); err != nil {
		return nil, err
	}
	var err error
	if f.list, err = s.findList(ctx, of); err != nil {
		return nil, err
	}
	if err := s.ask(ctx, f); err != nil {
		return nil, err
	}
	return f, s.readTrees(ctx, f)
}

// findTags finds cosign's tags for a subject.
func (s *search) findTags(ctx context.Context, of subject, f *finding) error {
	look := s.engine.tagAt
	if s.copying { // to a destination that is taken to lack them
		look = s.engine.wantedTagAt
	}
	for _, suffix := range s.tags[of.digest] {
		if suffix == "" || !s.wanted(suffix) {
			continue
		}
		tag := content.FallbackTag(of.digest) + suffix
		d, err := look(ctx, s.plan.source, tag)
		if err != nil {
			return err
		}
		if d.Digest != "" { // else it was deleted since the listing
			f.attachments = append(f.attachments, &attachment{descriptor: d, subject: of.digest, tag: tag})
		}
	}
	return nil
}

// findList finds the list of referrers of a subject: by the API, or else under a tag.
func (s *search) findList(ctx context.Context, of subject) (*referrerList, error) {
	if of.ask {
		answer, err := s.engine.referrersAt(ctx, s.plan.source, of.digest)
		if err != nil {
			return nil, err
		}
		entries := s.plan.Job.takenTypes(answer.listed)
		switch {
		case answer.served && len(entries) == 0:
			return nil, nil
		case answer.served:
			return newReferrerList(of.digest, entries)
		}
	}
	if !slices.Contains(s.tags[of.digest], "") {
		return nil, nil
	}
	return s.listed(ctx, of.digest)
}

// ask asks the destinations, side by side, which attachments they lack. What goes wrong at
// a destination is an error of that one alone.
func (s *search) ask(ctx context.Context, f *finding) error {
	tagged := slices.Clone(f.attachments)
	lacking := make([]lacking, len(s.plan.Destinations))
	var asking sync.WaitGroup
	for i, d := range s.plan.Destinations {
		if s.attaches(d) {
			asking.Go(func() { lacking[i] = s.lackedBy(ctx, d, tagged, f.list) })
		}
	}
	asking.Wait()
	for _, l := range lacking {
		if l.sourceErr != nil {
			return l.sourceErr
		}
	}
	if f.list != nil && f.list.loaded {
		f.addEntries()
	}
	for i, l := range lacking {
		f.errs[i] = deferral(ctx, l.err)
		for _, a := range f.attachments {
			if l.names[attachedName{a.tag, a.descriptor.Digest}] {
				f.lacks[i] = append(f.lacks[i], a)
				f.lacked[a.descriptor.Digest] = true
			}
		}
	}
	return nil
}

func (f *finding) addEntries() {
	for _, d := range f.list.entries {
		f.attachments = append(f.attachments, &attachment{descriptor: d, subject: f.list.subject, list: f.list})
	}
}

// attachedName is what an attachment is told by at one place.
type attachedName struct {
	tag    string
	digest digest.Digest
}

// lacking is which attachments a destination lacks.
type lacking struct {
	names     map[attachedName]bool
	err       error // of the destination
	sourceErr error
}

// lackedBy asks one destination. One that lacks the image itself is not asked: it is taken
// to lack all, until its delivery finds otherwise.
func (s *search) lackedBy(ctx context.Context, d DestinationPlan, tagged []*attachment, list *referrerList) lacking {
	l := lacking{names: map[attachedName]bool{}}
	for _, a := range tagged {
		var there content.Descriptor
		if !d.pending() {
			var err error
			if there, err = s.engine.tagAt(ctx, d.target, a.tag); err != nil {
				l.err = onSide(SideDestination, d.Reference, err)
				return l
			}
		}
		if there.Digest != a.descriptor.Digest {
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
	if err == nil && len(missing) == 0 {
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
