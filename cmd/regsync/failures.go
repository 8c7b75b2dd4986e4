package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/report"
)

// failures are the errors of several independent items that are no copies, such as the arguments of rmi.
type failures struct {
	tally report.Tally
	errs  []error
	told  bool // stdout has them already
}

func (f *failures) Error() string {
	if f.told {
		return fmt.Sprintf("%d of %d failed (see above)", f.tally.Counts.Failed, f.tally.Counts.Tags)
	}
	lines := make([]string, len(f.errs))
	for i, err := range f.errs {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the failures, unless they are told already.
func (f *failures) Unwrap() []error {
	if f.told {
		return nil
	}
	return f.errs
}

// add counts one item: a success if err is nil.
func (f *failures) add(err error) {
	f.tally.AddError(err)
	if err != nil {
		f.errs = append(f.errs, err)
	}
}

// err is nil if nothing failed.
func (f *failures) err() error {
	if len(f.errs) == 0 {
		return nil
	}
	return f
}

// hintFor returns the user's next step for an error, or empty if none is known.
func (o *output) hintFor(err error) string { return hintFor(err, o.settings) }

// told is the error of failures that stdout has told one by one, unless --quiet kept it from that.
func (o *output) told(f *failures) error {
	f.told = o.flags.json() || !o.flags.quiet
	return f.err()
}

// runError is the error of a report in which tags failed or were left to the next run.
type runError struct {
	report *report.Report
	// told: stdout has the causes already.
	told bool
	// listed is where all tags are listed; see [ui.Failures].
	listed string
}

// failed returns the error of a report; nil if all of it is as it was asked for.
func (o *output) failed(r *report.Report, told bool, listed string) error {
	if c := r.Counts; c.Failed == 0 && c.Deferred == 0 && r.NotStarted == nil {
		return nil
	}
	return &runError{report: r, told: told && (o.flags.json() || !o.flags.quiet), listed: listed}
}

func (e *runError) Error() string {
	var lines []string
	for _, f := range e.failures() {
		lines = append(lines, f.Text)
	}
	return strings.Join(lines, "\n")
}

// failures are what stderr says: the causes and, of several tags, how many failed.
func (e *runError) failures() []ui.Failure {
	outcome := ui.Outcome(e.report.Counts)
	var all []ui.Failure
	switch {
	case e.told && outcome != "":
		return []ui.Failure{{Text: outcome + " (see above)"}}
	case !e.told:
		all = ui.Failures(e.report, false, e.listed)
	}
	if rest := e.report.NotStarted; rest != nil {
		all = append(all, ui.Failure{Text: ui.NotStarted(*rest)})
	}
	if !e.told && outcome != "" && e.report.Counts.Tags > 1 {
		all = append(all, ui.Failure{Text: outcome})
	}
	return all
}

// counted is an error of several items.
type counted interface {
	error
	counts() *report.Tally
}

func (f *failures) counts() *report.Tally { return &f.tally }
func (e *runError) counts() *report.Tally { return &e.report.Tally }

// exitCodeOf is the exit code of a command some of whose items failed.
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

// flatten takes joined errors apart; equal ones are told once.
func flatten(err error) []error {
	var flat []error
	told := map[string]bool{}
	var visit func(error)
	visit = func(err error) {
		if err == nil {
			return
		}
		if joined := joinedIn(err); joined != nil {
			for _, err := range joined {
				visit(err)
			}
			return
		}
		if text := err.Error(); !told[text] {
			told[text] = true
			flat = append(flat, err)
		}
	}
	visit(err)
	return flat
}

// joinedIn are the errors that err is nothing but a list of; nil if it is more, such as an fmt.Errorf with two %w,
// whose own words must not be lost.
func joinedIn(err error) []error {
	list, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	if joined := errors.Join(list.Unwrap()...); joined == nil || err.Error() != joined.Error() {
		return nil
	}
	return list.Unwrap()
}

// printError tells why the command failed: in words, or under --progress json as events. That a difference was found is
// no failure.
func (o *output) printError(err error) {
	if found(err) {
		return
	}
	for _, f := range o.failuresOf(err) {
		if o.events() {
			o.aside().Error(f.Problem)
			continue
		}
		fmt.Fprintf(o.Stderr, "regsync: error: %s\n", f.Text)
		if f.Names != "" {
			fmt.Fprintf(o.Stderr, "  %s\n", f.Names)
		}
		if f.Hint != "" {
			fmt.Fprintf(o.Stderr, "regsync: hint: %s\n", f.Hint)
		}
	}
}

// failuresOf returns each independent cause of an error. A hint is given with the first one that it is for.
func (o *output) failuresOf(err error) []ui.Failure {
	var all []ui.Failure
	hinted := map[string]bool{}
	for _, err := range flatten(err) {
		var found []ui.Failure
		if run, ok := errors.AsType[*runError](err); ok {
			found = run.failures()
		} else {
			found = []ui.Failure{{Text: printable(err.Error(), err), Hint: ui.Clean(o.hintFor(err)), Problem: report.NewProblem(err, o.hintFor)}}
		}
		for _, f := range found {
			if f.Problem == nil {
				f.Problem = &report.Problem{Message: f.Text}
			}
			if hinted[f.Hint] {
				f.Hint = ""
			}
			hinted[f.Hint] = true
			all = append(all, f)
		}
	}
	return all
}

// printFailure prints the document of a command that failed before it had one. A command line or a configuration that is
// wrong has none.
func (o *output) printFailure(cmd *cobra.Command, err error) error {
	if o.printed || !o.flags.json() || found(err) || exitCode(err) == exitUsage {
		return nil
	}
	name := strings.ReplaceAll(strings.TrimPrefix(cmd.CommandPath(), "regsync "), " ", "-")
	if slices.Contains([]string{"copy", "diff", "pull", "push", "sync"}, name) {
		r := o.newReport(name, nil, false)
		r.Finish(time.Now(), nil, nil)
		r.Run.ExitCode = exitCode(err)
		return o.printReport(r, err)
	}
	return o.printJSON(struct {
		Schema string          `json:"schema"`
		Error  *report.Problem `json:"error"`
	}{"regsync." + name + "/v1", o.problemOf(err)})
}

// printReport writes the report of a command that has err as its error as one JSON document.
func (o *output) printReport(r *report.Report, err error) error {
	r.Error = o.problemOf(err)
	return o.printJSON(r)
}

// printPlan prints a plan and returns why it is not whole.
func (o *output) printPlan(ctx context.Context, plan *report.Report, all bool) error {
	err := errors.Join(o.failed(plan, true, ""), context.Cause(ctx))
	if plan.Run.ExitCode = exitCode(err); err == nil && plan.Command == "diff" && plan.Counts.Pending() {
		plan.Run.ExitCode = exitFound
	}
	switch {
	case o.flags.json():
		return errors.Join(o.printReport(plan, err), err)
	case o.flags.quiet:
		return err
	default:
		return errors.Join(ui.WriteReport(o.Stdout, plan, all, listedByVerbose), err)
	}
}

// newReport begins the report of a command; see [report.Options].
func (o *output) newReport(command string, entries []string, changes bool) *report.Report {
	return report.New(command, time.Now(), report.Options{
		Hints: o.hintFor, Text: ui.WarningText, Entries: entries, Changes: changes,
	})
}

// problemOf is the error of a command as data; nil for nil, and for a difference that diff has found.
func (o *output) problemOf(err error) *report.Problem {
	if found(err) {
		return nil
	}
	first := o.failuresOf(err)[0]
	run, ok := errors.AsType[*runError](err)
	switch {
	case !ok:
		return first.Problem
	case run.report.Counts.Tags == 1:
		if all := ui.Failures(run.report, false, ""); len(all) > 0 {
			return all[0].Problem
		}
	}
	return &report.Problem{Message: cmp.Or(ui.Outcome(run.report.Counts), first.Text)}
}
