package ui

import (
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/pkg/transfer"
)

const (
	maxBlobLines = 20 // however high the window is
	minCopyLines = 4  // more than half of a low window
)

// copies is the board of copy and sync: a line for every blob under way, and one for the whole run. Only warnings stay
// and, if verbose, what was copied.
type copies struct {
	flow     *flow
	paint    paint
	verbose  bool
	warnings *warnings
}

var _ board = (*copies)(nil)

func (c *copies) observe(at time.Time, e transfer.Event) []string {
	c.flow.observe(at, e)
	switch e := e.(type) {
	case transfer.Warned:
		return c.warnings.observe(e)
	case transfer.DestinationDone:
		if c.verbose && e.Result.Err == nil {
			return []string{outcome(e.Job, e.Result, c.paint)}
		}
	}
	return nil
}

func (c *copies) finished(ended bool) []string {
	if !ended {
		return nil
	}
	return c.warnings.lines()
}

func (c *copies) lines(now time.Time, columns, rows int) []string {
	c.flow.measure(now)
	// Half of the window stays free: most terminals wrap long lines again when it becomes narrower, and lines that do not
	// fit then scroll away, where they cannot be erased.
	rows = min(rows, max(rows/2, minCopyLines))
	blobs := c.flow.movingBlobs()
	shown := blobs[:min(len(blobs), maxBlobLines, max(rows-2, 0))]
	var lines []string
	grid := newGrid(columns, shown)
	for _, m := range shown {
		lines = append(lines, grid.line(now, m))
	}
	if hidden := moreText(len(blobs)-len(shown), len(c.flow.needed)); hidden != "" && rows > 1 {
		lines = append(lines, truncate(hidden, columns))
	}
	text := c.flow.summary(columns)
	bytes, known, _ := c.flow.total()
	if room := min(columns-width(text)-1, maxBar); known && room >= minBar {
		text = bar(room, c.flow.done(), bytes) + " " + text
	}
	return append(lines, truncate(text, columns))
}

// moreText says how many items are not shown: "… and 4 more, 50 waiting".
func moreText(hidden, waiting int) string {
	parts := counts(count{hidden, "more"}, count{waiting, "waiting"})
	if len(parts) == 0 {
		return ""
	}
	return "… and " + strings.Join(parts, ", ")
}

// The widths of a bar, in columns.
const (
	minBar = 10
	maxBar = 40
)

// The columns of a blob's line beside its bar.
const (
	idWidth    = 12
	minLabel   = 8
	sizesWidth = 13 // 99.9MB/99.9MB
	speedWidth = 8
	leftWidth  = 6
	gap        = 2
)

// grid has the widths of the columns in the lines of blobs. A column that does not fit in the window has width 0 and is
// left out.
type grid struct {
	columns                            int
	id, label, bar, sizes, speed, left int
	labels                             map[string]string // as they fit, by the whole name
}

func newGrid(columns int, blobs []*moving) grid {
	g := grid{columns: columns, id: min(idWidth, columns)}
	room := columns - g.id
	take := func(column *int, width int) {
		if room >= gap+width {
			*column = width
			room -= gap + width
		}
	}
	take(&g.label, minLabel)
	take(&g.sizes, sizesWidth)
	take(&g.bar, minBar)
	take(&g.speed, speedWidth)
	take(&g.left, leftWidth)
	longest := g.label
	for _, m := range blobs {
		longest = max(longest, width(label(m)))
	}
	if g.label > 0 {
		widened := min(longest-g.label, room)
		g.label += widened
		room -= widened
	}
	if g.bar > 0 {
		g.bar = min(g.bar+room, maxBar)
	}
	names := make([]string, len(blobs))
	for i, m := range blobs {
		names[i] = label(m)
	}
	g.labels = shortNames(names, g.label)
	return g
}

func label(m *moving) string { return safe.Clean(m.destination.Familiar()) }

// line returns the line for a blob: ID, destination, bar, sizes, speed and time left.
func (g grid) line(now time.Time, m *moving) string {
	text := ShortID(m.descriptor.Digest)
	add := func(column int, s string) {
		if column > 0 {
			text += "  " + s
		}
	}
	add(g.label, padRight(g.labels[label(m)], g.label))
	if m.retry != (retry{}) {
		return truncate(text+"  "+m.retry.text(now), g.columns)
	}
	done, total := m.progress.Done(), m.progress.Total
	if g.bar > 0 {
		add(g.bar, bar(g.bar, done, total))
	}
	add(g.sizes, padLeft(ImageSize(done)+"/"+ImageSize(total), g.sizes))
	if speed := m.meter.Speed(); speed >= 1 {
		add(g.speed, padLeft(rate(speed), g.speed))
	}
	if left, ok := m.meter.Left(float64(total-done), float64(total-done)); ok {
		add(g.left, padLeft(clock(left), g.left))
	}
	return withResumed(text, m.progress, g.columns)
}

// withResumed adds to the line of a blob where it was resumed, if that fits.
func withResumed(line string, p *transfer.Progress, columns int) string {
	if whole := line + resumed("  ", p); width(whole) <= columns {
		return whole
	}
	return truncate(line, columns)
}

// bar returns a bar of so many columns that shows how much of total is done: "[====>     ]".
func bar(columns int, done, total int64) string {
	theme := progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}
	total = max(total, 1)
	drawn := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionSetWidth(columns-len("[]")),
		progressbar.OptionSetTheme(theme),
		progressbar.OptionSetRenderBlankState(true))
	_ = drawn.Set64(min(max(done, 0), total)) // it refuses only more than the total
	_, rest, _ := strings.Cut(drawn.String(), "[")
	inner, _, _ := strings.Cut(rest, "]")
	return "[" + inner + "]"
}
