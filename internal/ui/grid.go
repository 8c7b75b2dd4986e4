package ui

import (
	"time"
)

// The widths of a bar, in columns.
const (
	minBar = 10
	maxBar = 40
)

// The columns of a blob's line beside its label and its bar.
const (
	sizesWidth = 15 // 999.9MB/999.9MB
	speedWidth = 9
	leftWidth  = 7
	idWidth    = 12
	minLabel   = 16
	gap        = 2
)

// grid lays out the lines of blobs so that their columns stand below each other. What does
// not fit in the window is left out, the least needed first; a width of 0 leaves out.
type grid struct {
	columns                            int
	label, id, bar, sizes, speed, left int
}

func newGrid(columns int, blobs []*moving) grid {
	g := grid{columns: columns, label: min(minLabel, columns)}
	room := columns - g.label
	take := func(column *int, width int) {
		if room >= gap+width {
			*column = width
			room -= gap + width
		}
	}
	take(&g.sizes, sizesWidth)
	take(&g.bar, minBar)
	take(&g.speed, speedWidth)
	take(&g.left, leftWidth)
	longest := g.label
	for _, m := range blobs {
		longest = max(longest, width(label(m)))
	}
	widened := min(longest-g.label, room)
	g.label += widened
	room -= widened
	take(&g.id, idWidth)
	if g.bar > 0 {
		g.bar = min(g.bar+room, maxBar)
	}
	return g
}

func label(m *moving) string { return Clean(m.destination.Familiar()) }

// line is a blob under way: where to, which, how much, how fast, how long yet.
func (g grid) line(now time.Time, m *moving) string {
	text := padRight(truncateLeft(label(m), g.label), g.label)
	add := func(column int, s string) {
		if column > 0 {
			text += "  " + s
		}
	}
	add(g.id, ShortID(m.descriptor.Digest))
	if !m.retryAt.IsZero() {
		return truncate(text+"  "+retrying(m.retryAt.Sub(now)), g.columns)
	}
	done, total := m.progress.Done(), m.progress.Total
	if g.bar > 0 {
		add(g.bar, bar(g.bar, done, total))
	}
	add(g.sizes, padLeft(compactSize(done)+"/"+compactSize(total), g.sizes))
	if m.meter.speed >= 1 {
		add(g.speed, padLeft(rate(m.meter.speed), g.speed))
		if left, ok := m.meter.left(total - done); ok {
			add(g.left, padLeft(clock(left), g.left))
		}
	}
	return truncate(text, g.columns)
}
