package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/transfer"
)

// listingPatience is how long the images behind a repository wait for its tags.
const listingPatience = 5 * time.Second

// syncing is one run of the command.
type syncing struct {
	app           *app
	platforms     platformFlags
	foreignLayers bool
	only          []string
	dryRun        bool
}

func newSyncCommand(a *app) *cobra.Command {
	s := &syncing{app: a}
	cmd := &cobra.Command{
		Use:   "sync -c FILE...",
		Short: "Mirror what a configuration says",
		Long: `Copy all images that a configuration names, as one run: each blob leaves its source once
and enters each registry once, however many images need it. What is right already costs a
question, and a tag moves only after everything under it has arrived. One image that fails
stops no other.

Several files are united; "-" is standard input. The configuration is described in
docs/configuration.md, and there are examples in the folder configs.`,
		Example: `  regsync sync -c regsync.yaml --dry-run
  regsync sync -c regsync.yaml
  regsync sync -c registries.yaml -c images.yaml --only web -o json
  generate-config | regsync sync -c - --quiet`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&s.dryRun, "dry-run", false, "print what would be done, and only read")
	flags.StringArrayVar(&s.only, "only", nil, "`NAME` of an entry to do alone; may be repeated")
	flags.BoolVar(&s.foreignLayers, "foreign-layers", false, "also copy foreign (non-distributable) layers")
	s.platforms.bind(flags, "as configured")
	return cmd
}

func (s *syncing) run(ctx context.Context) error {
	settings, err := s.settings()
	if err != nil {
		return err
	}
	for _, text := range settings.Warnings {
		s.app.warn("%s", text)
	}
	sources, err := s.app.opener()
	if err != nil {
		return err
	}
	selection := &mirror.Selection{Config: settings, Sources: sources, ForeignLayers: s.foreignLayers}
	if s.dryRun {
		return s.plan(ctx, selection)
	}
	selection.Patience = listingPatience
	return s.execute(ctx, selection)
}

// settings is the configuration, as far as it is wanted.
func (s *syncing) settings() (*config.Config, error) {
	if len(s.app.flags.config) == 0 {
		return nil, usagef("which configuration? regsync sync -c FILE")
	}
	settings, err := s.app.configuration()
	if err != nil {
		return nil, err
	}
	if len(settings.Entries) == 0 {
		return nil, usagef("%s: there is no `sync`, so nothing is to be copied", strings.Join(s.app.flags.config, ", "))
	}
	if len(s.only) > 0 {
		if settings, err = onlyEntries(settings, s.only); err != nil {
			return nil, err
		}
	}
	return s.withPlatforms(settings)
}

func onlyEntries(settings *config.Config, names []string) (*config.Config, error) {
	only, missing := settings.Only(names)
	if len(missing) == 0 {
		return only, nil
	}
	known := make([]string, len(settings.Entries))
	for i, e := range settings.Entries {
		known[i] = e.Name
	}
	return nil, usagef("--only: no entry is called %q; there are: %s", missing[0], strings.Join(known, ", "))
}

// withPlatforms puts the platforms of the command line above those of the configuration.
func (s *syncing) withPlatforms(settings *config.Config) (*config.Config, error) {
	platforms, err := s.platforms.selected(nil)
	if err != nil || platforms == nil && !s.platforms.all {
		return settings, err
	}
	changed := *settings
	changed.Entries = make([]config.Entry, len(settings.Entries))
	for i, e := range settings.Entries {
		e.Platforms = platforms
		changed.Entries[i] = e
	}
	return &changed, nil
}

func (s *syncing) plan(ctx context.Context, selection *mirror.Selection) error {
	engine, err := s.app.planner()
	if err != nil {
		return err
	}
	plan, failed := planned(mirror.Plan(ctx, engine, selection))
	switch {
	case s.app.flags.json():
		err = plan.WriteJSON(s.app.stdout)
	case !s.app.flags.quiet:
		err = plan.WriteText(s.app.stdout, s.app.flags.verbose)
	}
	return errors.Join(err, s.told(failed), context.Cause(ctx))
}

func (s *syncing) execute(ctx context.Context, selection *mirror.Selection) error {
	started := time.Now()
	report := ui.NewReport(started.UTC().Format(runID), started, hintFor)
	progress := s.app.progress(ui.Copying, 0)
	defer progress.Close()
	engine, err := s.app.engine(engineOptions{observe: progress.Observe})
	if err != nil {
		return err
	}
	outcome, ended := mirror.Run(ctx, engine, selection, func(r *transfer.Result) { report.Add(r) })
	failed := failuresOf(outcome)
	report.Finish(time.Now(), exitCode(errors.Join(failed.err(), ended)), &engine.Counters, s.app.reached.Requests())
	progress.Close()
	switch {
	case s.app.flags.json():
		report.Schema = "regsync.sync/v1"
		err = report.WriteJSON(s.app.stdout)
	case !s.app.flags.quiet:
		err = report.WriteText(s.app.stdout)
	}
	return errors.Join(err, s.told(failed), ended)
}

func failuresOf(outcome *mirror.Outcome) *failures {
	f := &failures{fine: outcome.Right()}
	for _, entry := range outcome.Entries {
		for _, failure := range entry.Failures {
			f.add(ofEntry(entry.Name, failure.Source, failure.Destination, failure.Err))
		}
	}
	return f
}

// told is the error of failures that stdout has told one by one, unless --quiet kept it
// from that.
func (s *syncing) told(f *failures) error {
	if len(f.errs) == 0 || s.app.flags.quiet && !s.app.flags.json() {
		return f.err()
	}
	return &toldError{f}
}

// toldError sums failures up that were told already.
type toldError struct{ failures *failures }

func (e *toldError) Error() string {
	n := len(e.failures.errs)
	return fmt.Sprintf("%d of %d failed; the causes are above", n, n+e.failures.fine)
}

// As gives the failures to whoever asks for their exit code, but not for their hints.
func (e *toldError) As(target any) bool {
	f, ok := target.(**failures)
	if ok {
		*f = e.failures
	}
	return ok
}
