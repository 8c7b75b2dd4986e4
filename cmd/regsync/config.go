package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

func newConfigCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Validate configurations and print their schema",
		Example: `  regsync config check regsync.yaml
  regsync config schema > regsync.schema.json`,
		Args: cobra.ArbitraryArgs, // else the error has the words of cobra
		RunE: runWithoutCommand,
	}
	cmd.AddCommand(newConfigCheckCommand(a), newConfigSchemaCommand(a))
	return cmd
}

func newConfigSchemaCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of configurations",
		Long: `Print the JSON Schema of configurations, for editors. With the YAML language server, the
first line of a configuration names the schema:

  # yaml-language-server: $schema=regsync.schema.json

The schema covers keys and types. Rules that involve several keys are checked by
regsync config check.`,
		Example: `  regsync config schema > regsync.schema.json`,
		Args:    arguments(0, 0),
		RunE:    func(*cobra.Command, []string) error { return a.printJSON(config.Schema()) },
	}
}

func newConfigCheckCommand(a *app) *cobra.Command {
	c := &choosing{app: a}
	var online bool
	cmd := &cobra.Command{
		Use:   "check [FILE...]",
		Short: "Report every mistake in a configuration",
		Long: `Report every mistake in a configuration, with its file, line and column, and a correction
if one is known. FILE is the same as -c FILE. Without a file, the default configuration is
checked.

Without --online, no request is sent. With --online, each source and destination is checked:
whether its registry can be reached and accepts the login, and whether the source can be read or
the destination written to. To test write access, an upload is started and cancelled; no data is
sent.`,
		Example: `  regsync config check regsync.yaml
  regsync config check registries.yaml images.yaml
  regsync config check regsync.yaml --online --only web -o json`,
		Args: configFiles,
		RunE: func(cmd *cobra.Command, _ []string) error { return checkConfig(cmd.Context(), c, online) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&online, "online", false, "also check that every registry can be used; writes nothing")
	flags.StringArrayVar(&c.only, "only", nil, "check only the entry `NAME` online; may be repeated")
	return cmd
}

func checkConfig(ctx context.Context, c *choosing, online bool) error {
	a := c.app
	settings, err := a.configuration()
	files := a.flags.config
	if len(files) == 0 {
		if files = []string{a.defaulted}; a.defaulted == "" {
			return errNoConfig("config check FILE")
		}
	}
	result := &checkResult{Schema: "regsync.config-check/v1", Files: files, Problems: []checkProblem{}, Places: []checkPlace{}}
	if mistakes, ok := errors.AsType[*config.Errors](err); ok && a.flags.json() {
		for _, p := range mistakes.Problems {
			result.Problems = append(result.Problems, checkProblem{p.File, p.Line, p.Column, p.Message, p.Suggestion})
		}
		return errors.Join(a.printJSON(result), err)
	}
	if err != nil {
		return err
	}
	result.Registries, result.Entries, result.Warnings = len(settings.Registries), len(settings.Entries), settings.Warnings
	for _, e := range settings.Entries {
		result.Sources += len(e.Sources)
		result.Destinations += len(e.Destinations)
	}
	result.isDefault = a.defaulted != ""
	if !online {
		return printCheck(a, result, true)
	}
	if result.Entries == 0 {
		return usagef("%s: no `sync` entries, so there are no sources and destinations to check online", strings.Join(files, ", "))
	}
	selection, err := c.selection("config check FILE")
	if err != nil {
		return err
	}
	opener, err := a.opener()
	if err != nil {
		return err
	}
	failed := &failures{items: "checks"}
	for found := range mirror.Preflight(ctx, selection, opener) {
		failed.add(found.Err)
		result.Places = append(result.Places, checkPlace{
			Side: found.Side, Ref: safe.Clean(found.Reference.String()), Entries: found.Entries, OK: found.Err == nil,
			Error: report.NewProblem(found.Err, a.hintFor), familiar: safe.Clean(found.Reference.Familiar()),
		})
	}
	return errors.Join(printCheck(a, result, false), a.told(failed), context.Cause(ctx)) // the selection has printed the warnings
}

// checkResult is the document of config check. Fields may be added, but none is changed or removed.
type checkResult struct {
	Schema string `json:"schema"`
	// Files are the configuration files.
	Files        []string       `json:"files"`
	Registries   int            `json:"registries"`
	Entries      int            `json:"entries"`
	Sources      int            `json:"sources"`
	Destinations int            `json:"destinations"`
	Problems     []checkProblem `json:"problems"`
	Warnings     []string       `json:"warnings,omitempty"`
	// Places are those that were checked; empty without --online.
	Places []checkPlace `json:"places"`

	isDefault bool
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
		entries := safe.Clean(strings.Join(p.Entries, ", "))
		fmt.Fprintf(&text, "failed  %-11s  %s (%s)\n  %s\n", p.Side, p.familiar, entries, safe.Clean(cause))
		if p.Error.Hint != "" {
			fmt.Fprintf(&text, "  hint: %s\n", safe.Clean(p.Error.Hint))
		}
	}
	if warnings {
		for _, warning := range r.Warnings {
			a.warn("%s", warning)
		}
	}
	checked := counted(r.Entries, "entry", "entries")
	if r.isDefault {
		checked = counted(r.Registries, "registry", "registries") + " (default configuration)"
	}
	if len(r.Places) > 0 {
		checked += fmt.Sprintf("; %d of %d sources and destinations can be used", usable, len(r.Places))
	}
	fmt.Fprintf(&text, "%s: no mistakes in %s\n", safe.Clean(strings.Join(r.Files, ", ")), checked)
	_, err := fmt.Fprint(a.Stdout, text.String())
	return err
}

func counted(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}
