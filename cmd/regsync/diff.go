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
		Use:   "diff FILE...",
		Short: "Compare what a configuration says with what is there",
		Long: `Ask both sides what they have, and print what sync would do: it compares tags, digests,
signatures and other referrers, and not whether every blob below them is still there. It
only reads: registries get no request but GET and HEAD. Immutable tags that were copied
before are checked only with --recheck.

"+" is added, "~" is moved (with the old and the new digest), "=" is unchanged and only
counted (all with --verbose) unless there are referrers to copy, "!" is skipped by a rule of
the configuration, or failed. Sizes are upper bounds: a blob that is already present, or can be mounted, is not sent.

The exit code is 4 if there is something to do. What a rule skips does not count.`,
		Example: `  regsync diff -c regsync.yaml
  regsync diff -c regsync.yaml --only web -v
  regsync diff -c regsync.yaml -q; test $? -eq 4 && echo "the mirror is behind"
  regsync diff -c regsync.yaml -o json`,
		Args: configFiles,
		RunE: func(cmd *cobra.Command, _ []string) error { return diff(cmd.Context(), c) },
	}
	c.bind(cmd.Flags())
	return cmd
}

func diff(ctx context.Context, c *choosing) error {
	selection, err := c.selection("diff")
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
