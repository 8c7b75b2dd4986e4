package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/mirror/config"
)

// output is where a command line writes to, and how.
type output struct {
	Environment
	flags   globals
	showing atomic.Pointer[ui.Progress]
	printed bool // the document of --output json
	// settings are the configuration, for hints; nil before it is loaded.
	settings *config.Config
}

// printJSON writes the one document of --output json.
func (o *output) printJSON(document any) error {
	o.printed = true
	return ui.WriteJSON(o.Stdout, document)
}

// printLine writes one line of a result, safe to print.
func (o *output) printLine(format string, args ...any) error {
	_, err := fmt.Fprintln(o.Stdout, ui.Clean(fmt.Sprintf(format, args...)))
	return err
}

// logger writes to stderr under --verbose, and nothing otherwise.
func (o *output) logger() *slog.Logger {
	if !o.flags.verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(conversation{o}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// remarks are what libraries log by themselves: net/http does where a server says more than
// it was asked. It helps nobody but who debugs, and cron must not mail it.
type remarks struct{ *output }

var _ io.Writer = remarks{}

func (r remarks) Write(line []byte) (int, error) {
	text, _, _ := strings.Cut(string(line), " starting with ") // then come bytes of the server, which may hold secrets
	r.logger().Debug(strings.TrimSpace(text))
	return len(line), nil
}

// warn tells a person something that stops nothing.
func (o *output) warn(format string, args ...any) {
	if !o.flags.quiet {
		o.insist(format, args...)
	}
}

// insist warns also under --quiet: of trouble that cron is to mail.
func (o *output) insist(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if o.events() {
		o.aside().Warning(text)
		return
	}
	fmt.Fprintf(conversation{o}, "regsync: warning: %s\n", printable(text, args...))
}

// events reports whether every line on stderr is to be an event.
func (o *output) events() bool { return ui.Mode(o.flags.progress) == ui.JSON }

func (o *output) aside() ui.Aside { return ui.Aside{Out: o.Stderr} }

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// progress shows a run on stderr until it is closed. Meanwhile what is logged goes through
// it, so that neither tears the other's lines.
func (o *output) progress(style ui.Style, images int) *ui.Progress {
	mode := ui.Mode(o.flags.progress)
	if o.flags.quiet {
		mode = ui.None
	}
	p := ui.NewProgress(mode, o.Stderr, ui.Options{
		Style: style, Images: images, Failures: images == 1, Verbose: o.flags.verbose, Hints: o.hintFor, Env: o.LookupEnv,
	})
	if !o.flags.quiet {
		o.showing.Store(p)
	}
	return p
}

// conversation is stderr, or the progress that is shown on it.
type conversation struct{ *output }

var _ io.Writer = conversation{}

func (c conversation) Write(lines []byte) (int, error) {
	if p := c.showing.Load(); p != nil {
		return p.Write(lines)
	}
	if c.events() {
		return c.aside().Write(lines)
	}
	return c.Stderr.Write(lines)
}
