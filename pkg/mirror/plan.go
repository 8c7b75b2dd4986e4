package mirror

import (
	"context"
	"iter"
	"sync"

	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Plan yields what a run would do, in the order of the configuration. It only reads. A job that
// cannot be planned is yielded with its error and a plan that has only the job; the sequence
// continues. A [Warning] is yielded with a plan without destinations.
func Plan(ctx context.Context, engine Planner, selection *Selection) iter.Seq2[*transfer.Plan, error] {
	return func(yield func(*transfer.Plan, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var asked agenda
		warn := func(w Warning) {
			job := transfer.Job{Entry: w.Entry, Source: w.Source}
			asked.add(item{plan: &transfer.Plan{Job: job, Warnings: []warning.Warning{w.Warning}}})
		}
		jobs := func(yield func(transfer.Job) bool) {
			for job, err := range selection.Jobs(ctx, warn) {
				asked.add(item{plan: &transfer.Plan{Job: job}, err: err, planned: err == nil})
				if err == nil && !yield(job) {
					return
				}
			}
		}
		for plan, err := range engine.Plan(ctx, jobs) {
			job, ok := asked.tell(yield)
			if plan == nil {
				plan = job
			}
			if !ok || !yield(plan, err) {
				cancel() // now: the engine's sequence ends only after the listings
				return
			}
		}
		asked.tell(yield)
	}
}

// agenda has the items that the selection has yielded, in order. It grows while the engine takes
// jobs, and its items are yielded between the engine's plans.
type agenda struct {
	mu    sync.Mutex
	items []item
}

// item is a job that the engine plans, or a result that is reported in its place.
type item struct {
	plan    *transfer.Plan
	err     error
	planned bool
}

func (a *agenda) add(i item) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.items = append(a.items, i)
}

func (a *agenda) next() (item, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.items) == 0 {
		return item{}, false
	}
	first := a.items[0]
	a.items = a.items[1:]
	return first, true
}

// tell yields all items before the next job, and removes that job. It reports false when yield
// returns false.
func (a *agenda) tell(yield func(*transfer.Plan, error) bool) (*transfer.Plan, bool) {
	for i, ok := a.next(); ok; i, ok = a.next() {
		if i.planned {
			return i.plan, true
		}
		if !yield(i.plan, i.err) {
			return nil, false
		}
	}
	return nil, true
}
