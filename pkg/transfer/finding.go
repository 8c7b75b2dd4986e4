package transfer

import (
	"context"
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
	list        *referrerList              // nil if there are no referrers
	invalid     *content.InvalidNamesError // on the list; nil if all entries are valid
	// lacks, kept and errs have one element for each of the plan's destinations. kept are the
	// tags of its own that stay.
	lacks  [][]*attachment
	kept   [][]string
	errs   []error
	lacked map[digest.Digest]bool // by any destination
}

// find finds what is attached to a subject at the source, asks the destinations for it,
// and reads what one of them lacks.
func (s *search) find(ctx context.Context, of subject) (*finding, error) {
	f := &finding{
		lacks: make([][]*attachment, len(s.plan.Destinations)), kept: make([][]string, len(s.plan.Destinations)),
		errs: make([]error, len(s.plan.Destinations)), lacked: map[digest.Digest]bool{},
	}
	if err := s.findTags(ctx, of, f); err != nil {
		return nil, err
	}
	var err error
	if f.list, err = s.findList(ctx, of, f); err != nil {
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
func (s *search) findList(ctx context.Context, of subject, f *finding) (*referrerList, error) {
	if of.ask {
		answer, err := s.engine.referrersAt(ctx, s.plan.source, of.digest)
		if err != nil {
			return nil, err
		}
		f.invalid = answer.invalid
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
	answers := make([]lacking, len(s.plan.Destinations))
	var asking sync.WaitGroup
	for i, d := range s.plan.Destinations {
		if s.attaches(d) {
			asking.Go(func() { answers[i] = s.lackedBy(ctx, d, tagged, f.list) })
		}
	}
	asking.Wait()
	for _, l := range answers {
		if l.sourceErr != nil {
			return l.sourceErr
		}
	}
	if f.list != nil && f.list.loaded {
		f.addEntries()
	}
	for i, l := range answers {
		f.kept[i], f.errs[i] = l.kept, deferral(ctx, l.err)
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
