package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// run plans and executes one job, which has a slot of the window and gives it back.
func (e *Engine) run(ctx context.Context, job Job, w *window) *Result {
	started := time.Now()
	planning, _, stop := e.untilDraining(ctx)
	defer stop()
	var p *planner
	err := context.Cause(planning)
	if err == nil {
		p, err = e.planned(planning, job, true)
	}
	var result *Result
	if err != nil {
		w.release()
		job = normalize(job)
		result = unplanned(job, job.Destinations, deferral(planning, err))
	} else {
		result = e.bring(ctx, planning, p, w)
		e.lookAgain(ctx, p.plan, result, started)
	}
	result.Elapsed = time.Since(started)
	for _, text := range result.Warnings {
		e.emit(Warned{Source: job.Source, Text: text})
	}
	e.emit(JobDone{Result: result})
	return result
}

// unplanned is the result at destinations of a job whose source could not be read.
func unplanned(job Job, destinations []reference.Reference, err error) *Result {
	result := &Result{Job: job}
	for _, ref := range destinations {
		result.Destinations = append(result.Destinations, DestinationResult{
			Reference: ref, Action: ActionNone, Reason: deferredFor(err), Err: err,
		})
	}
	return result
}

// bring executes what is planned, and plans and executes for those destinations that answer
// late when they do. While it merely waits for those that are silent, it has no slot.
func (e *Engine) bring(ctx, planning context.Context, p *planner, w *window) *Result {
	open := slices.Clone(p.late.open)
	var parts []*late
	var waiting sync.WaitGroup
	waiting.Go(func() { parts = e.bringLate(ctx, planning, p, w) })
	result := &Result{Job: p.plan.Job, Warnings: p.plan.Warnings}
	if len(open) == 0 || len(p.plan.Destinations) > 0 {
		e.emit(Planned{Plan: p.plan})
		result = e.execute(ctx, p.plan)
	}
	p.late.hold(open)
	w.release()
	waiting.Wait()
	result.include(parts)
	return result
}

// execute brings a planned image to its destinations, side by side.
func (e *Engine) execute(ctx context.Context, plan *Plan) *Result {
	result := &Result{
		Job:          plan.Job,
		Digest:       plan.Image.Digest,
		Destinations: make([]DestinationResult, len(plan.Destinations)),
		Warnings:     plan.Warnings,
	}
	deliveries := make([]*delivery, len(plan.Destinations))
	for i, to := range plan.Destinations {
		if to.served() {
			deliveries[i] = e.delivery(plan, to)
		}
		if to.pending() {
			deliveries[i].want()
		}
	}
	var delivering sync.WaitGroup
	for i, to := range plan.Destinations {
		delivering.Go(func() {
			result.Destinations[i] = e.deliver(ctx, plan, to, deliveries[i])
			e.emit(DestinationDone{Job: plan.Job, Result: result.Destinations[i]})
		})
	}
	delivering.Wait()
	return result
}

// deliver makes one destination right; a nil delivery leaves it as it is.
func (e *Engine) deliver(ctx context.Context, plan *Plan, to DestinationPlan, d *delivery) DestinationResult {
	result := DestinationResult{
		Reference: to.Reference, Action: to.Action, Previous: to.Previous, Reason: to.Reason, Rule: to.Rule,
		Remembered: to.Remembered, Err: to.Err,
	}
	switch {
	case to.Err != nil:
	case d == nil:
		result.Digest = to.Previous
	default:
		result.Err = deferral(ctx, d.bring(ctx))
		result.Referrers = d.attached
		if result.Err == nil {
			result.Digest = plan.Image.Digest
			e.remember(plan, to.Reference)
			e.brought(to.target)
		}
	}
	result.Reason = cmp.Or(deferredFor(result.Err), result.Reason)
	return result
}

func (e *Engine) delivery(plan *Plan, to DestinationPlan) *delivery {
	return &delivery{
		engine: e, plan: plan, ref: to.Reference, target: to.target,
		registry: e.registry(to.target, to.Reference), place: placeOf(to.target.Location()),
		pending: to.pending(), attachments: to.attached,
		wanted: map[blobID]*supply{}, told: map[blobID]bool{}, ended: make(chan struct{}),
	}
}

// bring makes the destination right: the image where it is pending, or else what has been
// attached to it since.
func (d *delivery) bring(ctx context.Context) error {
	defer d.end()
	if d.pending {
		return d.run(ctx)
	}
	if tree := d.plan.tree; tree != nil {
		d.announceKnown(tree, tree.Root)
	}
	return d.attach(ctx)
}

// lookAgain warns where the source's tag has moved during a copy that took long enough for
// that, or that missed something of the source: the digest that was planned has been copied.
func (e *Engine) lookAgain(ctx context.Context, plan *Plan, result *Result, started time.Time) {
	tag := plan.Job.Source.Tag
	if tag == "" || plan.Job.Source.Digest != "" || plan.Source.Digest == "" ||
		e.since(started) < e.moveCheck && !result.missed() {
		return
	}
	now, err := plan.source.Resolve(ctx, tag)
	switch {
	case errors.Is(err, content.ErrNotFound):
		result.Warnings = append(result.Warnings, fmt.Sprintf("the tag was deleted at the source while %s was copied", plan.Source.Digest))
	case err == nil && now.Digest != plan.Source.Digest:
		result.Warnings = append(result.Warnings, fmt.Sprintf("the tag moved to %s while %s was copied", now.Digest, plan.Source.Digest))
	}
}

// missed reports whether something of the source was not there.
func (r *Result) missed() bool {
	return slices.ContainsFunc(r.Destinations, func(d DestinationResult) bool {
		side, ours := errors.AsType[*Error](d.Err)
		return ours && side.Side == SideSource && errors.Is(d.Err, content.ErrNotFound)
	})
}
