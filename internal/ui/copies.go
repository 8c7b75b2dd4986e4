package ui

import (
	"fmt"
	"time"

	"github.com/regsync/regsync/pkg/transfer"
)

// maxBlobLines bounds the lines of blobs, however high the window is.
const maxBlobLines = 20

// minCopyLines are taken of a window whatever its height.
const minCopyLines = 4

// copies is the board of copy and sync: a line for every blob under way, and one for the
// whole run. What changed, failed or needs attention stays.
type copies struct {
	tally *tally
	paint paint
	over  []string
	// failures are told by somebody else.
	failures bool
}

var _ board = (*copies)(nil)

func newCopies(options Options, p paint) *copies {
	return &copies{tally: newTally(options.Images), paint: p, failures: options.Failures}
}

func (c *copies) observe(at time.Time, e transfer.Event) {
	switch e := e.(type) {
	case transfer.Planned:
		c.tally.plan(at, e.Plan)
	case transfer.BlobStarted:
		c.tally.start(at, e)
	case transfer.BlobRetrying:
		c.tally.retry(at, e)
	case transfer.BlobDone:
		c.tally.blob(e)
	case transfer.Warned:
		c.over = append(c.over, warnedLine(e, c.paint))
	case transfer.DestinationDone:
		c.tally.destination(e.Result)
		c.finish(e.Job, e.Result)
	case transfer.JobDone:
		c.tally.job(e.Result)
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
	c.tally.measure(now)
	// Half of the window stays free: most terminals wrap long lines anew when it becomes
	// narrower, and what then does not fit scrolls away where it cannot be erased.
	rows = min(rows, max(rows/2, minCopyLines))
	blobs := c.tally.movingBlobs()
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
	text := c.tally.summary()
	_, bytes := c.tally.total()
	if room := min(columns-width(text)-1, maxBar); bytes > 0 && room >= minBar {
		text = bar(room, c.tally.done(), bytes) + " " + text
	}
	return truncate(text, columns)
}
