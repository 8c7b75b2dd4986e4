package mirror

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
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

// Announcer reports results that are not the engine's to the observer of a run, as [transfer.Engine] does.
type Announcer interface {
	Announce(result *transfer.Result)
}

var (
	_ Runner    = (*transfer.Engine)(nil)
	_ Announcer = (*transfer.Engine)(nil)
	_ Planner   = (*transfer.Engine)(nil)
	_ Preparer  = (*transfer.Engine)(nil)
)

// Results receives the results of a run, one call at a time. A [report.Report] is one.
type Results interface {
	// Add receives the result of an image at its destinations.
	Add(*transfer.Result)
	// NotStart receives how many known images of an entry were not started; unlisted says that there may be more.
	NotStart(entry string, images int, unlisted bool)
}

var _ Results = (*report.Report)(nil)

// Run executes a selection as one run of the engine, and passes on every result: also of a source that cannot be
// listed (a failed result whose source is the repository or the pattern), of a [Warning] (a result without
// destinations), and of images that were not started when the run ended. A source that is still being listed does not
// delay others: jobs are created from the listed sources, in the order of the configuration. The error is ctx's cause
// if ctx has ended the run, or a [transfer.ErrDeferred] if Selection.Draining has.
func Run(ctx context.Context, engine Runner, selection *Selection, results Results) error {
	m := newMerge(selection, true)
	ctx, stop := context.WithCancelCause(ctx)
	var preparing sync.WaitGroup
	defer preparing.Wait()
	defer stop(nil)
	if p, ok := engine.(Preparer); ok {
		// Until the end of the run: the jobs may all be known while the first answer is on its way.
		m.connect = func(to reference.Reference) { preparing.Go(func() { p.Prepare(ctx, to) }) }
	}
	r := &running{results: results}
	r.announcer, _ = engine.(Announcer)
	if selection.FailFast {
		r.failed = func() { stop(errFailFast) }
	}
	err := engine.Run(ctx, r.jobs(ctx, m), func(result *transfer.Result) {
		m.scheduler.Ended(result.Job)
		r.add(result)
	})
	complete := true
	m.scheduler.Rest(func(entry string, images int, unlisted bool) {
		complete = complete && images == 0 && !unlisted
		results.NotStart(entry, images, unlisted)
	})
	switch {
	case errors.Is(err, errFailFast):
		err = nil // the failed results already say so
	case err == nil && m.scheduler.Draining() && !complete:
		err = errDraining
	}
	return err
}

var (
	errFailFast error = &transfer.DeferredError{Reason: "stopped after the first failure, by --fail-fast"}
	errDraining error = &transfer.DeferredError{Reason: "the run is ending"}
)

// running passes on the results of a run.
type running struct {
	failed func() // called after each failed result; may be nil

	announcer Announcer // nil if the engine has no observer
	mu        sync.Mutex
	results   Results
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

// refuse reports an image or source that never became a job of the engine.
func (r *running) refuse(job transfer.Job, err error) {
	result := refused(job, err)
	if r.announcer != nil {
		r.announcer.Announce(result)
	}
	r.add(result)
	if report.IsDeferred(err) && job.Source.Identifier() == "" {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.results.NotStart(job.Entry, 0, true)
	}
}

func (r *running) warn(w Warning) {
	r.add(&transfer.Result{Job: transfer.Job{Entry: w.Entry, Source: w.Source}, Warnings: []warning.Warning{w.Warning}})
}

func (r *running) add(result *transfer.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results.Add(result)
	failed := func(d transfer.DestinationResult) bool { return report.StatusOf(d) == report.StatusFailed }
	if r.failed != nil && slices.ContainsFunc(result.Destinations, failed) {
		r.failed()
	}
}

// refused is the result of an image or source that never became a job of the engine.
func refused(job transfer.Job, err error) *transfer.Result {
	if side, ok := errors.AsType[*transfer.Error](err); ok && report.IsDeferred(err) {
		err = side.Err // as the engine does: equal for all that one cause defers
	}
	r := &transfer.Result{Job: job}
	for _, to := range job.Destinations {
		r.Destinations = append(r.Destinations, transfer.DestinationResult{Reference: to, Action: transfer.ActionNone, Err: err})
	}
	return r
}
