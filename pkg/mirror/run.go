package mirror

import (
	"context"
	"iter"
	"sync"

	"github.com/regsync/regsync/pkg/reference"
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
// a time; done may be nil. A repository that cannot be listed is a failed result, whose job
// has the repository for its source. The outcome is there in any case; the error is ctx's
// cause, when the run was ended by it.
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
	noted := *selection
	noted.Warn = func(entry, text string) {
		reporting.Lock()
		outcome.warn(entry, text)
		reporting.Unlock()
		selection.warn(entry, text)
	}
	jobs := func(yield func(transfer.Job) bool) {
		for job, err := range noted.Jobs(ctx) {
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
	destinations := job.Destinations
	if len(destinations) == 0 {
		destinations = []reference.Reference{{}}
	}
	for _, to := range destinations {
		r.Destinations = append(r.Destinations, transfer.DestinationResult{Reference: to, Action: transfer.ActionNone, Err: err})
	}
	return r
}

// Plan yields what a run would do, in the order of the configuration, and only reads. What
// cannot be planned yields its error and does not end the sequence.
func Plan(ctx context.Context, engine Planner, selection *Selection) iter.Seq2[*transfer.Plan, error] {
	return func(yield func(*transfer.Plan, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var refused refusals
		jobs := func(yield func(transfer.Job) bool) {
			jobs := 0
			for job, err := range selection.Jobs(ctx) {
				if err != nil {
					refused.add(jobs, err)
				} else if jobs++; !yield(job) {
					return
				}
			}
		}
		plans := 0
		for plan, err := range engine.Plan(ctx, jobs) {
			if !refused.tell(plans, yield) || !yield(plan, err) {
				cancel() // now: the engine's sequence ends only after the listings
				return
			}
			plans++
		}
		refused.tell(plans, yield)
	}
}

// refusals are the errors of what never became a job, each with the number of jobs before
// it. They are added while the engine asks for jobs, and told between its plans.
type refusals struct {
	mu   sync.Mutex
	list []refusal
}

type refusal struct {
	jobs int
	err  error
}

func (r *refusals) add(jobs int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, refusal{jobs, err})
}

// next takes the first refusal that at most so many jobs were before.
func (r *refusals) next(jobs int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) == 0 || r.list[0].jobs > jobs {
		return nil
	}
	err := r.list[0].err
	r.list = r.list[1:]
	return err
}

func (r *refusals) tell(jobs int, yield func(*transfer.Plan, error) bool) bool {
	for err := r.next(jobs); err != nil; err = r.next(jobs) {
		if !yield(nil, err) {
			return false
		}
	}
	return true
}
