package mirror_test

import (
	"context"

	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// outcome records what a run came to, with the errors that a report has only as data.
type outcome struct {
	Entries []entryOutcome
	done    func(*transfer.Result)
}

type entryOutcome struct {
	Name                                       string
	Added, Moved, Unchanged, Skipped, Deferred int
	NotBegun                                   int
	Unlisted                                   bool
	Failures                                   []failure
	Warnings                                   []mirror.Warning
}

type failure struct {
	Source, Destination reference.Reference
	Err                 error
}

var _ mirror.Results = (*outcome)(nil)

// runFor is [mirror.Run] with an outcome; done may be nil.
func runFor(ctx context.Context, engine mirror.Runner, selection *mirror.Selection, done func(*transfer.Result)) (*outcome, error) {
	o := &outcome{done: done}
	for _, name := range selection.Config.EntryNames() {
		o.entry(name)
	}
	return o, mirror.Run(ctx, engine, selection, o)
}

func (o *outcome) entry(name string) *entryOutcome {
	for i := range o.Entries {
		if o.Entries[i].Name == name {
			return &o.Entries[i]
		}
	}
	o.Entries = append(o.Entries, entryOutcome{Name: name})
	return &o.Entries[len(o.Entries)-1]
}

func (o *outcome) Add(r *transfer.Result) {
	e := o.entry(r.Job.Entry)
	for _, d := range r.Destinations {
		switch report.StatusOf(d) {
		case report.StatusDeferred:
			e.Deferred++
		case report.StatusFailed:
			e.Failures = append(e.Failures, failure{r.Job.Source, d.Reference, d.Err})
		case report.StatusSkipped:
			e.Skipped++
		case report.StatusCopied:
			if d.Action == transfer.ActionMove {
				e.Moved++
			} else {
				e.Added++
			}
		default:
			e.Unchanged++
		}
	}
	for _, w := range r.Warnings {
		e.Warnings = append(e.Warnings, mirror.Warning{Entry: r.Job.Entry, Source: r.Job.Source, Warning: w})
	}
	if o.done != nil {
		o.done(r)
	}
}

func (o *outcome) NotStart(entry string, images int, unlisted bool) {
	e := o.entry(entry)
	e.NotBegun += images
	e.Unlisted = e.Unlisted || unlisted
}

func (o *outcome) Complete() bool {
	for _, e := range o.Entries {
		if e.NotBegun > 0 || e.Unlisted {
			return false
		}
	}
	return true
}

// Right is the number of tags that are as the configuration wants them.
func (o *outcome) Right() (sum int) {
	for _, e := range o.Entries {
		sum += e.Added + e.Moved + e.Unchanged
	}
	return sum
}

func (o *outcome) Failures() (all []failure) {
	for _, e := range o.Entries {
		all = append(all, e.Failures...)
	}
	return all
}
