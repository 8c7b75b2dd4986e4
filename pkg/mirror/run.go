package mirror

import (
	"context"
	"iter"
	"sync"

	"github.com/regsync/regsync/pkg/transfer"
)

// Runner executes jobs, as [transfer.Engine] does.
type Runner interface {
	Run(ctx context.Context, jobs iter.Seq[transfer.Job], done func(*transfer.Result)) error
}

// Planner plans jobs, as [transfer.Engine] does.
type Planner interface {
	Plan(ctx context.Context, jobs iter.Seq[transfer.Job]) iter.Seq2[*transfer.Plan, error]
}

var (
	_ Runner  = (*transfer.Engine)(nil)
	_ Planner = (*transfer.Engine)(nil)
)

// Run executes a selection as one run of the engine. Every result is handed to done, one at
// a time; done may be nil. What never became a job of the engine is a result, too: a
// repository that cannot be listed is a failed one whose source is the repository, and a
// [Warning] one without destinations. The outcome is there in any case; the error is ctx's
// cause, when that has ended the run.
func Run(ctx context.Context, engine Runner, selection *Selection, done func(*transfer.Result)) (*Outcome, error) {
	outcome := newOutcome(selection.Config)
	var reporting sync.Mutex
	report := func(r *transfer.Result) {
		reporting.Lock()
		defer reporting.Unlock()
		outcome.add(r)
		if done != nil {
			done(r)
		}
	}
	warn := func(w Warning) {
		report(&transfer.Result{Job: transfer.Job{Entry: w.Entry, Source: w.Source}, Warnings: []string{w.Text}})
	}
	jobs := func(yield func(transfer.Job) bool) {
		for job, err := range selection.Jobs(ctx, warn) {
			if err != nil {
				report(failed(job, err))
			} else if !yield(job) {
				return
			}
		}
	}
	err := engine.Run(ctx, jobs, report)
	return outcome, err
}

// failed is the result of what never became a job of the engine.
func failed(job transfer.Job, err error) *transfer.Result {
	r := &transfer.Result{Job: job}
	for _, to := range job.Destinations {
		r.Destinations = append(r.Destinations, transfer.DestinationResult{Reference: to, Action: transfer.ActionNone, Err: err})
	}
	return r
}
