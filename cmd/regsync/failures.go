package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regsync/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/transfer"
)

// failures are what failed, or was left to the next run, of several independent items.
type failures struct {
	errs []error
	// fine is how many were done, were right already, or are left as they are by a rule.
	fine int
	// failed counts failures, deferred what is left to the next run. All that is deferred for
	// the same reason has one error.
	failed, deferred int

	reasons map[string]*deferredError // by reason
}

func (f *failures) Error() string {
	lines := make([]string, len(f.errs))
	for i, err := range f.errs {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (f *failures) Unwrap() []error { return f.errs }

// add counts one item: done if err is nil.
func (f *failures) add(err error) {
	if err == nil {
		f.fine++
		return
	}
	f.failed++
	f.errs = append(f.errs, err)
}

// addResult counts the destinations of a job.
func (f *failures) addResult(r *transfer.Result) {
	for _, d := range r.Destinations {
		f.add(d.Err)
	}
}

// addImage counts the destinations of an entry's image. All that are deferred for the same
// reason, possibly thousands, share one error.
func (f *failures) addImage(r *transfer.Result) {
	for _, d := range r.Destinations {
		if deferred(d.Err) {
			f.addDeferred(r.Job.Entry, d)
		} else {
			f.add(ofEntry(r.Job.Entry, r.Job.Source, d.Reference, d.Err))
		}
	}
}

// deferred reports whether an error only defers work to the next run.
func deferred(err error) bool {
	return errors.Is(err, transfer.ErrDeferred) || errors.Is(err, context.Canceled)
}

func (f *failures) addDeferred(entry string, d transfer.DestinationResult) {
	f.deferred++
	reason := d.Err.Error()
	one := f.reasons[reason]
	if one == nil {
		one = &deferredError{reason: reason, entry: entry, entries: map[string]bool{}, err: d.Err}
		if f.reasons == nil {
			f.reasons = map[string]*deferredError{}
		}
		f.reasons[reason] = one
		f.errs = append(f.errs, one)
	}
	one.tags++
	one.entries[entry] = true
}

// addRest counts what was not even begun.
func (f *failures) addRest(rest ui.ReportRest) {
	f.deferred += rest.Tags
	f.errs = append(f.errs, &notBegunError{rest})
}

// ofAnEntry is an error that names its entry; the empty name is none.
type ofAnEntry interface {
	error
	entryName() string
}

// order puts the errors into the order of the entries; a run ends in any.
func (f *failures) order(entries []string) {
	rank := func(err error) int {
		if named, ok := errors.AsType[ofAnEntry](err); ok {
			if i := slices.Index(entries, named.entryName()); i >= 0 {
				return i
			}
		}
		return len(entries)
	}
	slices.SortStableFunc(f.errs, func(a, b error) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Error(), b.Error()))
	})
}

// err is nil if nothing failed.
func (f *failures) err() error {
	if len(f.errs) == 0 {
		return nil
	}
	return f
}

// deferredError is the tags that are left to the next run for one reason.
type deferredError struct {
	reason  string
	entry   string // of the first one
	entries map[string]bool
	tags    int
	err     error // of the first one
}

func (e *deferredError) Error() string {
	switch {
	case len(e.entries) > 1:
		return fmt.Sprintf("%d tags of %d entries are left to the next run: %s", e.tags, len(e.entries), e.reason)
	case e.tags > 1:
		return fmt.Sprintf("%s: %d tags are left to the next run: %s", e.entry, e.tags, e.reason)
	default:
		return fmt.Sprintf("%s: 1 tag is left to the next run: %s", e.entry, e.reason)
	}
}

func (e *deferredError) Unwrap() error { return e.err }

// entryName is empty if there are several entries.
func (e *deferredError) entryName() string {
	if len(e.entries) > 1 {
		return ""
	}
	return e.entry
}

// notBegunError tells of tags that the run did not come to.
type notBegunError struct{ rest ui.ReportRest }

func (e *notBegunError) Error() string { return e.rest.String() }

// Is makes it one of those that the next run does.
func (e *notBegunError) Is(target error) bool { return target == transfer.ErrDeferred }

// told is the error of failures that stdout has told one by one, unless --quiet kept it
// from that.
func (a *app) told(f *failures) error {
	if len(f.errs) == 0 || a.flags.quiet && !a.flags.json() {
		return f.err()
	}
	return &toldError{f}
}

// toldError sums failures up that were told already.
type toldError struct{ failures *failures }

func (e *toldError) Error() string {
	f := e.failures
	all := f.failed + f.deferred + f.fine
	switch {
	case f.failed+f.deferred == 0: // nobody knows how many
		return f.Error()
	case f.failed == 0:
		return fmt.Sprintf("%d of %d left to the next run; the reasons are above", f.deferred, all)
	case f.deferred == 0:
		return fmt.Sprintf("%d of %d failed; the causes are above", f.failed, all)
	default:
		return fmt.Sprintf("%d of %d failed, %d left to the next run; the causes are above", f.failed, all, f.deferred)
	}
}

// As gives the failures to whoever asks for their exit code, but not for their hints.
func (e *toldError) As(target any) bool {
	f, ok := target.(**failures)
	if ok {
		*f = e.failures
	}
	return ok
}
