// Package screen draws the live lines of a terminal. Start at [Screen].
package screen

import (
	"bytes"
	"fmt"
	"slices"
)

// Control sequences of ECMA-48 and, for the cursor, of DEC: what every terminal knows.
const (
	hideCursor  = "\x1b[?25l"
	showCursor  = "\x1b[?25h"
	eraseToEnd  = "\x1b[K" // of the line
	eraseBelow  = "\x1b[J" // from the cursor on
	lineBreak   = "\r\n"   // the terminal may be raw
	cutLines    = "\x1b[?7l"
	breakLines  = "\x1b[?7h"
	downOne     = "\x1b[B" // and no further than the last row
	saveCursor  = "\x1b7"
	backToSaved = "\x1b8"
)

// Columns and Rows are the size of a window that does not tell its size.
const (
	Columns = 80
	Rows    = 24
)

// eraseAll erases everything from the beginning of the cursor's line on. It erases below from the next row on, because
// tmux treats erasing from the upper left corner as clearing the window, and keeps what was there in its history.
const eraseAll = "\r" + saveCursor + eraseToEnd + downOne + eraseBelow + backToSaved

// Screen draws lines over those that it drew before, below what was printed.
//
// Between two frames the cursor stands at the beginning of the first line. A terminal that wraps its lines again when its
// window changes moves the cursor with them, so the next frame begins at the right place.
type Screen struct {
	lines         []string
	columns, rows int
	drawn         bool
}

// Frame prints lines that stay and then those that the next frame draws over; the latter
// must fit in the window. It writes nothing if nothing has changed.
func (s *Screen) Frame(out *bytes.Buffer, finished, lines []string, columns, rows int) {
	resized := s.drawn && (s.columns != columns || s.rows != rows)
	if !resized && len(finished) == 0 && slices.Equal(lines, s.lines) {
		return
	}
	if !s.drawn {
		out.WriteString(hideCursor)
	}
	out.WriteByte('\r')
	if resized || len(finished) > 0 || len(lines) == 0 {
		out.WriteString(eraseAll)
	}
	writeFinished(out, finished)
	out.WriteString(cutLines) // the window may have become narrower just now
	for i, line := range lines {
		if i > 0 {
			out.WriteString(eraseToEnd + lineBreak)
		}
		out.WriteString(line)
	}
	if len(lines) > 0 {
		out.WriteString(eraseBelow)
	}
	out.WriteString(breakLines)
	if len(lines) > 1 {
		fmt.Fprintf(out, "\x1b[%dA", len(lines)-1)
	}
	out.WriteByte('\r')
	s.lines, s.columns, s.rows, s.drawn = lines, columns, rows, true
}

// Clear removes what was drawn, prints the last lines that stay, and shows the cursor.
func (s *Screen) Clear(out *bytes.Buffer, finished []string) {
	if s.drawn {
		out.WriteString(eraseAll)
	}
	writeFinished(out, finished)
	if s.drawn {
		out.WriteString(showCursor)
	}
	s.lines, s.drawn = nil, false
}

func writeFinished(out *bytes.Buffer, finished []string) {
	for _, line := range finished {
		out.WriteString(line + lineBreak)
	}
}
