package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// run plans and executes one job.
func (e *Engine) run(ctx context.Context, job Job) *Result {
	started := time.Now()
	p, err := e.planned(ctx, job, true)
	var result *Result
	if err != nil {
		result = unplanned(normalize(job), err)
	} else {
		result = e.bring(ctx, p)
		e.lookAgain(ctx, p.plan, result, started)
	}
	result.Elapsed = time.Since(started)
	for _, text := range result.Warnings {
		e.emit(Warned{Source: job.Source, Text: text})
	}
	e.emit(JobDone{Result: result})
	return result
}

// unplanned is the result of a job whose source could not be read: it failed everywhere.
func unplanned(job Job, err error) *Result {
	result := &Result{Job: job}
	for _, ref := range job.Destinations {
		result.Destinations = append(result.Destinations, DestinationResult{Reference: ref, Action: ActionNone, Err: err})
	}
	return result
}

// bring executes what is planned, and plans and executes for those destinations that answer
// late when they do.
func (e *Engine) bring(ctx context.Context, p *planner) *Result {
	parts := make([]*Result, len(p.late))
	var waiting sync.WaitGroup
	for i, l := range p.late {
		waiting.Go(func() {
			plan, err := p.planLate(ctx, l)
			if err != nil {
				parts[i] = unplanned(Job{Destinations: []reference.Reference{l.answer.Reference}}, err)
				return
			}
			e.emit(Planned{Plan: plan})
			parts[i] = e.execute(ctx, plan)
		})
	}
	e.emit(Planned{Plan: p.plan})
	result := e.execute(ctx, p.plan)
	waiting.Wait()
	for i, l := range p.late { // in their order, so that each finds its place
		result.Destinations = slices.Insert(result.Destinations, l.at, parts[i].Destinations...)
		for _, text := range parts[i].Warnings {
			if !slices.Contains(result.Warnings, text) {
				result.Warnings = append(result.Warnings, text)
			}
		}
	}
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
		Reference: to.Reference, Action: to.Action, Previous: to.Previous, Reason: to.Reason, Err: to.Err,
	}
	switch {
	case to.Err != nil:
	case d == nil:
		result.Digest = to.Previous
	default:
		result.Err = d.bring(ctx, to.pending())
		result.Referrers = d.attached
		if result.Err == nil {
			result.Digest = plan.Image.Digest
			e.remember(plan, to.Reference)
		}
	}
	return result
}

func (e *Engine) delivery(plan *Plan, to DestinationPlan) *delivery {
	return &delivery{
		engine: e, plan: plan, ref: to.Reference, target: to.target,
		registry: e.registry(to.target, to.Reference), place: placeOf(to.target.Location()),
		wanted: map[blobID]*supply{}, told: map[blobID]bool{}, ended: make(chan struct{}),
	}
}

// bring makes the destination right: the image where it is pending, or else what has been
// attached to it since.
func (d *delivery) bring(ctx context.Context, pending bool) error {
	defer d.end()
	if pending {
		return d.run(ctx)
	}
	if tree := d.plan.tree; tree != nil {
		d.announceKnown(tree, tree.Root)
	}
	return d.attach(ctx, true)
}

// lookAgain warns where the source's tag has moved during a copy that took long enough for
// that: the digest that was planned has been copied.
func (e *Engine) lookAgain(ctx context.Context, plan *Plan, result *Result, started time.Time) {
	tag := plan.Job.Source.Tag
	if tag == "" || plan.Job.Source.Digest != "" || plan.Source.Digest == "" || e.since(started) < e.moveCheck {
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
