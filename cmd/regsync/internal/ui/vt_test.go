package ui

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// vt is a terminal of the kind that regsync writes to: what it shows, what has scrolled
// away, and whether a line had to be broken.
type vt struct {
	mu            sync.Mutex
	columns, rows int
	lines         []string // of the window, the first is its top
	x, y          int
	savedX        int
	savedY        int
	scrolled      []string
	broken        int
	cursorHidden  bool
	cut           bool // at the end of the line, not broken
	unknown       []string
	writes        int
}

var _ terminal = (*vt)(nil)

func newVT(columns, rows int) *vt {
	return &vt{columns: columns, rows: rows, lines: make([]string, rows)}
}

func (v *vt) Size() (columns, rows int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.columns, v.rows, nil
}

// resize changes the window as xterm does: lines are cut, and move up where the window is
// lower than where the cursor stands.
func (v *vt) resize(columns, rows int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.y >= rows {
		v.scroll()
	}
	v.lines = append(v.lines, make([]string, rows)...)[:rows]
	for i, line := range v.lines {
		v.lines[i] = runewidth.Truncate(line, columns, "")
	}
	v.columns, v.rows = columns, rows
}

func (v *vt) scroll() {
	v.scrolled = append(v.scrolled, strings.TrimRight(v.lines[0], " "))
	v.lines = append(v.lines[1:], "")
	v.y--
}

// screen is everything that a person sees, blank lines at the end left out.
func (v *vt) screen() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var b strings.Builder
	for _, line := range append(slices.Clip(v.scrolled), v.lines...) {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

var sequence = regexp.MustCompile(`^\x1b(?:\[(\??[0-9;]*)([A-Za-z])|([78]))`)

func (v *vt) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.writes++
	for s := string(p); s != ""; {
		if m := sequence.FindStringSubmatch(s); m != nil {
			v.control(m[1], m[2]+m[3])
			s = s[len(m[0]):]
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		v.print(r)
	}
	return len(p), nil
}

func (v *vt) control(parameter, final string) {
	switch parameter + final {
	case "?25l":
		v.cursorHidden = true
	case "?25h":
		v.cursorHidden = false
	case "?7l":
		v.cut = true
	case "?7h":
		v.cut = false
	case "K":
		v.lines[v.y] = v.left()
	case "B":
		v.y = min(v.y+1, v.rows-1)
	case "7":
		v.savedX, v.savedY = v.x, v.y
	case "8":
		v.x, v.y = v.savedX, v.savedY
	case "J":
		if v.x == 0 && v.y == 0 && v.rows > 1 { // as tmux does
			for range v.lines {
				v.scroll()
			}
			v.y = 0
		}
		v.lines[v.y] = v.left()
		clear(v.lines[v.y+1:])
	case "0m", "31m", "32m", "33m":
	default:
		n, err := strconv.Atoi(parameter)
		if final != "A" || err != nil {
			v.unknown = append(v.unknown, parameter+final)
			return
		}
		v.y = max(v.y-n, 0)
	}
}

// left is the present line as far as the cursor.
func (v *vt) left() string {
	return runewidth.FillRight(runewidth.Truncate(v.lines[v.y], v.x, ""), v.x)
}

func (v *vt) print(r rune) {
	switch {
	case r == '\r':
		v.x = 0
	case r == '\n':
		v.newline()
	case r < ' ' || r == 0x7f:
		v.unknown = append(v.unknown, strconv.QuoteRune(r))
	default:
		w := runewidth.RuneWidth(r)
		if v.x+w > v.columns && v.cut {
			return
		}
		if v.x+w > v.columns {
			v.broken++
			v.x = 0
			v.newline()
		}
		rest := []rune(v.lines[v.y])
		for at := 0; len(rest) > 0 && at < v.x+w; rest = rest[1:] {
			at += runewidth.RuneWidth(rest[0])
		}
		v.lines[v.y] = v.left() + string(r) + string(rest)
		v.x += w
	}
}

func (v *vt) newline() {
	v.y++
	if v.y == v.rows {
		v.scroll()
	}
}
