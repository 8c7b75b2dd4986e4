package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/mirror"
)

func newExplainCommand(a *app) *cobra.Command {
	c := &choosing{app: a}
	cmd := &cobra.Command{
		Use:   "explain -c FILE... REF",
		Short: "Tell why a tag is copied, or is not",
		Long: `Tell why a tag is copied, or is not: which entries name it, by which of their rules it is
taken or left out, what the source and each destination have, and what a run would do.

REF is an image at a source or at a destination, or a repository, of which all tags are
explained. It is only asked and listed, as little as the question needs.`,
		Example: `  regsync explain -c regsync.yaml nginx:1.29-perl
  regsync explain -c regsync.yaml nginx
  regsync explain -c regsync.yaml registry.example/web/nginx:1.29
  regsync explain -c regsync.yaml -o json redis:7.4`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return explain(cmd.Context(), c, args[0]) },
	}
	c.bind(cmd.Flags())
	return cmd
}

func explain(ctx context.Context, c *choosing, name string) error {
	ref, err := parseRepository(name)
	if err != nil {
		if ref, err = parseReference(name); err != nil {
			return err
		}
	}
	selection, err := c.selection("explain")
	if err != nil {
		return err
	}
	engine, err := planner(c.app, engineOptions{recheck: c.recheck})
	if err != nil {
		return err
	}
	found, ended := mirror.Explain(ctx, engine, selection, ref)
	explanation := ui.NewExplanation(ref.Familiar(), found, hintFor)
	if c.app.flags.json() {
		err = explanation.WriteJSON(c.app.Stdout)
	} else {
		err = explanation.WriteText(c.app.Stdout, strings.Join(c.app.flags.config, ", "))
	}
	return errors.Join(err, c.app.told(unanswered(found.Findings)), ended)
}

// unanswered are the sides that could not be asked.
func unanswered(findings []mirror.Finding) *failures {
	f := &failures{}
	for _, finding := range findings {
		if finding.Err != nil {
			f.add(finding.Err)
			continue
		}
		f.add(finding.Source.Err)
		for _, to := range finding.Copies {
			f.add(to.Err)
		}
	}
	return f
}
