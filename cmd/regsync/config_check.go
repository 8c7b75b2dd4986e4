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

// checking is one run of the command.
type checking struct {
	choosing
	online bool
}

func newConfigCheckCommand(a *app) *cobra.Command {
	c := &checking{choosing: choosing{app: a}}
	cmd := &cobra.Command{
		Use:   "check -c FILE...",
		Short: "Find every mistake of a configuration",
		Long: `Find every mistake of a configuration, each with file, line and what to write instead. Nobody
is asked. With --online every registry is: whether it answers, whether the login is right,
whether the sources can be read and the destinations written to. For that an upload is
opened at each destination and cancelled; nothing is sent.`,
		Example: `  regsync config check -c regsync.yaml
  regsync config check -c regsync.yaml --online
  regsync config check -c regsync.yaml --online --only web -o json`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&c.online, "online", false, "also ask every registry; writes nothing")
	flags.StringArrayVar(&c.only, "only", nil, "`NAME` of an entry to check online alone; may be repeated")
	return cmd
}

func (c *checking) run(ctx context.Context) error {
	if len(c.app.flags.config) == 0 {
		return usagef("which configuration? regsync config check -c FILE")
	}
	settings, err := c.app.configuration()
	if err != nil {
		return errors.Join(c.mistakes(err), err)
	}
	result, failed := newCheckResult(settings), &failures{}
	if c.online {
		if failed, err = c.ask(ctx, result); err != nil {
			return err
		}
	}
	return errors.Join(c.print(result), c.app.told(failed), context.Cause(ctx))
}

// ask asks all places.
func (c *checking) ask(ctx context.Context, result *checkResult) (*failures, error) {
	selection, err := c.selection("config check")
	if err != nil {
		return nil, err
	}
	opener, err := c.app.opener()
	if err != nil {
		return nil, err
	}
	failed := &failures{}
	for found := range mirror.Preflight(ctx, selection, opener) {
		failed.add(found.Err)
		result.add(found, c.app.hintFor)
	}
	return failed, nil
}

// mistakes is the document of a configuration that does not load.
func (c *checking) mistakes(err error) error {
	found, ok := errors.AsType[*config.Errors](err)
	if !ok || !c.app.flags.json() {
		return nil
	}
	result := &checkResult{Schema: checkSchema, Problems: []checkProblem{}, Places: []checkPlace{}}
	for _, p := range found.Problems {
		result.Problems = append(result.Problems, checkProblem{
			File: p.File, Line: p.Line, Column: p.Column, Message: p.Message, Suggestion: p.Suggestion,
		})
	}
	return c.app.printJSON(result)
}

func (c *checking) print(r *checkResult) error {
	switch {
	case c.app.flags.json():
		return c.app.printJSON(r)
	case c.app.flags.quiet:
		return nil
	}
	var text strings.Builder
	for _, p := range r.Places {
		p.write(&text)
	}
	if !c.online { // else the choice of entries has told them
		for _, warning := range r.Warnings {
			c.app.warn("%s", warning)
		}
	}
	fmt.Fprintf(&text, "%s: %s\n", ui.Clean(strings.Join(c.app.flags.config, ", ")), r.sum())
	_, err := fmt.Fprint(c.app.Stdout, text.String())
	return err
}

// checkSchema names the format of the document, which is kept: fields are added, never
// changed or removed.
const checkSchema = "regsync.config-check/v1"

// checkResult is the document.
type checkResult struct {
	Schema       string         `json:"schema"`
	Entries      int            `json:"entries"`
	Sources      int            `json:"sources"`
	Destinations int            `json:"destinations"`
	Problems     []checkProblem `json:"problems"`
	Warnings     []string       `json:"warnings,omitempty"`
	// Places are those that were asked; empty without --online.
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

func newCheckResult(settings *config.Config) *checkResult {
	r := &checkResult{
		Schema: checkSchema, Entries: len(settings.Entries), Warnings: settings.Warnings,
		Problems: []checkProblem{}, Places: []checkPlace{},
	}
	for _, e := range settings.Entries {
		r.Sources += len(e.Sources)
		r.Destinations += len(e.Destinations)
	}
	return r
}

func (r *checkResult) add(c mirror.Check, hints report.Hints) {
	r.Places = append(r.Places, checkPlace{
		Side: c.Side, Ref: ui.Clean(c.Reference.String()), Entries: c.Entries, OK: c.Err == nil,
		Error: report.NewProblem(c.Err, hints), familiar: ui.Clean(c.Reference.Familiar()),
	})
}

func (p checkPlace) write(out *strings.Builder) {
	if p.OK {
		fmt.Fprintf(out, "ok      %-11s  %s\n", p.Side, p.familiar)
		return
	}
	cause := strings.TrimPrefix(p.Error.Message, string(p.Side)+" "+p.familiar+": ")
	fmt.Fprintf(out, "failed  %-11s  %s (%s)\n  %s\n", p.Side, p.familiar, ui.Clean(strings.Join(p.Entries, ", ")), ui.Clean(cause))
	if p.Error.Hint != "" {
		fmt.Fprintf(out, "  hint: %s\n", ui.Clean(p.Error.Hint))
	}
}

func (r *checkResult) sum() string {
	text := fmt.Sprintf("no mistakes in %d entries", r.Entries)
	if r.Entries == 1 {
		text = "no mistake in 1 entry"
	}
	if len(r.Places) == 0 {
		return text
	}
	failed := 0
	for _, p := range r.Places {
		if !p.OK {
			failed++
		}
	}
	return fmt.Sprintf("%s; %d of %d places can be used", text, len(r.Places)-failed, len(r.Places))
}
