package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/flagvalue"
	"github.com/regsync/regsync/cmd/regsync/internal/runlock"
	"github.com/regsync/regsync/cmd/regsync/internal/signals"
	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// syncing is one run of the command.
type syncing struct {
	choosing
	dryRun     bool
	reports    []string
	failedOnly string
	failFast   bool
	skip       bool // if another run is in progress
	lockWait   time.Duration
	drain      time.Duration
	hangUps    <-chan os.Signal // nil if SIGHUP does not reload the configuration
}

func newSyncCommand(a *app) *cobra.Command {
	s := &syncing{choosing: choosing{app: a}}
	cmd := &cobra.Command{
		Use:   "sync [FILE...]",
		Short: "Mirror images according to a configuration file",
		Long: `Copy the images that a configuration lists, in one run. Each blob is downloaded once and
uploaded to each registry once, however many images need it. An up-to-date image costs
one HEAD request at each side, plus the search for signatures at the source (referrers: false
skips it). A tag is set only after all of its content has been copied. A failed image does not
stop the others.

FILE is the same as -c FILE. Several files are combined; "-" is standard input. See
docs/configuration.md for all keys, and the configs directory for examples.

Two runs of one configuration on a host never overlap: the second run waits (--lock-wait), or
exits at once with --skip-if-running.

After SIGTERM, no new transfer starts, and blobs in flight have up to --drain to finish. SIGINT
(Ctrl-C) cancels the run, which then writes its report within two seconds. A second signal
ends the run without a report. SIGHUP reloads the limits of the configuration; at a terminal,
or if the configuration comes from a pipe, it is the same as SIGTERM.

The result on stdout is a summary and the problems. --verbose lists each tag, too: in the
progress on stderr, or in the result with --progress none or json. --report writes a file, also
if the run fails or is cancelled. As JSON (.json) or JUnit XML (.xml) it has every tag, as text
(.txt) the changes. --failed-only copies only what failed or was deferred in an earlier run; it
reads the JSON report of that run, or its output with -o json.`,
		Example: `  regsync sync regsync.yaml --dry-run
  regsync sync regsync.yaml
  regsync sync registries.yaml images.yaml --only web -o json
  regsync sync regsync.yaml -q --report /var/log/regsync.json --report junit.xml
  regsync sync regsync.yaml --failed-only /var/log/regsync.json
  regsync sync regsync.yaml -q --skip-if-running
  generate-config | regsync sync - --quiet`,
		Args: configFiles,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&s.dryRun, "dry-run", false, "print what would be copied, without copying anything")
	flags.StringArrayVar(&s.reports, "report", nil, "write the report to `FILE` (.json, .xml for JUnit, or .txt); may be repeated")
	flags.StringVar(&s.failedOnly, "failed-only", "", "copy only what failed or was deferred according to the report `FILE`")
	flags.BoolVar(&s.failFast, "fail-fast", false, "stop at the first failure")
	flags.Var(flagvalue.NewDuration(&s.drain, 20*time.Second), "drain", "wait up to `DURATION` for blobs in flight after SIGTERM")
	flags.BoolVar(&s.skip, "skip-if-running", false, "exit at once if another run of this configuration is in progress")
	flags.Var(flagvalue.NewDuration(&s.lockWait, time.Hour), "lock-wait", "wait up to `DURATION` for another run of this configuration")
	s.bind(flags)
	return declare(a, cmd, traits{patient: true, unattended: true, report: true, dryRun: &s.dryRun})
}

func (s *syncing) run(ctx context.Context) error {
	if s.dryRun && len(s.reports) > 0 {
		return usagef("--report cannot be used with --dry-run; use -o json")
	}
	if !s.dryRun {
		s.hangUps = catchHangUps(s.app)
	}
	settings, err := s.settings("sync FILE")
	if err != nil {
		return err
	}
	only, err := s.failed()
	if err != nil {
		return err
	}
	if s.dryRun {
		return s.plan(ctx, settings, only)
	}
	files, err := checkReports(s.reports)
	if err != nil {
		return err
	}
	err = s.runLock().Run(ctx, func() error { return s.execute(ctx, only, files) })
	if held, ok := errors.AsType[*runlock.HeldError](err); ok && s.skip {
		return s.leaveTo(held, len(settings.EntryNames()))
	}
	return err
}

// runLock returns the lock of the configuration.
func (s *syncing) runLock() *runlock.Lock {
	lock := &runlock.Lock{
		Files: s.app.flags.config, Stdin: s.app.stdinSum, StateDir: s.app.stateDir(), Wait: s.lockWait, Warn: s.app.warn, Logger: s.app.logger(),
	}
	if s.skip {
		lock.Wait = 0
	}
	for _, entry := range s.app.loaded.Entries {
		lock.EntryFiles = append(lock.EntryFiles, entry.Position.File)
	}
	return lock
}

// leaveTo leaves all entries to the run in progress. The files of --report stay as they are: that run may write them.
func (s *syncing) leaveTo(held *runlock.HeldError, entries int) error {
	s.app.insist("%v; skipping", held)
	if !s.app.flags.json() {
		return nil
	}
	skipped := s.app.newReport("sync", nil, false)
	skipped.NotStarted = &report.NotStarted{Entries: entries, Unlisted: true}
	skipped.Finish(time.Now(), nil, nil)
	return s.app.printReport(skipped, nil)
}

