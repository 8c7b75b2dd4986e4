package main

import (
	"io"

	"github.com/regsync/regsync/internal/ui"
)

// progress shows a run on stderr until it is closed. Meanwhile what is logged goes through
// it, so that neither tears the other's lines.
func (a *app) progress(style ui.Style, images int) *ui.Progress {
	mode := ui.Mode(a.flags.progress)
	if a.flags.quiet {
		mode = ui.None
	}
	p := ui.NewProgress(mode, a.stderr, ui.Options{
		Style: style, Images: images, Failures: images == 1, Verbose: a.flags.verbose, Hints: hintFor, Env: a.env,
	})
	if !a.flags.quiet {
		a.showing.Store(p)
	}
	return p
}

// conversation is stderr, or the progress that is shown on it.
type conversation struct{ *app }

var _ io.Writer = conversation{}

func (c conversation) Write(lines []byte) (int, error) {
	if p := c.showing.Load(); p != nil {
		return p.Write(lines)
	}
	if c.events() {
		return c.aside().Write(lines)
	}
	return c.stderr.Write(lines)
}
