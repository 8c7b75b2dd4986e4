package ui

import (
	"fmt"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// dockerBar is the width of Docker's bars, in columns.
const dockerBar = 52

// layers is the board of push and pull: a line for every layer, in Docker's words and in
// the order of the image. Lines at the top that are over scroll away, so that an image of
// any number of layers fits in any window.
type layers struct {
	style Style
	words layerWords
	paint paint
	all   []*layer
	byKey map[blobKey]*layer
	over  []string

	opened once
}

var _ board = (*layers)(nil)

// layer is a line of the board.
type layer struct {
	id string
	// outcome is how it ended; empty before.
	outcome string
	// progress is nil before the first byte.
	progress *transfer.Progress
	meter    meter
	retryAt  time.Time
}

func newLayers(style Style, p paint) *layers {
	return &layers{style: style, words: style.words(), paint: p, byKey: map[blobKey]*layer{}, opened: once{}}
}

func (l *layers) observe(at time.Time, e transfer.Event) {
	switch e := e.(type) {
	case transfer.Planned:
		l.over = append(l.over, l.opened.first(l.style.opening(e.Plan))...)
		for _, to := range e.Plan.Destinations {
			for _, d := range to.Blobs {
				l.layer(to.Reference, d)
			}
		}
	case transfer.BlobStarted:
		if layer := l.layer(e.Destination, e.Descriptor); layer != nil {
			layer.progress, layer.outcome = e.Progress, ""
			layer.meter.measure(at, e.Progress.Done())
		}
	case transfer.BlobRetrying:
		if layer := l.layer(e.Destination, e.Descriptor); layer != nil {
			layer.retryAt = at.Add(e.Wait)
		}
	case transfer.BlobDone:
		if layer := l.layer(e.Destination, e.Descriptor); layer != nil {
			layer.outcome = l.words.outcome(e)
		}
	case transfer.Warned:
		l.retire()
		l.over = append(l.over, warnedLine(e, l.paint))
	}
}

// layer finds the line of a blob, or begins one at the end; nil for a blob that has none.
func (l *layers) layer(destination reference.Reference, d content.Descriptor) *layer {
	if !isLayer(d) {
		return nil
	}
	key := keyOf(destination, d)
	found := l.byKey[key]
	if found == nil {
		found = &layer{id: ShortID(d.Digest)}
		l.byKey[key] = found
		l.all = append(l.all, found)
	}
	return found
}

// retire makes lines of the layers at the top that are over.
func (l *layers) retire() {
	for len(l.all) > 0 && l.all[0].outcome != "" {
		l.over = append(l.over, l.all[0].text())
		l.all = l.all[1:]
	}
}

func (l *layers) finished() []string {
	l.retire()
	taken := l.over
	l.over = nil
	return taken
}

func (l *layers) end() {
	for _, layer := range l.all {
		if layer.outcome != "" {
			l.over = append(l.over, layer.text())
		}
	}
	l.all = nil
}

func (l *layer) text() string { return l.id + ": " + l.outcome }

func (l *layers) lines(now time.Time, columns, rows int) []string {
	shown := l.shown(rows)
	lines := make([]string, 0, len(shown)+1)
	for _, layer := range shown {
		lines = append(lines, truncate(l.line(now, layer, columns), columns))
	}
	if hidden := len(l.all) - len(shown); hidden > 0 {
		lines = append(lines, truncate(fmt.Sprintf("… and %s more", counted(hidden, "layer")), columns))
	}
	return lines
}

// shown are the layers that fit in so many rows: all, or else those that move, then those
// that wait, as they come, with a row left to say so.
func (l *layers) shown(rows int) []*layer {
	if len(l.all) <= rows {
		return l.all
	}
	var shown []*layer
	for _, wanted := range []func(*layer) bool{(*layer).moves, (*layer).waits} {
		for _, layer := range l.all {
			if wanted(layer) && len(shown) < rows-1 {
				shown = append(shown, layer)
			}
		}
	}
	return shown
}

func (l *layer) moves() bool { return l.outcome == "" && l.progress != nil }
func (l *layer) waits() bool { return l.outcome == "" && l.progress == nil }

// line is a layer as Docker shows it, with speed and time left where there is room.
func (l *layers) line(now time.Time, layer *layer, columns int) string {
	prefix := layer.id + ": "
	switch {
	case layer.outcome != "":
		return layer.text()
	case layer.retryAt.After(now):
		return prefix + retrying(layer.retryAt.Sub(now))
	case layer.progress == nil:
		return prefix + l.words.waiting
	}
	done, total := layer.progress.Done(), layer.progress.Total
	layer.meter.measure(now, done)
	prefix += l.words.moving + " "
	sizes := " " + HumanSize(done) + "/" + HumanSize(total)
	room := columns - width(prefix) - sizesWidth - 1
	speed := ""
	if wanted := gap + speedWidth + gap + leftWidth; room >= minBar+wanted {
		room -= wanted
		if left, ok := layer.meter.left(total - done); ok {
			speed = "  " + padLeft(rate(layer.meter.speed), speedWidth) + "  " + padLeft(clock(left), leftWidth)
		}
	}
	if room >= minBar {
		prefix += bar(min(room, dockerBar), done, total)
		sizes = " " + padLeft(sizes[1:], sizesWidth)
	}
	return prefix + sizes + speed
}
