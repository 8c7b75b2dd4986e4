package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/report"
)

// output is where a command writes to, and how.
type output struct {
	Environment
	flags   globals
	showing atomic.Pointer[ui.Progress]
	printed bool         // the document of --output json
	user    userSettings // for hints
}

// printJSON writes the one document of --output json.
func (o *output) printJSON(document any) error {
	o.printed = true
	return safe.WriteJSON(o.Stdout, document)
}

// printLine writes one line of a result, safe to print.
func (o *output) printLine(format string, args ...any) error {
	_, err := fmt.Fprintln(o.Stdout, safe.Clean(fmt.Sprintf(format, args...)))
	return err
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// newReport starts the report of a command; see [report.Options].
func (o *output) newReport(command string, entries []string, changes bool) *report.Report {
	return report.New(command, time.Now(), report.Options{
		Hints: o.hintFor, Text: ui.WarningText, Entries: entries, Changes: changes,
	})
}

// printReport writes the report of a command that has err as its error as one JSON document.
func (o *output) printReport(r *report.Report, err error) error {
	r.Error = o.problemOf(err)
	return o.printJSON(r)
}

// printPlan prints a plan. It returns why the plan is incomplete.
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
		return errors.Join(ui.WriteReport(o.Stdout, plan, listing(all), listedByVerbose), err)
	}
}

// listing returns the detail of a report that lists what changed.
func listing(all bool) ui.Detail {
	if all {
		return ui.Everything
	}
	return ui.Changes
}

// failed returns the error of a report; nil if nothing failed or was deferred. shown: the report is printed, unless --quiet
// prevents it.
func (o *output) failed(r *report.Report, shown bool, listed string) error {
	if c := r.Counts; c.Failed == 0 && c.Deferred == 0 && r.NotStarted == nil {
		return nil
	}
	return &runError{report: r, shown: shown && (o.flags.json() || !o.flags.quiet), listed: listed}
}

// told returns the error of failures that stdout has already, unless --quiet prevents it.
func (o *output) told(f *failures) error {
	f.shown = o.flags.json() || !o.flags.quiet
	return f.err()
}

