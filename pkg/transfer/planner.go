package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/internal/manifests"
	"github.com/regsync/regsync/pkg/transfer/internal/referrers"
)

// planner plans a job for some of its destinations. Its error is one of the source: what is
// wrong with a destination is said in that destination's plan.
type planner struct {
	engine *Engine
	image  *image
	plan   *Plan
	// manifests reads the source's manifests, each once in a run.
	manifests manifests.Reader
}

// run plans.
func (p *planner) run(ctx context.Context) error {
	if p.image.sourceErr != nil {
		return p.image.sourceErr
	}
	if p.recall() {
		return nil
	}
	asked := len(p.plan.Destinations)
	reachable := func(d DestinationPlan) bool { return d.Err == nil }
	err := p.resolve(ctx)
	if err == nil && (asked == 0 || slices.ContainsFunc(p.plan.Destinations, reachable)) {
		err = p.choose(ctx)
	}
	return onSide(SideSource, p.plan.Job.Source, err)
}

// resolve looks at the source and at every destination, at the same time. Without a source
// the destinations are not waited for. If a listing tells that the destination lacks the tag, the
// source's manifest is read by its tag, which is one request instead of two.
func (p *planner) resolve(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	looked := slices.Clone(p.plan.Destinations)
	listed := len(looked) == 1 && p.engine.listsFirst(p.plan.Job, p.plan.source, &looked[0])
	var looking sync.WaitGroup
	for i := range looked {
		looking.Go(func() { p.engine.look(ctx, p.plan.Job, p.plan.source, &looked[i]) })
	}
	read := false
	if listed {
		looking.Wait()
		read = looked[0].Err == nil && looked[0].Previous == ""
	}
	p.plan.Source, err = p.image.resolve(ctx, "", read)
	if err != nil {
		cancel()
		p.engine.running.Go(looking.Wait)
		return err
	}
	looking.Wait()
	cancel()
	p.plan.Destinations = looked
	return nil
}

// look finds what is at a destination. Only the answer "not there" means that: every other
// error is one.
func (e *Engine) look(ctx context.Context, job Job, source content.Source, p *DestinationPlan) {
	if written(p.Reference) == "" || p.Err != nil || p.remembered() {
		return
	}
	there, err := e.resolveAt(ctx, job, source, p)
	switch {
	case err == nil:
		p.Previous, p.there = there.Digest, there
	case !errors.Is(err, content.ErrNotFound):
		p.Action, p.Err = ActionNone, onSide(SideDestination, p.Reference, deferral(ctx, err))
	}
}

func (p *planner) warn(format string, args ...any) {
	p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf(format, args...))
}

// choose decides what the destinations get, and reads it where one of them lacks it. The
// source's digest may be gone by then, because the tag has moved: it is resolved once more.
func (p *planner) choose(ctx context.Context) error {
	before := *p.plan
	before.Destinations = slices.Clone(before.Destinations)
	before.Warnings = slices.Clone(before.Warnings)
	err := p.decide(ctx)
	if !errors.Is(err, content.ErrNotFound) && (err != nil || !p.missesReferrer()) || p.plan.Job.Source.Digest != "" {
		return err
	}
	planned := p.plan.Source.Digest
	moved, resolveErr := p.image.resolve(ctx, planned, false)
	if resolveErr != nil || moved.Digest == planned {
		return err
	}
	*p.plan = before // nothing of what was found out about the old digest is true of the new
	p.plan.Source = moved
	if err = p.decide(ctx); errors.Is(err, content.ErrNotFound) {
		return fmt.Errorf("the tag moves while it is read (%s, then %s): %w", planned, moved.Digest, err)
	}
	if err == nil {
		p.warn("the tag moved from %s to %s while it was read", planned, moved.Digest)
	}
	return err
}

func (p *planner) decide(ctx context.Context) error {
	root, err := p.selected(ctx)
	if err != nil {
		return err
	}
	p.compare()
	if err := p.guard(ctx, root); err != nil {
		return err
	}
	// What is on this machine is read in any case: that costs nothing, and lets an unchanged
	// image be told layer by layer, as Docker does.
	if slices.ContainsFunc(p.plan.Destinations, DestinationPlan.pending) || rereadable(p.plan.source) {
		if root == nil {
			if root, err = content.FetchAndParse(ctx, p.manifests, p.plan.Image); err != nil {
				return err
			}
		}
		if p.plan.tree, err = content.FetchTree(ctx, p.manifests, root, content.Limits{}); err != nil {
			return err
		}
		p.engine.keepTree(p.plan.tree)
	}
	p.limitSize()
	if p.plan.Job.Referrers {
		if err := p.findReferrers(ctx); err != nil {
			return err
		}
	}
	p.count()
	return nil
}

// compare decides what is to be done at each destination.
func (p *planner) compare() {
	from := p.plan.source.Location()
	for i := range p.plan.Destinations {
		d := &p.plan.Destinations[i]
		if d.Err != nil || d.remembered() {
			continue
		}
		image := p.plan.Image.Digest
		switch {
		case d.Reference.Digest != "" && d.Reference.Digest != image:
			d.Action = ActionNone
			d.Err = onSide(SideDestination, d.Reference, fmt.Errorf(
				"the destination names another digest than that of the image, %s: %w", image, content.ErrInvalid))
		case d.Previous == image:
			d.Action = ActionUnchanged
			if d.target.Location() == from && written(d.Reference) == p.plan.Job.Source.Identifier() {
				p.warn("%s is the source itself: nothing to do", d.Reference.Familiar())
			}
		case d.Previous == "":
			d.Action = ActionAdd
		default:
			d.Action = ActionMove
		}
	}
}

// count says which blobs the destinations may need that lack the image: all the same.
func (p *planner) count() {
	var blobs []content.Descriptor
	for i := range p.plan.Destinations {
		if d := &p.plan.Destinations[i]; d.pending() {
			if blobs == nil {
				blobs = p.blobs(d.found)
			}
			d.Blobs = blobs
		}
	}
}

// blobs are those of the image and of what goes along, each once.
func (p *planner) blobs(found *referrers.Found) []content.Descriptor {
	var blobs []content.Descriptor
	seen := map[digest.Digest]bool{}
	add := func(tree *content.Tree) {
		for blob := range tree.Blobs() {
			if !seen[blob.Digest] && (!content.IsForeign(blob) || p.plan.Job.ForeignLayers) {
				seen[blob.Digest] = true
				blobs = append(blobs, blob)
			}
		}
	}
	add(p.plan.tree)
	if found != nil {
		for _, r := range found.Missing {
			add(r.Tree)
		}
	}
	return blobs
}
