package mirror

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Runner executes jobs, as [transfer.Engine] does.
type Runner interface {
	Run(ctx context.Context, jobs iter.Seq[transfer.Job], done func(*transfer.Result)) error
}

// Planner plans jobs, as [transfer.Engine] does.
type Planner interface {
	Plan(ctx context.Context, jobs iter.Seq[transfer.Job]) iter.Seq2[*transfer.Plan, error]
}

// Preparer connects to a destination ahead of its jobs, as [transfer.Engine] does.
type Preparer interface {
	Prepare(ctx context.Context, destination reference.Reference)
}

var (
	_ Runner   = (*transfer.Engine)(nil)
	_ Planner  = (*transfer.Engine)(nil)
	_ Preparer = (*transfer.Engine)(nil)
)

// Run executes a selection as one run of the engine. A source that is still being listed
// holds up no other: the jobs come in the file's order from those that are listed. Every
// result is handed to done, one at a time; done may be nil. What never became a job of the
// engine is a result, too: a repository that cannot be listed is a failed one whose source
// is the repository, and a [Warning] one without destinations. The outcome is there in any
// case. The error is ctx's cause, when that has ended the run, or an [transfer.ErrDeferred],
// when Selection.Draining has.
func Run(ctx context.Context, engine Runner, selection *Selection, done func(*transfer.Result)) (*Outcome, error) {
	m := newMerge(selection, true)
	m.preparer, _ = engine.(Preparer)
	ctx, stop := context.WithCancelCause(ctx)
	defer m.preparing.Wait()
	defer stop(nil)
	r := &running{outcome: newOutcome(selection.Config), done: done}
	if selection.FailFast {
		r.failed = func() { stop(errFailFast) }
	}
	err := engine.Run(ctx, r.jobs(ctx, m), func(result *transfer.Result) {
		m.scheduler.Ended(result.Job)
		r.report(result)
	})
	m.left(r.outcome)
	switch {
	case errors.Is(err, errFailFast):
		err = nil // what has failed says enough
	case err == nil && m.scheduler.Draining() && !r.outcome.Complete():
		err = errDraining
	}
	return r.outcome, err
}

var (
	errFailFast error = &transfer.DeferredError{Reason: "stopped after the first failure, by --fail-fast"}
	errDraining error = &transfer.DeferredError{Reason: "the run is ending"}
)

// running gathers the results of a run.
type running struct {
	done   func(*transfer.Result)
	failed func() // called after each failed result; may be nil

	mu      sync.Mutex
	outcome *Outcome
}

// jobs yields the jobs for the engine. Everything else is reported at once.
func (r *running) jobs(ctx context.Context, m *merge) iter.Seq[transfer.Job] {
	return func(yield func(transfer.Job) bool) {
		for job, err := range m.jobs(ctx, r.warn) {
			if err != nil {
				r.refuse(job, err)
			} else if !yield(job) {
				return
			}
		}
	}
}

// refuse reports what never became a job of the engine.
func (r *running) refuse(job transfer.Job, err error) {
	r.report(refused(job, err))
	if deferred(err) && job.Source.Identifier() == "" {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.outcome.entry(job.Entry).Unlisted = true
	}
}

func (r *running) warn(w Warning) {
	r.report(&transfer.Result{Job: transfer.Job{Entry: w.Entry, Source: w.Source}, Warnings: []warning.Warning{w.Warning}})
}

func (r *running) report(result *transfer.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcome.add(result)
	if r.done != nil {
		r.done(result)
	}
	if r.failed != nil && failed(result) {
		r.failed()
	}
}

// refused is the result of what never became a job of the engine.
func refused(job transfer.Job, err error) *transfer.Result {
	if side, ok := errors.AsType[*transfer.Error](err); ok && deferred(err) {
		err = side.Err // as the engine does: equal for all that one cause defers
	}
	r := &transfer.Result{Job: job}
	for _, to := range job.Destinations {
		r.Destinations = append(r.Destinations, transfer.DestinationResult{Reference: to, Action: transfer.ActionNone, Err: err})
	}
	return r
}
