package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/report"
)

func newDiffCommand(a *app) *cobra.Command {
	c := &choosing{app: a}
	cmd := &cobra.Command{
		Use:   "diff [FILE...]",
		Short: "Show what sync would change",
		Long: `Compare the source and the destination of each image, and print what sync would do. Neither
is changed. diff compares tags, digests, signatures and other referrers, but does not check
that each blob still exists. Immutable tags that were copied before are checked only with
--recheck.

Each line begins with a sign: "+" a new tag; "~" a tag that moves, with the old and the new
digest; "=" an up-to-date tag, listed only if there are referrers to copy, or with --verbose;
"!" a tag that failed, or that a rule of the configuration skips. Sizes are upper limits:
blobs that exist already, or can be mounted, are not sent.

The exit code is 4 if there is something to copy. Skipped tags do not count.`,
		Example: `  regsync diff regsync.yaml
  regsync diff regsync.yaml --only web -v
  regsync diff regsync.yaml -q; test $? -eq 4 && echo "the mirror is behind"
  regsync diff regsync.yaml -o json`,
		Args: configFiles,
		RunE: func(cmd *cobra.Command, _ []string) error { return diff(cmd.Context(), c) },
	}
	c.bind(cmd.Flags())
	return declare(a, cmd, traits{patient: true, report: true})
}

func diff(ctx context.Context, c *choosing) error {
	selection, err := c.selection("diff FILE")
	if err != nil {
		return err
	}
	plan, err := planSelection(ctx, c, selection, "diff")
	if err == nil && plan.Counts.Pending() {
		return errDifferent
	}
	return err
}

// planSelection prints what a run would do. The error is that of an incomplete plan. The plan is nil if it could not start.
func planSelection(ctx context.Context, c *choosing, selection *mirror.Selection, command string) (*report.Report, error) {
	engine, err := planner(c.app, engineOptions{attachedTags: selection.AttachedTags, recheck: c.recheck})
	if err != nil {
		return nil, err
	}
	flags := &c.app.flags
	plan := c.app.newReport(command, selection.Config.EntryNames(), !flags.json() && !flags.verbose)
	planned(ctx, c.app, mirror.Plan(ctx, engine, selection), plan)
	return plan, c.app.printPlan(ctx, plan, flags.verbose)
}
