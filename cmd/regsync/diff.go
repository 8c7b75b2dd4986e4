package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/mirror"
)

func newDiffCommand(a *app) *cobra.Command {
	c := &choosing{app: a}
	cmd := &cobra.Command{
		Use:   "diff -c FILE...",
		Short: "Compare what a configuration says with what is there",
		Long: `Ask both sides what they have, and print what sync would do: it compares tags, digests,
signatures and other referrers, and not whether every blob below them is still there. It
only reads: registries get no request but GET and HEAD. Immutable tags that were copied
before are asked for with --recheck only.

"+" is added, "~" is moved (with the old and the new digest), "=" is right already and only
counted (all with --verbose) unless there are referrers to copy, "!" is refused by a rule of the configuration, or cannot be
done. Sizes are at most: a blob that is there already, or can be mounted, is not sent.

The exit code is 4 where there is something to do. What a rule refuses is not.`,
		Example: `  regsync diff -c regsync.yaml
  regsync diff -c regsync.yaml --only web -v
  regsync diff -c regsync.yaml -q; test $? -eq 4 && echo "the mirror is behind"
  regsync diff -c regsync.yaml -o json`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.diff(cmd.Context()) },
	}
	c.bind(cmd.Flags())
	return cmd
}

func (c *choosing) diff(ctx context.Context) error {
	selection, err := c.selection("diff")
	if err != nil {
		return err
	}
	plan, err := c.plan(ctx, selection, ui.DiffSchema)
	if err == nil && plan.Counts.Pending() {
		return errDifferent
	}
	return err
}

// plan prints what a run would do. The error is one of a plan that is not whole; the plan is
// there in any case but that nothing could begin.
func (c *choosing) plan(ctx context.Context, selection *mirror.Selection, schema string) (*ui.Plan, error) {
	engine, err := c.app.planner(engineOptions{attachedTags: selection.AttachedTags, recheck: c.recheck})
	if err != nil {
		return nil, err
	}
	selection.Created = c.app.memory(true)
	flags := &c.app.flags
	plan, failed := planned(ctx, mirror.Plan(ctx, engine, selection), ui.PlanOptions{
		Schema: schema, Entries: entryNames(selection.Config), Changes: !flags.json() && !flags.verbose,
	})
	switch {
	case flags.json():
		err = plan.WriteJSON(c.app.stdout)
	case !flags.quiet:
		err = plan.WriteText(c.app.stdout, flags.verbose)
	}
	return plan, errors.Join(err, c.app.told(failed), context.Cause(ctx))
}
