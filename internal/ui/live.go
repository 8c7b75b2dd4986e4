package ui

import (
	"time"

	"github.com/regsync/regsync/pkg/transfer"
)

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
