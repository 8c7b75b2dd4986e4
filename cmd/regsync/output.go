package main

import (
	"fmt"
	"io"
	"iter"
	"log/slog"
	"strings"

	"github.com/regsync/regsync/internal/ui"
)

// printJSON writes the one document of --output json.
func (a *app) printJSON(document any) error { return ui.WriteJSON(a.stdout, document) }

// printLines writes the result of a command that is a list.
func (a *app) printLines(lines iter.Seq[string]) error {
	for line := range lines {
		if err := a.printLine("%s", line); err != nil {
			return err
		}
	}
	return nil
}

// printLine writes one line of a result, safe to print.
func (a *app) printLine(format string, args ...any) error {
	_, err := fmt.Fprintln(a.stdout, ui.Clean(fmt.Sprintf(format, args...)))
	return err
}

// logger writes to stderr under --verbose, and nothing otherwise.
func (a *app) logger() *slog.Logger {
	if !a.flags.verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(conversation{a}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// remarks are what libraries log by themselves: net/http does where a server says more than
// it was asked. It helps nobody but who debugs, and cron must not mail it.
type remarks struct{ *app }

var _ io.Writer = remarks{}

func (r remarks) Write(line []byte) (int, error) {
	text, _, _ := strings.Cut(string(line), " starting with ") // then come bytes of the server, which may hold secrets
	r.logger().Debug(strings.TrimSpace(text))
	return len(line), nil
}

// warn tells a person something that stops nothing.
func (a *app) warn(format string, args ...any) {
	if !a.flags.quiet {
		a.insist(format, args...)
	}
}

// insist warns also under --quiet: of trouble that cron is to mail.
func (a *app) insist(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if a.events() {
		a.aside().Warning(text)
		return
	}
	fmt.Fprintf(conversation{a}, "regsync: warning: %s\n", printable(text, args...))
}

// events reports whether every line on stderr is to be an event.
func (a *app) events() bool { return ui.Mode(a.flags.progress) == ui.JSON }

func (a *app) aside() ui.Aside { return ui.Aside{Out: a.stderr, Hints: hintFor} }

// printTable writes rows below a header, as Docker does.
func (a *app) printTable(header []string, rows [][]string) error {
	table := ui.NewTable(header...)
	for _, row := range rows {
		table.Row(row...)
	}
	return table.Write(a.stdout)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
