// Package ui is what people and scripts see of a run: progress, plans, reports, tables.
//
// Start at [NewProgress], which reads the engine's events and writes to stderr: live on a
// terminal, one line an image elsewhere, or one JSON document a line. What belongs to stdout is
// data first and rendered after: [WriteReport], [WriteJUnit], [WriteTable].
//
// The package guarantees that nothing that a registry says reaches a terminal as a control
// sequence: every name and every error goes through [Clean].
package ui

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/cmd/regsync/internal/ui/internal/screen"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// drawEvery is the time between two looks at what is under way.
const drawEvery = 100 * time.Millisecond

// Options are how progress is shown. The zero value works.
type Options struct {
	Style Style
	// Images is the number of images of the run; 0 if only its events say it.
	Images int
	// Verbose shows each image, also an unchanged one, and in a log each blob.
	Verbose bool
	// Report: the caller prints one after the end, with all warnings about images: views for people only count them.
	Report bool
	// Hints are for the errors in JSON lines.
	Hints report.Hints
	// Env looks variables up (TERM, NO_COLOR); os.LookupEnv if nil.
	Env func(string) (string, bool)
}

// Progress shows a run while it goes on. All methods may be called from any goroutine.
type Progress struct {
	out   io.Writer
	view  view         // nil shows nothing
	frame bytes.Buffer // what the view writes, until out gets it
	late  io.Writer    // for lines that come after the end

	mu      sync.Mutex
	arrived []func() // calls of the view
	closed  bool

	stop    chan struct{}
	drawing sync.WaitGroup
}

// view turns events into text, which it writes to a buffer that it was made with. It is used by one goroutine.
type view interface {
	observe(at time.Time, e transfer.Event)
	paused(at time.Time, p Pause)
	// note shows a line of a log.
	note(at time.Time, line string)
	// draw shows what is under way.
	draw(now time.Time)
	// end is the last call.
	end(now time.Time)
}

// NewProgress shows progress on w, the process's stderr. The caller calls Close before
// anything else is written to the same terminal, and after the last event.
func NewProgress(mode Mode, w io.Writer, options Options) *Progress {
	if options.Env == nil {
		options.Env = os.LookupEnv
	}
	p := &Progress{out: w, late: w, stop: make(chan struct{})}
	terminal, live := asTerminal(w, options.Env)
	switch {
	case mode == None:
		p.closed = true
		return p
	case mode == JSON:
		p.view, p.late = newEvents(&p.frame, options), Aside{Out: w}
	case mode == Auto && live:
		p.view = newLive(&p.frame, terminal, options)
	default:
		p.view = newPlain(&p.frame, options)
	}
	p.drawing.Go(p.run)
	return p
}

// Observe takes note of a state change of the engine. It does not wait for the terminal:
// while that is stopped, events wait in memory.
func (p *Progress) Observe(e transfer.Event) {
	at := time.Now()
	p.arrive(func() { p.view.observe(at, e) })
}

// Paused shows that a pause begins, becomes longer, or is over. It reports false after Close, and if nothing is
// shown.
func (p *Progress) Paused(pause Pause) bool {
	at := time.Now()
	return p.arrive(func() { p.view.paused(at, pause) })
}

// Write shows whole lines, such as those of a log, apart from what is drawn over. With mode none, and after Close,
// they are passed on: as they are, or with mode JSON as an [Aside]. It never fails before Close.
func (p *Progress) Write(text []byte) (int, error) {
	at := time.Now()
	for line := range bytes.Lines(text) {
		note := string(bytes.TrimRight(line, "\r\n"))
		if !p.arrive(func() { p.view.note(at, note) }) {
			return p.late.Write(text)
		}
	}
	return len(text), nil
}

var _ io.Writer = (*Progress)(nil)

// HasTimes reports whether each line of a log gets the time at which it was written.
func (p *Progress) HasTimes() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, drawn := p.view.(*live)
	return !p.closed && !drawn
}

func (p *Progress) arrive(call func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.arrived = append(p.arrived, call)
	return true
}

// Close shows what has arrived, clears what was drawn over, gives the terminal its cursor
// back and leaves finished lines standing. Calls after the first do nothing but wait.
func (p *Progress) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.stop)
	}
	p.mu.Unlock()
	p.drawing.Wait()
}

func (p *Progress) run() {
	ticker := time.NewTicker(drawEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.show(p.view.draw)
		case <-p.stop:
			p.show(p.view.end)
			return
		}
	}
}

