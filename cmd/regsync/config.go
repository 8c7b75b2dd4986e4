package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

func newConfigCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check configurations, and what they are made of",
		Args:  cobra.ArbitraryArgs, // else the error has the words of cobra
		RunE:  runWithoutCommand,
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(newConfigCheckCommand(a), newConfigSchemaCommand(a))
	return cmd
}

func newConfigSchemaCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of configurations",
		Long: `Print the JSON Schema of configurations, for editors: with the YAML language server, put

  # yaml-language-server: $schema=regsync.schema.json

on the first line of a configuration. The schema covers keys and types; rules that
involve several keys are checked by regsync config check.`,
		Example: `  regsync config schema > regsync.schema.json`,
		Args:    arguments(0, 0),
		RunE:    func(*cobra.Command, []string) error { return a.printJSON(config.Schema()) },
	}
}

func newConfigCheckCommand(a *app) *cobra.Command {
	c := &choosing{app: a}
	var online bool
	cmd := &cobra.Command{
		Use:   "check -c FILE...",
		Short: "Find every mistake of a configuration",
		Long: `Find every mistake of a configuration, each with file, line and what to write instead.

Without --online no requests are made. With it, every registry is checked: that it answers
and accepts the login, that the sources can be read and the destinations written to. For the
latter, an upload is opened at each destination and cancelled; nothing is sent.`,
		Example: `  regsync config check -c regsync.yaml
  regsync config check -c regsync.yaml --online
  regsync config check -c regsync.yaml --online --only web -o json`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return checkConfig(cmd.Context(), c, online) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&online, "online", false, "also check every registry; writes nothing")
	flags.StringArrayVar(&c.only, "only", nil, "`NAME` of an entry to check online alone; may be repeated")
	return cmd
}

func checkConfig(ctx context.Context, c *choosing, online bool) error {
	a := c.app
	if len(a.flags.config) == 0 {
		return usagef("--config is required: regsync config check -c FILE")
	}
	settings, err := a.configuration()
	result := &checkResult{Schema: "regsync.config-check/v1", Problems: []checkProblem{}, Places: []checkPlace{}}
	if mistakes, ok := errors.AsType[*config.Errors](err); ok && a.flags.json() {
		for _, p := range mistakes.Problems {
			result.Problems = append(result.Problems, checkProblem{p.File, p.Line, p.Column, p.Message, p.Suggestion})
		}
		return errors.Join(a.printJSON(result), err)
	}
	if err != nil {
		return err
	}
	result.Entries, result.Warnings = len(settings.Entries), settings.Warnings
	for _, e := range settings.Entries {
		result.Sources += len(e.Sources)
		result.Destinations += len(e.Destinations)
	}
	if !online {
		return printCheck(a, result, true)
	}
	selection, err := c.selection("config check")
	if err != nil {
		return err
	}
	opener, err := a.opener()
	if err != nil {
		return err
	}
	var failed failures
	for found := range mirror.Preflight(ctx, selection, opener) {
		failed.add(found.Err)
		result.Places = append(result.Places, checkPlace{
			Side: found.Side, Ref: ui.Clean(found.Reference.String()), Entries: found.Entries, OK: found.Err == nil,
			Error: report.NewProblem(found.Err, a.hintFor), familiar: ui.Clean(found.Reference.Familiar()),
		})
	}
	return errors.Join(printCheck(a, result, false), a.told(&failed), context.Cause(ctx)) // the selection has printed the warnings
}

// checkResult is the document of config check. Fields may be added, but none is changed or removed.
type checkResult struct {
	Schema       string         `json:"schema"`
	Entries      int            `json:"entries"`
	Sources      int            `json:"sources"`
	Destinations int            `json:"destinations"`
	Problems     []checkProblem `json:"problems"`
	Warnings     []string       `json:"warnings,omitempty"`
	// Places are those that were checked; empty without --online.
	Places []checkPlace `json:"places"`
}

type checkProblem struct {
	File       string `json:"file"`
	Line       int    `json:"line"`
	Column     int    `json:"column"`
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitempty"`
}

type checkPlace struct {
	Side    transfer.Side   `json:"side"`
	Ref     string          `json:"ref"`
	Entries []string        `json:"entries"`
	OK      bool            `json:"ok"`
	Error   *report.Problem `json:"error,omitempty"`

	familiar string
}

func printCheck(a *app, r *checkResult, warnings bool) error {
	switch {
	case a.flags.json():
		return a.printJSON(r)
	case a.flags.quiet:
		return nil
	}
	var text strings.Builder
	usable := 0
	for _, p := range r.Places {
		if p.OK {
			usable++
			fmt.Fprintf(&text, "ok      %-11s  %s\n", p.Side, p.familiar)
			continue
		}
		cause := strings.TrimPrefix(p.Error.Message, string(p.Side)+" "+p.familiar+": ")
		entries := ui.Clean(strings.Join(p.Entries, ", "))
		fmt.Fprintf(&text, "failed  %-11s  %s (%s)\n  %s\n", p.Side, p.familiar, entries, ui.Clean(cause))
		if p.Error.Hint != "" {
			fmt.Fprintf(&text, "  hint: %s\n", ui.Clean(p.Error.Hint))
		}
	}
	if warnings {
		for _, warning := range r.Warnings {
			a.warn("%s", warning)
		}
	}
	sum := fmt.Sprintf("no mistakes in %d entries", r.Entries)
	if r.Entries == 1 {
		sum = "no mistake in 1 entry"
	}
	if len(r.Places) > 0 {
		sum += fmt.Sprintf("; %d of %d places can be used", usable, len(r.Places))
	}
	fmt.Fprintf(&text, "%s: %s\n", ui.Clean(strings.Join(a.flags.config, ", ")), sum)
	_, err := fmt.Fprint(a.Stdout, text.String())
	return err
}
