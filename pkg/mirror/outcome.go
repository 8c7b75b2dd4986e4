package mirror

import (
	"context"
	"errors"

	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// Outcome is what became of a configuration. Its size grows with the number of entries,
// failures and warnings, not with that of images.
type Outcome struct {
	// Entries are in the order of the configuration; those of one name are one.
	Entries []EntryOutcome

	index map[string]int
}

// EntryOutcome is what became of one entry. Tags are counted once for each destination.
type EntryOutcome struct {
	Name string
	// Added tags were not there before, Moved ones pointed elsewhere, Unchanged ones were
	// right already.
	Added, Moved, Unchanged int
	// Skipped tags were left as they are by a rule of the configuration.
	Skipped int
	// Deferred ones are left to the next run: this one ended early, the entry has had its
	// time, or a registry allows no more until later. NotBegun is how many images, not counted by destinations, were known when the
	// run ended and had not begun. Unlisted means that there may be more: repositories of
	// the entry had not been listed.
	Deferred, NotBegun int
	Unlisted           bool
	Failures           []Failure
	Warnings           []Warning
}

// Failure is a destination that is not as it should be. Where the tags of the source could
// not be listed, both references are repositories; it stands for all their tags.
type Failure struct {
	Source, Destination reference.Reference
	Err                 error
}

// Complete reports whether the run has come to all that the configuration means.
func (o *Outcome) Complete() bool {
	for _, e := range o.Entries {
		if e.NotBegun > 0 || e.Unlisted {
			return false
		}
	}
	return true
}

// Right is the number of tags that are now as the configuration wants them.
func (o *Outcome) Right() int {
	var sum int
	for _, e := range o.Entries {
		sum += e.Added + e.Moved + e.Unchanged
	}
	return sum
}

// Failures are those of all entries.
func (o *Outcome) Failures() []Failure {
	var all []Failure
	for _, e := range o.Entries {
		all = append(all, e.Failures...)
	}
	return all
}

func newOutcome(cfg *config.Config) *Outcome {
	o := &Outcome{index: map[string]int{}}
	for _, e := range cfg.Entries {
		o.entry(e.Name)
	}
	return o
}

func (o *Outcome) entry(name string) *EntryOutcome {
	i, known := o.index[name]
	if !known {
		i = len(o.Entries)
		o.index[name] = i
		o.Entries = append(o.Entries, EntryOutcome{Name: name})
	}
	return &o.Entries[i]
}

func (o *Outcome) add(r *transfer.Result) {
	e := o.entry(r.Job.Entry)
	for _, d := range r.Destinations {
		switch {
		case deferred(d.Err):
			e.Deferred++
		case d.Err != nil:
			e.Failures = append(e.Failures, Failure{Source: r.Job.Source, Destination: d.Reference, Err: d.Err})
		case d.Action == transfer.ActionAdd:
			e.Added++
		case d.Action == transfer.ActionMove:
			e.Moved++
		case d.Action == transfer.ActionSkip:
			e.Skipped++
		default:
			e.Unchanged++
		}
	}
	for _, w := range r.Warnings {
		e.Warnings = append(e.Warnings, Warning{r.Job.Entry, r.Job.Source, w})
	}
}

// deferred reports whether an error says only that the next run is to do it.
func deferred(err error) bool {
	return errors.Is(err, transfer.ErrDeferred) || errors.Is(err, context.Canceled)
}

// failed reports whether a result has a failure that is no deferral.
func failed(r *transfer.Result) bool {
	for _, d := range r.Destinations {
		if d.Err != nil && !deferred(d.Err) {
			return true
		}
	}
	return false
}