// printError prints why the command failed: as text, or as events under --progress json. A difference is no failure.
func (o *output) printError(err error) {
	if onlyDifferent(err) {
		return
	}
	for _, f := range o.failuresOf(err) {
		if o.events() {
			p := *f.Problem
			if f.Names != "" { // the problem is that of the first tag
				p.Message = f.Text + ": " + f.Names
			}
			o.aside().Error(&p)
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
	if several, ok := errors.AsType[*failures](err); ok && !several.shown && several.tally.Counts.Tags > 1 && !o.events() {
		fmt.Fprintf(o.Stderr, "regsync: error: %s\n", several.outcome())
	}
}

// failuresOf returns each independent cause of an error. Of equal hints, only the first is kept.
func (o *output) failuresOf(err error) []ui.Failure {
	var all []ui.Failure
	hinted := map[string]bool{}
	for _, err := range flatten(err) {
		var found []ui.Failure
		if run, ok := errors.AsType[*runError](err); ok {
			found = run.failures()
		} else {
			found = []ui.Failure{{Text: printable(err.Error(), err), Hint: safe.Clean(o.hintFor(err)), Problem: report.NewProblem(err, o.hintFor)}}
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

// problemOf returns the error of a command as data; nil if nothing failed.
func (o *output) problemOf(err error) *report.Problem {
	if onlyDifferent(err) {
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

// hintFor returns the user's next step for an error, or empty if none is known.
func (o *output) hintFor(err error) string { return o.user.hintFor(err) }

// warn prints a warning about something that stops nothing.
func (o *output) warn(format string, args ...any) {
	if !o.flags.quiet {
		o.insist(format, args...)
	}
}

// insist warns also under --quiet, so that cron sends a mail.
func (o *output) insist(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if o.events() {
		o.aside().Warning(text)
		return
	}
	fmt.Fprintf(conversation{o}, "regsync: warning: %s\n", printable(text, args...))
}

// events reports whether every line on stderr is to be an event.
func (o *output) events() bool { return ui.Mode(o.flags.progress) == ui.JSON }

func (o *output) aside() ui.Aside { return ui.Aside{Out: o.Stderr} }

// printable returns a message that was formatted from args, safe to print. It is one line, so that a line break in
// the text of a registry or an image cannot forge a line of regsync. Only the mistakes of a configuration keep their
// lines.
func printable(message string, args ...any) string {
	mistakes := slices.ContainsFunc(args, func(arg any) bool {
		err, _ := arg.(error)
		return is[*config.Errors](err)
	})
	if !mistakes {
		return safe.Message(message)
	}
	lines := strings.Split(message, "\n")
	for i, line := range lines {
		lines[i] = safe.Clean(line)
	}
	return strings.Join(lines, "\n")
}

// reportPanic reports a bug in regsync.
func reportPanic(w io.Writer, reason any) {
	fmt.Fprintf(w, "regsync: internal error: %s\n\n%s\n", safe.Clean(fmt.Sprint(reason)), debug.Stack())
	fmt.Fprintf(w, "This is a bug in %v.\n", buildVersion())
	fmt.Fprintln(w, "Please report it with the text above at https://github.com/regsync/regsync/issues")
}

// logger writes to stderr under --debug, and nothing otherwise.
func (o *output) logger() *slog.Logger {
	if !o.flags.debug {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(conversation{o}, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: o.timeOnce}))
}

// timeOnce leaves out the time of a record where the line that it becomes has one.
func (o *output) timeOnce(groups []string, a slog.Attr) slog.Attr {
	p := o.showing.Load()
	if len(groups) == 0 && a.Key == slog.TimeKey && (o.events() || p != nil && p.HasTimes()) {
		return slog.Attr{}
	}
	return a
}

// remarks receive what libraries log by themselves, as net/http does if a server sends more than an answer. Only
// --debug shows it: cron must not send a mail for it.
type remarks struct{ *output }

var _ io.Writer = remarks{}

func (r remarks) Write(line []byte) (int, error) {
	text, _, _ := strings.Cut(string(line), " starting with ") // then come bytes of the server, which may hold secrets
	r.logger().Debug(strings.TrimSpace(text))
	return len(line), nil
}

// progress shows a run on stderr until it is closed. Meanwhile the log is written through it, so that lines stay whole.
func (o *output) progress(options ui.Options) *ui.Progress {
	mode := ui.Mode(o.flags.progress)
	if o.flags.quiet {
		mode = ui.None
	}
	options.Verbose, options.Hints, options.Env = o.flags.verbose, o.hintFor, o.LookupEnv
	p := ui.NewProgress(mode, o.Stderr, options)
	if !o.flags.quiet {
		o.showing.Store(p)
	}
	return p
}

// conversation is stderr, or the progress that is shown on it.
type conversation struct{ *output }

var _ io.Writer = conversation{}

func (c conversation) Write(lines []byte) (int, error) {
	if p := c.showing.Load(); p != nil {
		return p.Write(lines)
	}
	if c.events() {
		return c.aside().Write(lines)
	}
	return c.Stderr.Write(lines)
}

// printResult prints the result of a command: as a document with --output json, otherwise as lines.
func printResult(a *app, document any, lines ...string) error {
	if a.flags.json() {
		return a.printJSON(document)
	}
	return printLines(a, lines)
}

func printLines(a *app, lines []string) error {
	for _, line := range lines {
		if err := a.printLine("%s", line); err != nil {
			return err
		}
	}
	return nil
}

// imagesDocument is what --output json prints about several images; err is why the command fails, if it does.
func imagesDocument[T any](a *app, schema string, images []T, err error) any {
	return struct {
		Schema string          `json:"schema"`
		Images []T             `json:"images"`
		Error  *report.Problem `json:"error,omitempty"`
	}{schema, images, a.problemOf(err)}
}