func (s *syncing) execute(ctx context.Context, only mirror.Retry, files reportFiles) error {
	progress := s.app.progress(ui.Options{Report: true})
	defer progress.Close()
	stop := func() {}
	defer func() { stop() }()
	var engine *transfer.Engine
	service := &mirror.Service{
		Load: func() (*config.Config, error) {
			if err := s.app.reloadConfiguration(); err != nil { // it may have changed while the run waited for the lock
				return nil, err
			}
			settings, err := s.settings("sync FILE")
			if err == nil {
				s.warn(settings)
			}
			return settings, err
		},
		Connect: func(*config.Config) (*mirror.Connection, error) {
			opener, err := s.app.opener()
			if err != nil {
				return nil, err
			}
			stop = reloadLimits(ctx, s.app, s.hangUps)
			return &mirror.Connection{
				Sources: opener, Catalog: s.app.reached, Created: s.app.memory(false), Requests: s.app.reached.Requests,
				Engine: func(selection *mirror.Selection) (_ *transfer.Engine, err error) {
					engine, err = s.app.engine(engineOptions{
						observe: progress.Observe, attachedTags: selection.AttachedTags, recheck: s.recheck,
						draining: selection.Draining, failFast: s.failFast,
					})
					return engine, err
				},
			}, nil
		},
		Only: only, FailFast: s.failFast, ForeignLayers: s.foreignLayers,
		Draining: s.app.Ending.Drainable(s.drain, func(signal signals.Error) {
			s.app.warn("received %s; finishing transfers in progress (up to %s); a second signal or Ctrl-C ends the run without a report", signal.Name(), config.FormatDuration(s.drain))
		}),
		Report: report.Options{Hints: s.app.hintFor, Text: ui.WarningText, Changes: !s.app.flags.json() && !files.whole() && !s.listsTags()},
	}
	run, ended := service.Run(ctx)
	if run == nil {
		return ended
	}
	if run.NotStarted != nil && errors.Is(ended, transfer.ErrDeferred) {
		ended = nil // the report says more
	}
	ended = errors.Join(s.app.failed(run, true, files.listed()), ended, s.app.Ending.Err())
	run.LimitedBy = limitedBy(s.app.limiter.Bounds(), &engine.Counters, time.Since(run.Run.Started))
	run.Run.ExitCode, run.Error = exitCode(ended), s.app.problemOf(ended)
	progress.Close()
	// The files come first: a reader of stdout that goes away ends the process.
	if err := files.write(run, s.app.flags.verbose); err != nil {
		ended = errors.Join(ended, err)
		run.Run.ExitCode, run.Error = exitCode(ended), s.app.problemOf(ended)
	}
	return errors.Join(s.print(run, files), ended)
}

// plan prints what a run would do.
func (s *syncing) plan(ctx context.Context, settings *config.Config, only mirror.Retry) error {
	s.warn(settings)
	selection, err := s.of(settings)
	if err != nil {
		return err
	}
	selection.Only = only
	_, err = planSelection(ctx, &s.choosing, selection, "plan")
	return err
}

// listsTags reports whether stdout lists each tag: with --verbose, unless the progress on stderr does.
func (s *syncing) listsTags() bool {
	mode := ui.Mode(s.app.flags.progress)
	return s.app.flags.verbose && (mode == ui.None || mode == ui.JSON)
}

// print writes the report to stdout.
func (s *syncing) print(run *report.Report, files reportFiles) error {
	detail, listed := ui.Summary, listedByVerbose
	if s.listsTags() {
		detail = ui.Everything
	}
	if files.whole() {
		listed = listedInReport
	}
	switch {
	case s.app.flags.json():
		return s.app.printJSON(run)
	case s.app.flags.quiet:
		return nil
	default:
		return ui.WriteReport(s.app.Stdout, run, detail, listed)
	}
}

// failed returns what --failed-only chooses; nil means everything.
func (s *syncing) failed() ([]report.Failed, error) {
	if s.failedOnly == "" {
		return nil, nil
	}
	file, err := os.Open(s.failedOnly)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--failed-only: %w", err)}
	}
	defer file.Close()
	undone, err := report.ReadUndone(file)
	if err != nil {
		var errs []error
		for _, err := range flatten(err) {
			errs = append(errs, &usageError{fmt.Errorf("--failed-only %s: %w", s.failedOnly, err)})
		}
		return nil, errors.Join(errs...)
	}
	if undone.NotStarted != nil && undone.NotStarted.Unlisted && len(undone.Failed) == 0 {
		return nil, usagef("--failed-only %s: the run of this report did not list all repositories; run without --failed-only", s.failedOnly)
	}
	if undone.NotStarted != nil {
		s.app.warn("%s: %s; run without --failed-only to copy them", s.failedOnly, ui.NotStarted(*undone.NotStarted))
	}
	failed, nothing := undone.Failed, "nothing"
	if len(s.only) > 0 {
		failed = slices.DeleteFunc(failed, func(f report.Failed) bool { return !slices.Contains(s.only, f.Entry) })
		nothing += " of " + strings.Join(s.only, ", ")
	}
	if len(failed) == 0 && !s.app.flags.quiet && !s.app.flags.json() {
		err = s.app.printLine("%s failed in %s", nothing, s.failedOnly)
	}
	return failed, err
}
