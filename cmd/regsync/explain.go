package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
)

func newExplainCommand(a *app) *cobra.Command {
	c := &choosing{app: a}
	cmd := &cobra.Command{
		Use:   "explain [FILE...] REF",
		Short: "Explain why a tag is copied or not",
		Long: `Explain why a tag is copied or not: which entries match it, which of their rules select or
exclude it, what the source and each destination have, and what a run would do.

REF is an image at a source or at a destination. If REF is a repository, all its tags are
explained. explain only reads, with as few requests as possible. FILE is the same as -c FILE.`,
		Example: `  regsync explain regsync.yaml nginx:1.29-perl
  regsync explain regsync.yaml nginx
  regsync explain regsync.yaml registry.example/web/nginx:1.29
  regsync explain regsync.yaml -o json redis:7.4`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := arguments(1, -1)(cmd, args); err != nil {
				return err
			}
			return configFiles(cmd, args[:len(args)-1])
		},
		RunE: func(cmd *cobra.Command, args []string) error { return explain(cmd.Context(), c, args[len(args)-1]) },
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
	if ref.Transport == reference.Layout { // the paths of a configuration are absolute
		if ref.Path, err = filepath.Abs(ref.Path); err != nil {
			return err
		}
	}
	selection, err := c.selection("explain FILE REF")
	if err != nil {
		return err
	}
	engine, err := planner(c.app, engineOptions{recheck: c.recheck})
	if err != nil {
		return err
	}
	found, ended := mirror.Explain(ctx, engine, selection, ref, report.Options{Text: ui.WarningText})
	unanswered := &failures{items: "entries"}
	for _, errs := range found.Describe(c.app.hintFor) {
		unanswered.add(errs...)
	}
	if c.app.flags.json() {
		err = c.app.printJSON(found)
	} else {
		err = ui.WriteExplanation(c.app.Stdout, found, strings.Join(c.app.flags.config, ", "))
	}
	return errors.Join(err, c.app.told(unanswered), ended)
}
