package ui

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/regsync/regsync/pkg/transfer"
)

// maxBlobLines bounds the lines of blobs, however high the window is.
const maxBlobLines = 20

// minCopyLines are taken of a window whatever its height.
const minCopyLines = 4

// copies is the board of copy and sync: a line for every blob under way, and one for the
// whole run. What changed, failed or needs attention stays.
type copies struct {
	flow  *flow
	paint paint
	over  []string
	// failures are told by somebody else.
	failures bool
}

var _ board = (*copies)(nil)

func newCopies(options Options, p paint) *copies {
	return &copies{flow: newFlow(options.Images), paint: p, failures: options.Failures}
}

func (c *copies) observe(at time.Time, e transfer.Event) {
	c.flow.observe(at, e)
	switch e := e.(type) {
	case transfer.Warned:
		c.over = append(c.over, warnedLine(e, c.paint))
	case transfer.DestinationDone:
		c.finish(e.Job, e.Result)
	}
}

func (c *copies) finish(job transfer.Job, r transfer.DestinationResult) {
	if r.Err != nil && c.failures {
		return
	}
	if eventful(r) {
		c.over = append(c.over, outcome(job, r, c.paint))
	}
}

func (c *copies) finished() []string {
	taken := c.over
	c.over = nil
	return taken
}

func (c *copies) end() {}

func (c *copies) lines(now time.Time, columns, rows int) []string {
	c.flow.measure(now)
	// Half of the window stays free: most terminals wrap long lines anew when it becomes
	// narrower, and what then does not fit scrolls away where it cannot be erased.
	rows = min(rows, max(rows/2, minCopyLines))
	blobs := c.flow.movingBlobs()
	shown := blobs[:min(len(blobs), maxBlobLines, max(rows-2, 0))]
	var lines []string
	grid := newGrid(columns, shown)
	for _, m := range shown {
		lines = append(lines, grid.line(now, m))
	}
	if hidden := len(blobs) - len(shown); hidden > 0 && rows > 1 {
		lines = append(lines, truncate(fmt.Sprintf("… and %s more", counted(hidden, "blob")), columns))
	}
	return append(lines, c.total(columns))
}

// total is the line of the whole run.
func (c *copies) total(columns int) string {
	text := c.flow.summary()
	_, bytes := c.flow.total()
	if room := min(columns-width(text)-1, maxBar); bytes > 0 && room >= minBar {
		text = bar(room, c.flow.done(), bytes) + " " + text
	}
	return truncate(text, columns)
}

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

// bar draws how much of total is done, in so many columns: "[====>     ]".
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
