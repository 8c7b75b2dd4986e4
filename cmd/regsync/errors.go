package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/regsync/regsync/cmd/regsync/internal/signals"
	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
)

// usageError is a mistake in the command line or in a configuration.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// hintedError is an error whose next step is known where it arises.
type hintedError struct {
	err  error
	hint string // empty if err says enough
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

func usageWithHint(err error, hint string) error { return &usageError{&hintedError{err, hint}} }

// imageError is an error about one image, where no copy takes part.
type imageError struct {
	ref reference.Reference
	err error
}

func (e *imageError) Error() string { return e.ref.Familiar() + ": " + e.err.Error() }
func (e *imageError) Unwrap() error { return e.err }

// about adds to an error the image that it is about.
func about(ref reference.Reference, err error) error { return &imageError{ref, err} }

// failures are the errors of several independent items that are no copies, such as the arguments of rmi.
type failures struct {
	items string // what is counted: "images"
	tally report.Tally
	errs  []error
	shown bool // stdout has them already
}

func (f *failures) Error() string {
	if f.shown {
		return f.outcome()
	}
	lines := make([]string, len(f.errs))
	for i, err := range f.errs {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the failures that are not shown yet.
func (f *failures) Unwrap() []error {
	if f.shown {
		return nil
	}
	return f.errs
}

// outcome says how many items failed.
func (f *failures) outcome() string {
	return fmt.Sprintf("%d of %d %s failed (see above)", f.tally.Counts.Failed, f.tally.Counts.Tags, f.items)
}

// add counts one item: a success if all errs are nil.
func (f *failures) add(errs ...error) {
	f.tally.AddErrors(errs...)
	for _, err := range errs {
		if err != nil {
			f.errs = append(f.errs, err)
		}
	}
}

func (f *failures) counts() *report.Tally { return &f.tally }

// err returns f, or nil if nothing failed.
func (f *failures) err() error {
	if len(f.errs) == 0 {
		return nil
	}
	return f
}

// runError is the error of a report in which tags failed or were left to the next run.
type runError struct {
	report *report.Report
	shown  bool   // stdout has the causes already
	listed string // where all tags are listed; see [ui.Failures]
}

func (e *runError) Error() string {
	var lines []string
	for _, f := range e.failures() {
		lines = append(lines, f.Text)
	}
	return strings.Join(lines, "\n")
}

func (e *runError) counts() *report.Tally { return &e.report.Tally }

// failures returns what stderr says: the causes and, of several tags, how many failed.
func (e *runError) failures() []ui.Failure {
	outcome := ui.Outcome(e.report.Counts)
	var all []ui.Failure
	switch {
	case e.shown && outcome != "":
		return []ui.Failure{{Text: outcome + " (see above)"}}
	case !e.shown:
		all = ui.Failures(e.report, false, e.listed)
	}
	if rest := e.report.NotStarted; rest != nil {
		all = append(all, ui.Failure{Text: ui.NotStarted(*rest)})
	}
	if !e.shown && outcome != "" && e.report.Counts.Tags > 1 {
		all = append(all, ui.Failure{Text: outcome})
	}
	return all
}

// errDifferent is what diff returns if there is something to do. Only the exit code says so, and only if nothing failed.
var errDifferent = errors.New("there is something to do")

// onlyDifferent reports whether nothing failed, and diff has at most found a difference.
func onlyDifferent(err error) bool {
	for _, err := range flatten(err) {
		if !errors.Is(err, errDifferent) {
			return false
		}
	}
	return true
}

// denied reports whether all that is wrong is a refused login or a missing permission.
func denied(err error) bool {
	for _, err := range flatten(err) {
		if !errors.Is(err, content.ErrUnauthorized) && !errors.Is(err, content.ErrDenied) {
			return false
		}
	}
	return err != nil
}

// interrupted returns err without what merely follows from the signal.
func interrupted(err error, signal signals.Error) error {
	kept := []error{signal}
	for _, err := range flatten(err) {
		_, isSignal := errors.AsType[signals.Error](err)
		run, ok := errors.AsType[*runError](err)
		follows := ok && run.report.Command != "sync" && run.report.Counts.Failed == 0
		if !isSignal && !follows && !errors.Is(err, context.Canceled) {
			kept = append(kept, err)
		}
	}
	return errors.Join(kept...)
}

// flatten takes joined errors apart. Of errors with the same text, it keeps the first.
func flatten(err error) []error {
	var flat []error
	seen := map[string]bool{}
	var visit func(error)
	visit = func(err error) {
		if err == nil {
			return
		}
		// An error that is more than a list, such as an fmt.Errorf with two %w, has words of its own.
		if list, ok := err.(interface{ Unwrap() []error }); ok {
			if joined := errors.Join(list.Unwrap()...); joined != nil && joined.Error() == err.Error() {
				for _, err := range list.Unwrap() {
					visit(err)
				}
				return
			}
		}
		if text := err.Error(); !seen[text] {
			seen[text] = true
			flat = append(flat, err)
		}
	}
	visit(err)
	return flat
}

// The exit codes. A script may depend on them. A signal that ends the run has 128 and its number.
const (
	exitDone   = 0 // done, or nothing to do
	exitFailed = 1 // nothing could be done
	exitUsage  = 2 // the command line or the configuration is wrong
	exitPartly = 3 // some failed or were deferred, the others were copied or were right already
	exitFound  = 4 // diff found something to do, and nothing failed
	exitDenied = 5 // nothing could be done, and every failure was a 401 or 403
)

const exitCodesHelp = `  0  success, or nothing to do
  1  nothing succeeded
  2  the command line or the configuration is wrong
  3  some items failed or were deferred, or the report could not be written
  4  diff found differences, and nothing failed
  5  nothing succeeded: every failure was a refused login or a missing permission
  129, 130, 143  ended by SIGHUP, SIGINT or SIGTERM`

// exitCode returns the exit code for the error of a command.
func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	if signal, ok := errors.AsType[signals.Error](err); ok {
		return signal.ExitCode()
	}
	if is[*usageError](err) {
		return exitUsage
	}
	if items, ok := errors.AsType[interface {
		error
		counts() *report.Tally
	}](err); ok {
		return exitCodeOf(items.counts())
	}
	switch {
	case is[*unwrittenReport](err):
		return exitPartly
	case denied(err):
		return exitDenied
	case onlyDifferent(err):
		return exitFound
	default:
		return exitFailed
	}
}

// exitCodeOf returns the exit code of a command some of whose items failed.
func exitCodeOf(t *report.Tally) int {
	switch c := t.Counts; {
	case c.UpToDate() > 0 || c.Incomplete > 0:
		return exitPartly
	case c.Failed > 0 && c.Failed == c.Denied && c.Deferred == 0 && t.NotStarted == nil:
		return exitDenied
	default:
		return exitFailed
	}
}
