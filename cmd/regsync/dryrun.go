package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/regsync/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// planner is an engine for --dry-run, which leaves no trace.
func (a *app) planner(o engineOptions) (*transfer.Engine, error) {
	opener, err := a.opener()
	if err != nil {
		return nil, err
	}
	memory := a.memory(true)
	return transfer.New(lookingOnly{opener}, transfer.Options{
		Observe: o.observe, Limiter: a.limiter, AttachedTags: o.attachedTags, Recheck: o.recheck,
		Selections: memory, Children: memory, Copies: memory, Abilities: abilities{a},
	}), nil
}

// planned gathers plans, and what cannot be done, until ctx ends.
func planned(ctx context.Context, plans iter.Seq2[*transfer.Plan, error], options ui.PlanOptions) (*ui.Plan, *failures) {
	options.Hints = hintFor
	plan, failed := ui.NewPlan(options), &failures{}
	for p, err := range plans {
		plan.Add(p, err)
		if err != nil {
			failed.add(ofJob(p, err))
			continue
		}
		unknown := slices.IndexFunc(p.Warnings, func(w warning.Warning) bool { return w.Kind == warning.ReferrersFailed })
		for _, d := range p.Destinations {
			if d.Err == nil && unknown >= 0 {
				d.Err = p.Warnings[unknown].Err
			}
			failed.add(ofEntry(p.Job.Entry, p.Job.Source, d.Reference, d.Err))
		}
	}
	plan.Partial = ctx.Err() != nil
	return plan, failed
}

// ofJob says which copies an error is of that leaves nothing to plan. p may be nil.
func ofJob(p *transfer.Plan, err error) error {
	if p == nil {
		return err
	}
	var to reference.Reference
	if len(p.Job.Destinations) == 1 {
		to = p.Job.Destinations[0]
	}
	return ofEntry(p.Job.Entry, p.Job.Source, to, err)
}

// lookingOnly opens places without making any: a layout that is not there yet is an empty
// one in memory.
type lookingOnly struct{ *backend.Opener }

var _ transfer.Opener = lookingOnly{}

// OpenTarget implements [transfer.Opener].
func (o lookingOnly) OpenTarget(ctx context.Context, ref reference.Reference) (content.Target, error) {
	if ref.Transport != reference.Layout {
		return o.Opener.OpenTarget(ctx, ref)
	}
	source, err := o.OpenSource(ctx, ref)
	if errors.Is(err, content.ErrNotFound) {
		return content.NewMemory(ref.Name()).Repository(""), nil
	}
	if err != nil {
		return nil, err
	}
	target, ok := source.(content.Target)
	if !ok {
		return nil, fmt.Errorf("open %s: %w", ref.Familiar(), content.ErrUnsupported)
	}
	return target, nil
}
