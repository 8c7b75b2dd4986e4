package ui

import (
	"cmp"
	"slices"
	"time"

	"github.com/regsync/regsync/cmd/regsync/internal/ui/internal/meter"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// Widths of Docker's lines, in columns.
const (
	dockerBar       = 52
	layerSizesWidth = 15 // 999.9MB/999.9MB
)

// layers is the board of push and pull: a line for every layer, in Docker's words and in the order of the image.
// Lines at the top that are over scroll away, so that an image of any number of layers fits in any window.
type layers struct {
	style    Style
	warnings *warnings
	all      []*layer // that have not scrolled away
	byKey    map[blobKey]*layer
	opened   map[string]bool // the lines of [Style.opening] that were written
}

var _ board = (*layers)(nil)

// layer is a line of the board.
type layer struct {
	key      blobKey
	id       string
	outcome  string // empty before the end
	failed   bool
	progress *transfer.Progress // nil before the first byte
	meter    meter.Meter
	retry    retry
}

func (l *layers) observe(at time.Time, e transfer.Event) []string {
	switch e := e.(type) {
	case transfer.Planned:
		for _, to := range e.Plan.Destinations {
			for _, d := range to.Blobs {
				l.layer(to.Reference, d)
			}
		}
		return l.style.opening(e.Plan, l.opened)
	case transfer.BlobStarted:
		if layer := l.layer(e.Destination, e.Descriptor); layer != nil {
			layer.progress, layer.outcome, layer.failed = e.Progress, "", false
			layer.meter.Measure(at, e.Progress.Done())
		}
	case transfer.BlobRetrying:
		if layer := l.layer(e.Destination, e.Descriptor); layer != nil {
			layer.retry = newRetry(at, e)
		}
	case transfer.BlobDone:
		if layer := l.layer(e.Destination, e.Descriptor); layer != nil {
			layer.outcome, layer.failed = l.style.words().outcome(e), e.Outcome == transfer.BlobFailed
		}
	case transfer.Warned:
		return append(l.finished(false), l.warnings.observe(e)...)
	}
	return nil
}

// layer returns the line of a blob, which is added if it is new; nil for a blob that is no layer.
func (l *layers) layer(destination reference.Reference, d content.Descriptor) *layer {
	if !isLayer(d) {
		return nil
	}
	key := keyOf(destination, d)
	found := l.byKey[key]
	if found == nil {
		found = &layer{key: key, id: ShortID(d.Digest)}
		l.byKey[key] = found
		l.all = append(l.all, found)
	}
	return found
}

func (l *layers) finished(ended bool) (lines []string) {
	for len(l.all) > 0 && (ended || l.all[0].outcome != "") {
		first := l.all[0]
		if !first.waits() {
			first.outcome = cmp.Or(first.outcome, canceled)
			lines = append(lines, first.text())
		}
		if first.failed {
			delete(l.byKey, first.key) // it gets a new line if it is tried again
		}
		l.all = l.all[1:]
	}
	if ended {
		lines = append(lines, l.warnings.lines()...)
	}
	return lines
}

func (l *layer) waits() bool { return l.outcome == "" && l.progress == nil }

func (l *layer) text() string { return l.id + ": " + l.outcome }

func (l *layers) lines(now time.Time, columns, rows int) []string {
	shown := l.shown(rows)
	lines := make([]string, 0, len(shown)+1)
	for _, layer := range shown {
		lines = append(lines, truncate(l.line(now, layer, columns), columns))
	}
	if hidden := len(l.all) - len(shown); hidden > 0 {
		waiting := 0
		for _, layer := range l.all {
			if layer.waits() && !slices.Contains(shown, layer) {
				waiting++
			}
		}
		lines = append(lines, truncate(moreText(hidden-waiting, waiting), columns))
	}
	return lines
}

// shown returns the layers that fit in so many rows: all, or else those that move, then those
// that wait, in the order of the image, with a row left for the number of the others.
func (l *layers) shown(rows int) []*layer {
	if len(l.all) <= rows {
		return l.all
	}
	var shown []*layer
	for _, moves := range []bool{true, false} {
		for _, layer := range l.all {
			if layer.outcome == "" && layer.waits() != moves && len(shown) < rows-1 {
				shown = append(shown, layer)
			}
		}
	}
	return shown
}

// line returns a layer as Docker shows it, with speed and time left if they fit.
func (l *layers) line(now time.Time, layer *layer, columns int) string {
	prefix := layer.id + ": "
	switch {
	case layer.outcome != "":
		return layer.text()
	case layer.retry.at.After(now):
		return prefix + layer.retry.text(now)
	case layer.progress == nil:
		return prefix + l.style.words().waiting
	}
	done, total := layer.progress.Done(), layer.progress.Total
	layer.meter.Measure(now, done)
	prefix += l.style.words().moving + " "
	sizes := HumanSize(done) + "/" + HumanSize(total)
	room := columns - width(prefix) - layerSizesWidth - 1
	speed := ""
	if wanted := gap + speedWidth + gap + leftWidth; room >= minBar+wanted {
		room -= wanted
		if present := layer.meter.Speed(); present >= 1 {
			speed = "  " + padLeft(rate(present), speedWidth)
		}
		if left, ok := layer.meter.Left(float64(total-done), float64(total-done)); ok {
			speed += "  " + padLeft(clock(left), leftWidth)
		}
	}
	if room >= minBar {
		prefix += bar(min(room, dockerBar), done, total) + " "
		sizes = padLeft(sizes, layerSizesWidth)
	}
	return withResumed(prefix+sizes+speed, layer.progress, columns)
}
