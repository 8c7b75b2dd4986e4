package transfer

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/regsync/regsync/pkg/reference"
)

// late is what became of destinations that answered late.
type late struct {
	looks  []*look
	result *Result
}

// bringLate plans and executes for the destinations that answer late, as they do: those
// whose answers come together, together.
func (e *Engine) bringLate(ctx, planning context.Context, p *planner, w *window) (parts []*late) {
	var bringing sync.WaitGroup
	for answered := p.late.next(); answered != nil; answered = p.late.next() {
		part := &late{looks: answered}
		parts = append(parts, part)
		bringing.Go(func() { part.result = e.bringAnswered(ctx, planning, p, answered, w) })
	}
	bringing.Wait()
	return parts
}

// bringAnswered plans and executes for destinations that have answered late.
func (e *Engine) bringAnswered(ctx, planning context.Context, p *planner, answered []*look, w *window) *Result {
	err := w.acquire(planning)
	var plan *Plan
	if err == nil {
		defer w.release()
		plan, err = p.planLate(planning, answered)
	}
	if err != nil {
		var refs []reference.Reference
		for _, l := range answered {
			refs = append(refs, l.answer.Reference)
		}
		return unplanned(p.plan.Job, refs, deferral(planning, err))
	}
	e.emit(Planned{Plan: plan})
	return e.execute(ctx, plan)
}

// planLate plans for destinations that have answered late.
func (p *planner) planLate(ctx context.Context, answered []*look) (*Plan, error) {
	q := &planner{
		engine: p.engine,
		plan: &Plan{
			Job: p.plan.Job, Source: p.plan.Source, source: p.plan.source,
			Destinations: plansOf(answered),
		},
		manifests: p.manifests,
	}
	if !slices.ContainsFunc(q.plan.Destinations, func(d DestinationPlan) bool { return d.Err == nil }) {
		return q.plan, nil // nobody wants the image
	}
	if err := q.image(ctx); err != nil {
		return nil, onSide(SideSource, p.plan.Job.Source, err)
	}
	return q.plan, nil
}

// include puts the results of destinations that answered late where they belong.
func (r *Result) include(parts []*late) {
	type placed struct {
		at     int
		result DestinationResult
	}
	var all []placed
	for _, part := range parts {
		r.Digest = cmp.Or(r.Digest, part.result.Digest)
		for i, l := range part.looks {
			all = append(all, placed{l.at, part.result.Destinations[i]})
		}
		for _, text := range part.result.Warnings {
			if !slices.Contains(r.Warnings, text) {
				r.Warnings = append(r.Warnings, text)
			}
		}
	}
	slices.SortFunc(all, func(a, b placed) int { return cmp.Compare(a.at, b.at) })
	for _, d := range all { // in their order, so that each finds its place
		r.Destinations = slices.Insert(r.Destinations, d.at, d.result)
	}
}
