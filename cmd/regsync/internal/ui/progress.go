// Package ui is what people and scripts see of a run: progress, plans, reports, tables.
//
// Start at [NewProgress], a reader of the engine's one event stream, which writes to
// stderr: live on a terminal, one line a step elsewhere, or one JSON document a line. What
// belongs to stdout is data first and rendered after: [Plan], [Report], [Table].
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

	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// drawEvery is the time between two looks at what is under way.
const drawEvery = 100 * time.Millisecond

// Options are how progress is shown. The zero value works.
type Options struct {
	Style Style
	// Images is the number of images of the run, for totals; 0 takes those known so far.
	Images int
	// Verbose also tells, in plain lines, what there was no need to do.
	Verbose bool
	// Failures are told by the caller, after the end: views for people do not tell them
	// twice.
	Failures bool
	// Hints are told with the errors of JSON lines.
	Hints report.Hints
	// Env looks variables up (TERM, NO_COLOR); os.LookupEnv if nil.
	Env func(string) (string, bool)
}

// Progress shows a run while it goes on. All methods may be called from any goroutine.
type Progress struct {
	out  io.Writer
	view view      // nil shows nothing
	late io.Writer // for lines that come after the end

	mu      sync.Mutex
	arrived []arrival
	closed  bool

	stop    chan struct{}
	drawing sync.WaitGroup
}

// view turns events into bytes. It is used by one goroutine.
type view interface {
	observe(at time.Time, e transfer.Event)
	paused(at time.Time, p Pause)
	// note takes a line that somebody else wants to write.
	note(at time.Time, line string)
	// draw is what to write now.
	draw(now time.Time) []byte
	// end is the last that is written.
	end(now time.Time) []byte
}

// arrival is an event, or a line to pass on.
type arrival struct {
	at    time.Time
	event transfer.Event
	pause *Pause
	line  string
}

// NewProgress shows progress on w, the process's stderr. The caller calls Close before
// anything else is written to the same terminal, and after the last event.
func NewProgress(mode Mode, w io.Writer, options Options) *Progress {
	if options.Env == nil {
		options.Env = os.LookupEnv
	}
	p := &Progress{out: w, view: newView(mode, w, options), late: w, stop: make(chan struct{})}
	if mode == JSON {
		p.late = Aside{Out: w}
	}
	if p.view == nil {
		p.closed = true
		return p
	}
	p.drawing.Go(p.run)
	return p
}

func newView(mode Mode, w io.Writer, options Options) view {
	switch mode {
	case None:
		return nil
	case JSON:
		return newEvents(time.Now(), options)
	case Plain:
		return newPlain(options)
	}
	t, ok := asTerminal(w, options.Env)
	if !ok {
		return newPlain(options)
	}
	return newLive(t, options)
}

// Observe takes note of a state change of the engine. It does not wait for the terminal:
// while that is stopped, events wait in memory.
func (p *Progress) Observe(e transfer.Event) { p.arrive(arrival{at: time.Now(), event: e}) }

// Paused shows that a pause begins, becomes longer, or is over. It reports false after Close, and if nothing is
// shown.
func (p *Progress) Paused(pause Pause) bool { return p.arrive(arrival{at: time.Now(), pause: &pause}) }

// Write shows whole lines, such as those of a log, apart from what is drawn over. With mode
// none, and after Close, they are passed on: as they are, or with mode JSON as an [Aside].
// It never fails before Close.
func (p *Progress) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		if !p.arrive(arrival{at: time.Now(), line: string(bytes.TrimRight(line, "\r\n"))}) {
			return p.late.Write(text)
		}
	}
	return len(text), nil
}

var _ io.Writer = (*Progress)(nil)

func (p *Progress) arrive(a arrival) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.arrived = append(p.arrived, a)
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
			p.catchUp()
			p.write(p.view.draw(time.Now()))
		case <-p.stop:
			p.catchUp()
			p.write(p.view.end(time.Now()))
			return
		}
	}
}

func (p *Progress) catchUp() {
	p.mu.Lock()
	arrived := p.arrived
	p.arrived = nil
	p.mu.Unlock()
	for _, a := range arrived {
		switch {
		case a.event != nil:
			p.view.observe(a.at, a.event)
		case a.pause != nil:
			p.view.paused(a.at, *a.pause)
		default:
			p.view.note(a.at, a.line)
		}
	}
}

// write shows a frame in one call, so that nothing flickers. Nobody can be told that a
// terminal has gone away.
func (p *Progress) write(frame []byte) {
	if len(frame) > 0 {
		_, _ = p.out.Write(frame)
	}
}

// Mode is how progress is shown.
type Mode string

// The modes, as --progress names them.
const (
	Auto  Mode = "auto"  // live on a terminal, plain elsewhere
	Plain Mode = "plain" // one line a finished step, with its time
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

// terminal is a writer that lines can be drawn over on.
type terminal interface {
	io.Writer
	// Size is the present size of the window.
	Size() (columns, rows int, err error)
}

// asTerminal finds out whether w is a terminal that understands more than text.
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
	observe(at time.Time, e transfer.Event)
	// finished takes the lines that stay, of any length.
	finished() []string
	// lines, called after finished, are those under way now, none wider than columns and no more than rows.
	lines(now time.Time, columns, rows int) []string
	// end makes lines of what is left and over.
	end()
}

// live draws a board on a terminal.
type live struct {
	terminal terminal
	board    board
	screen   screen
	notes    []string
	pauses   pauses
}

var _ view = (*live)(nil)

func newLive(t terminal, options Options) *live {
	unwanted, _ := options.Env("NO_COLOR") // no-color.org: set and not empty
	p := paint(unwanted == "")
	if options.Style == Copying {
		return &live{terminal: t, board: newCopies(options, p), pauses: pauses{}}
	}
	return &live{terminal: t, board: newLayers(options.Style, p), pauses: pauses{}}
}

func (l *live) observe(at time.Time, e transfer.Event) { l.board.observe(at, e) }

func (l *live) paused(_ time.Time, p Pause) { l.pauses.note(p) }

func (l *live) note(_ time.Time, line string) { l.notes = append(l.notes, Clean(line)) }

func (l *live) draw(now time.Time) []byte {
	columns, rows, err := l.terminal.Size()
	if err != nil || columns <= 0 || rows <= 0 {
		columns, rows = defaultCols, defaultRows
	}
	finished := l.take()
	// The last column stays free: some terminals break the line there at once.
	lines := l.pauses.lines(now, columns-1)
	lines = append(lines, l.board.lines(now, columns-1, max(rows-1-len(lines), 1))...)
	lines = lines[max(0, len(lines)-max(rows-1, 1)):]
	return l.screen.frame(finished, lines, columns, rows)
}

func (l *live) end(time.Time) []byte {
	l.board.end()
	return l.screen.clear(l.take())
}

func (l *live) take() []string {
	taken := append(l.board.finished(), l.notes...)
	l.notes = nil
	return taken
}