// show passes on what has arrived, draws, and writes all of that in one call, so that nothing flickers. That a terminal
// has gone away cannot be reported anywhere.
func (p *Progress) show(draw func(now time.Time)) {
	p.mu.Lock()
	arrived := p.arrived
	p.arrived = nil
	p.mu.Unlock()
	for _, call := range arrived {
		call()
	}
	draw(time.Now())
	if p.frame.Len() > 0 {
		_, _ = p.out.Write(p.frame.Bytes())
		p.frame.Reset()
	}
}

// Mode is how progress is shown.
type Mode string

// The modes, as --progress names them.
const (
	Auto  Mode = "auto"  // live on a terminal, plain elsewhere
	Plain Mode = "plain" // one line an image that was copied, with its time
	JSON  Mode = "json"  // one JSON document an event, a line each
	None  Mode = "none"
)

// Style is which of Docker's commands the words and lines are taken from.
type Style int

// The styles.
const (
	Copying Style = iota // copy and sync: many images, from anywhere to anywhere
	Pushing              // docker push
	Pulling              // docker pull
)

// terminal is a writer on which lines can be drawn over.
type terminal interface {
	io.Writer
	// Size is the present size of the window.
	Size() (columns, rows int, err error)
}

// asTerminal returns w as a terminal, if it is one that understands control sequences.
func asTerminal(w io.Writer, env func(string) (string, bool)) (terminal, bool) {
	if kind, _ := env("TERM"); kind == "dumb" {
		return nil, false
	}
	switch w := w.(type) {
	case terminal:
		return w, true
	case *os.File:
		return console{w}, term.IsTerminal(int(w.Fd()))
	}
	return nil, false
}

// console is the terminal that the process was started on.
type console struct{ *os.File }

var _ terminal = console{}

func (c console) Size() (columns, rows int, err error) { return term.GetSize(int(c.Fd())) }

// board is what a terminal shows of a run.
type board interface {
	// observe returns lines that stay, of any length.
	observe(at time.Time, e transfer.Event) []string
	// finished returns more lines that stay, before a call of lines or when the run has ended.
	finished(ended bool) []string
	// lines returns what is under way: no line wider than columns, and no more than rows.
	lines(now time.Time, columns, rows int) []string
}

// live draws a board on a terminal.
type live struct {
	out      *bytes.Buffer
	terminal terminal
	board    board
	screen   screen.Screen
	finished []string // lines that stay and are not written yet
	pauses   map[string]Pause
}

var _ view = (*live)(nil)

func newLive(out *bytes.Buffer, t terminal, options Options) *live {
	unwanted, _ := options.Env("NO_COLOR") // no-color.org: set and not empty
	p := paint(unwanted == "")
	l := &live{out: out, terminal: t, pauses: map[string]Pause{}}
	if options.Style == Copying {
		l.board = &copies{
			flow: newFlow(options.Images), paint: p, verbose: options.Verbose, warnings: &warnings{paint: p, told: options.Report},
		}
	} else {
		l.board = &layers{
			style: options.Style, warnings: &warnings{paint: p, told: options.Report}, byKey: map[blobKey]*layer{}, opened: map[string]bool{},
		}
	}
	return l
}

func (l *live) observe(at time.Time, e transfer.Event) {
	l.finished = append(l.finished, l.board.observe(at, e)...)
}

func (l *live) paused(_ time.Time, p Pause) {
	if p.over() {
		delete(l.pauses, p.Registry)
	} else {
		l.pauses[p.Registry] = p
	}
}

func (l *live) note(_ time.Time, line string) { l.finished = append(l.finished, safe.Clean(line)) }

func (l *live) draw(now time.Time) {
	columns, rows, err := l.terminal.Size()
	if err != nil || columns <= 0 || rows <= 0 {
		columns, rows = screen.Columns, screen.Rows
	}
	l.finished = append(l.finished, l.board.finished(false)...)
	// The last column stays free: some terminals break the line there at once.
	lines := pauseLines(l.pauses, now, columns-1)
	lines = append(lines, l.board.lines(now, columns-1, max(rows-1-len(lines), 1))...)
	lines = lines[max(0, len(lines)-max(rows-1, 1)):]
	l.screen.Frame(l.out, l.finished, lines, columns, rows)
	l.finished = nil
}

func (l *live) end(time.Time) { l.screen.Clear(l.out, append(l.finished, l.board.finished(true)...)) }
