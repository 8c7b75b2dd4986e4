package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
)

// round looks for the attachments of subjects, and returns those as the next subjects.
func (s *search) round(ctx context.Context, subjects []subject) ([]subject, error) {
	findings := make([]*finding, len(subjects))
	group, searching := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, of := range subjects {
		group.Go(func() (err error) {
			findings[i], err = s.find(searching, of)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var next []subject
	for _, f := range findings {
		if s.found += len(f.attachments); s.found > attachmentCount {
			return nil, tooManyAttached()
		}
		s.take(f)
	}
	for _, f := range findings {
		attached, err := s.attachedDigests(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, d := range attached {
			if !s.seen[d] {
				s.seen[d] = true
				next = append(next, subject{d, s.copying || f.lacked[d]})
			}
		}
	}
	return next, nil
}

// take puts what was found into the plan.
func (s *search) take(f *finding) {
	if f.invalid != nil {
		s.warn("referrers of the source: %v", f.invalid)
	}
	for _, a := range f.attachments {
		s.plan.Referrers = append(s.plan.Referrers, a.descriptor)
		if f.lacked[a.descriptor.Digest] && a.tree == nil {
			s.warn("%s is on the list of referrers of %s and is not there: left out", a.descriptor.Digest, a.subject)
		}
	}
	for i := range s.plan.Destinations {
		d := &s.plan.Destinations[i]
		if err := f.errs[i]; err != nil && d.Err == nil {
			d.Action, d.Err = ActionNone, err
		}
		for _, tag := range f.kept[i] {
			s.warn("%s", s.plan.Job.keptBy(d.Reference.WithoutIdentifier().WithTag(tag)))
		}
		for _, a := range f.lacks[i] {
			if a.tree != nil {
				d.attached = append(d.attached, a)
				d.Referrers++
			}
		}
	}
}

// attachedDigests are those of a finding's attachments, which others may be attached to.
func (s *search) attachedDigests(ctx context.Context, f *finding) ([]digest.Digest, error) {
	var digests []digest.Digest
	for _, a := range f.attachments {
		digests = append(digests, a.descriptor.Digest)
	}
	if f.list == nil || f.list.loaded || !s.unexplained() {
		return digests, nil
	}
	listed, err := s.below(ctx, f.list.descriptor)
	if err != nil { // it is one of some types only, and nowhere as it is
		err = s.load(ctx, f.list)
		listed = digestsOf(f.list.entries)
	}
	return append(digests, listed...), err
}

// readTrees reads the attachments that a destination lacks. One that is listed and not
// there, as after a registry has collected it, has no tree.
func (s *search) readTrees(ctx context.Context, f *finding) error {
	for _, a := range f.attachments {
		if !f.lacked[a.descriptor.Digest] {
			continue
		}
		tree, err := s.readTree(ctx, a.descriptor)
		switch {
		case err == nil:
			a.tree = tree
		case a.tag != "":
			return fmt.Errorf("tag %s: %w", a.tag, err)
		case !errors.Is(err, content.ErrNotFound):
			return fmt.Errorf("referrer of %s: %w", a.subject, err)
		}
	}
	return nil
}

func (p *planner) readTree(ctx context.Context, d content.Descriptor) (*content.Tree, error) {
	root, err := content.FetchAndParse(ctx, p.manifests, d)
	if err != nil {
		return nil, err
	}
	tree, err := content.FetchTree(ctx, p.manifests, root, content.Limits{})
	if err == nil {
		p.engine.keepTree(tree)
	}
	return tree, err
}
