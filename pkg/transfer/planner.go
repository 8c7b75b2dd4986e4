package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// planner plans one job. Its error is one of the source: what is wrong with a destination
// is said in that destination's plan.
type planner struct {
	engine *Engine
	plan   *Plan
	// manifests reads the source's manifests, each once in a run.
	manifests manifestReader
	// late are the destinations that have not answered yet; they are not in the plan.
	late *looks
	// stopLooking ends the questions that are under way.
	stopLooking context.CancelFunc
}

// planned is a planner that has planned a job. An impatient one does not wait much longer
// for slow destinations than for the others, and has those left in late.
func (e *Engine) planned(ctx context.Context, job Job, impatient bool) (*planner, error) {
	job = normalize(job)
	source, err := e.opener.OpenSource(ctx, job.Source)
	if err != nil {
		return nil, onSide(SideSource, job.Source, err)
	}
	p := &planner{
		engine:    e,
		plan:      &Plan{Job: job, source: source},
		manifests: manifestReader{e, source},
		late:      &looks{engine: e},
	}
	p.openTargets(ctx)
	if p.recall() {
		return p, nil
	}
	asked := len(p.plan.Destinations)
	err = p.resolve(ctx, impatient)
	if err == nil && (asked == 0 || len(p.plan.Destinations) > 0) {
		err = p.image(ctx)
	}
	if err != nil {
		p.stopLooking()
		return nil, onSide(SideSource, job.Source, err)
	}
	return p, nil
}

func (p *planner) warn(format string, args ...any) {
	p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf(format, args...))
}

// openTargets opens the job's destinations, each distinct one once.
func (p *planner) openTargets(ctx context.Context) {
	type named struct {
		place place
		name  string
	}
	opened := map[named]reference.Reference{}
	for _, ref := range p.plan.Job.Destinations {
		target, err := p.engine.opener.OpenTarget(ctx, ref)
		if err != nil {
			p.plan.Destinations = append(p.plan.Destinations,
				DestinationPlan{Reference: ref, Action: ActionNone, Err: onSide(SideDestination, ref, err)})
			continue
		}
		key := named{placeOf(target.Location()), written(ref)}
		if first, twice := opened[key]; twice {
			p.warn("%s is the same destination as %s: done once", ref.Familiar(), first.Familiar())
			continue
		}
		opened[key] = ref
		p.plan.Destinations = append(p.plan.Destinations, DestinationPlan{Reference: ref, target: target})
	}
}

// written is what a destination's reference moves: its tag, and where it has none, the
// digest. (A source with both is read by digest.)
func written(ref reference.Reference) string { return cmp.Or(ref.Tag, ref.Digest.String()) }

// image decides what the destinations get, and reads it where one of them lacks it. The
// source's digest may be gone by then, because the tag has moved: it is resolved once more.
func (p *planner) image(ctx context.Context) error {
	before := *p.plan
	before.Destinations = slices.Clone(before.Destinations)
	before.Warnings = slices.Clone(before.Warnings)
	err := p.choose(ctx)
	if !errors.Is(err, content.ErrNotFound) || p.plan.Job.Source.Digest != "" {
		return err
	}
	planned := p.plan.Source.Digest
	moved, resolveErr := p.plan.source.Resolve(ctx, p.plan.Job.Source.Identifier())
	if resolveErr != nil || moved.Digest == planned {
		return err
	}
	*p.plan = before // nothing of what was found out about the old digest is true of the new
	p.plan.Source = moved
	if err = p.choose(ctx); errors.Is(err, content.ErrNotFound) {
		return fmt.Errorf("the tag moves while it is read (%s, then %s): %w", planned, moved.Digest, err)
	}
	if err == nil {
		p.warn("the tag moved from %s to %s while it was read", planned, moved.Digest)
	}
	return err
}

func (p *planner) choose(ctx context.Context) error {
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
		if err := p.findAttachments(ctx); err != nil {
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
		if d.Err != nil || d.Remembered {
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
			if placeOf(d.target.Location()) == placeOf(from) && written(d.Reference) == p.plan.Job.Source.Identifier() {
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
				blobs = p.blobs(d.attached)
			}
			d.Blobs = blobs
		}
	}
}

// blobs are those of the image and of what goes along, each once.
func (p *planner) blobs(attached []*attachment) []content.Descriptor {
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
	for _, a := range attached {
		add(a.tree)
	}
	return blobs
}
