package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/transfer"
)

// syncing is one run of the command.
type syncing struct {
	choosing
	dryRun     bool
	reports    []string
	failedOnly string
	failFast   bool
	lock       runLock
	drain      time.Duration
	hangUps    <-chan os.Signal // nil if SIGHUP does not reload the configuration
}

func newSyncCommand(a *app) *cobra.Command {
	s := &syncing{choosing: choosing{app: a}}
	cmd := &cobra.Command{
		Use:   "sync -c FILE...",
		Short: "Mirror what a configuration says",
		Long: `Copy all images that a configuration names, as one run: each blob leaves its source once
and enters each registry once, however many images need it. What is right already costs a
question, and a tag moves only after everything under it has arrived. One image that fails
stops no other.

Several files are united; "-" is standard input. The configuration is described in
docs/configuration.md, and there are examples in the folder configs.

Two runs of the same configuration on a host do not overlap, whatever their --state: the
second one waits (--lock-wait), or leaves it at that with --skip-if-running.

SIGTERM drains the run: the blobs under way arrive, up to --drain, and the next run brings the
rest. A second signal cancels them. So does SIGHUP, except where it reloads the limits of the
configuration: without a terminal, and with configurations that are files. SIGINT (Ctrl-C) cancels at once. A run that is cancelled
writes its report within two seconds; one signal more in that time ends it without one.

The report comes to stdout, and into the files of --report: as JSON (.json), as JUnit XML
(.xml) or as text (.txt). Every run that began writes them, also after failures, and after
signals as said above; one that was skipped leaves them as they are. --failed-only takes such a
report in JSON, or what -o json has printed.`,
		Example: `  regsync sync -c regsync.yaml --dry-run
  regsync sync -c regsync.yaml
  regsync sync -c registries.yaml -c images.yaml --only web -o json
  regsync sync -c regsync.yaml -q --report /var/log/regsync.json --report junit.xml
  regsync sync -c regsync.yaml --failed-only /var/log/regsync.json
  regsync sync -c regsync.yaml -q --skip-if-running
  generate-config | regsync sync -c - --quiet`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&s.dryRun, "dry-run", false, "only read, and print what would be done")
	flags.StringArrayVar(&s.reports, "report", nil, "`FILE` that the report is written to, as .json, .xml (JUnit) or .txt; may be repeated")
	flags.StringVar(&s.failedOnly, "failed-only", "", "do only what failed or was deferred by the report `FILE`")
	flags.BoolVar(&s.failFast, "fail-fast", false, "end the run at the first failure")
	flags.DurationVar(&s.drain, "drain", 20*time.Second, "how long blobs under way may take to arrive after SIGTERM")
	s.lock.bind(flags)
	s.bind(flags)
	return cmd
}

func (s *syncing) run(ctx context.Context) error {
	if s.dryRun && len(s.reports) > 0 {
		return usagef("--report is of a run, and --dry-run makes none; -o json prints the plan")
	}
	if err := s.lock.check(); err != nil {
		return err
	}
	if !s.dryRun {
		s.hangUps = s.app.catchHangUps()
	}
	selection, err := s.selection("sync")
	if err != nil {
		return err
	}
	if selection.Only, err = s.failed(); err != nil {
		return err
	}
	if s.dryRun {
		_, err := s.plan(ctx, selection, ui.PlanSchema)
		return err
	}
	files, err := checkReports(s.reports)
	if err != nil {
		return err
	}
	selection.FailFast = s.failFast
	err = s.lock.exclusively(ctx, s.app, func() error { return s.execute(ctx, selection, files) })
	if held, ok := errors.AsType[*heldError](err); ok && s.lock.skip {
		return s.leaveTo(held, len(selection.Config.Entries))
	}
	return err
}

// leaveTo leaves all entries to the run that is going on. What belongs to that one, as the
// files of --report, stays as it is.
func (s *syncing) leaveTo(held *heldError, entries int) error {
	s.app.insist("%v: skipped", held)
	if !s.app.flags.json() {
		return nil
	}
	now := time.Now()
	report := ui.NewReport(runID(now), now, ui.ReportOptions{})
	report.NotBegun = &ui.ReportRest{Entries: entries, Unlisted: true}
	report.Finish(now, exitDone, &transfer.Counters{}, nil)
	return s.print(report)
}

func (s *syncing) execute(ctx context.Context, selection *mirror.Selection, files reportFiles) error {
	started := time.Now()
	report := ui.NewReport(runID(started), started, ui.ReportOptions{
		Hints: hintFor, Entries: entryNames(selection.Config), Changes: !s.app.flags.json() && !files.whole(),
	})
	progress := s.app.progress(ui.Copying, 0)
	defer progress.Close()
	selection.Draining = s.app.ending.drainable(s.drain, s.draining)
	engine, err := s.app.engine(engineOptions{
		observe: progress.Observe, attachedTags: selection.AttachedTags, recheck: s.recheck, draining: selection.Draining,
		failFast: s.failFast,
	})
	if err != nil {
		return err
	}
	stop := s.app.reloadLimits(ctx, s.hangUps)
	defer stop()
	selection.Created = s.app.memory(false)
	failed := &failures{}
	outcome, ended := mirror.Run(ctx, engine, selection, func(r *transfer.Result) {
		report.Add(r)
		failed.addImage(r)
	})
	failed.order(entryNames(selection.Config))
	if report.NotBegun = notBegun(outcome); report.NotBegun != nil {
		failed.addRest(*report.NotBegun)
		ended = leaveOut(ended, transfer.ErrDeferred) // it says less
	}
	ended = errors.Join(ended, s.app.ending.err())
	report.LimitedBy = limitedBy(s.app.limiter.Bounds(), &engine.Counters, time.Since(started))
	report.Finish(time.Now(), exitCode(errors.Join(failed.err(), ended)), &engine.Counters, s.app.reached.Requests())
	progress.Close()
	// The files come first: a reader of stdout that goes away ends the process.
	err = errors.Join(files.write(report, s.app.flags.verbose), s.print(report))
	return errors.Join(err, s.app.told(failed), ended)
}

// draining tells why nothing new begins.
func (s *syncing) draining(signal error) {
	s.app.warn("%v: nothing new begins; what is under way has %v to arrive", signal, s.drain)
}

// leaveOut is err, or nil where it is the one that says nothing more.
func leaveOut(err, known error) error {
	if errors.Is(err, known) {
		return nil
	}
	return err
}

// print writes the report to stdout.
func (s *syncing) print(report *ui.Report) error {
	switch {
	case s.app.flags.json():
		return report.WriteResult(s.app.stdout, ui.SyncSchema)
	case s.app.flags.quiet:
		return nil
	default:
		return report.WriteText(s.app.stdout, s.app.flags.verbose)
	}
}

// notBegun is what an early end of the run has left out; nil where nothing was.
func notBegun(outcome *mirror.Outcome) *ui.ReportRest {
	var rest ui.ReportRest
	for _, entry := range outcome.Entries {
		if entry.NotBegun > 0 || entry.Unlisted {
			rest.Entries++
			rest.Tags += entry.NotBegun
			rest.Unlisted = rest.Unlisted || entry.Unlisted
		}
	}
	if rest.Entries == 0 {
		return nil
	}
	return &rest
}
