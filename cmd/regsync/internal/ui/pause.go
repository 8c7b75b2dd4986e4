package ui

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/pkg/report"
)

// maxPauseLines bounds the lines about pauses on a terminal.
const maxPauseLines = 3

// Pause is a time for which a registry accepts no requests of some kind, or none for a single item. What is affected waits.
type Pause struct {
	Registry string
	// Until is the end; zero if the pause is over.
	Until time.Time
	// Status is the HTTP status of the answer that caused the pause; zero if the pull quota is used up.
	Status int
	// Asked: the answer stated the time.
	Asked bool
}

// Line returns the line for a pause that began: "registry.example: waiting 12 s (429, Retry-After)".
func (p Pause) Line(now time.Time) string {
	why := strconv.Itoa(p.Status)
	switch {
	case p.Status == 0:
		why = "pull quota used up"
	case p.Asked:
		why += ", Retry-After"
	}
	return fmt.Sprintf("%s: waiting %d s (%s)", safe.Clean(p.Registry), int(math.Ceil(max(0, p.Until.Sub(now).Seconds()))), why)
}

// over reports whether the pause has ended.
func (p Pause) over() bool { return p.Until.IsZero() }

// event returns the pause as an event.
func (p Pause) event(now time.Time) report.Event {
	if p.over() {
		return report.Event{Event: "pause-over", Registry: p.Registry}
	}
	return report.Event{Event: "pause", Registry: p.Registry, WaitSeconds: seconds(p.Until.Sub(now)), Code: p.Status}
}

// pauseLines returns the lines about current pauses for a terminal, the pause that ends last first.
func pauseLines(pauses map[string]Pause, now time.Time, columns int) (lines []string) {
	sorted := slices.SortedFunc(maps.Values(pauses), func(a, b Pause) int {
		return cmp.Or(b.Until.Compare(a.Until), strings.Compare(a.Registry, b.Registry))
	})
	for _, p := range sorted[:min(len(sorted), maxPauseLines)] {
		if p.Until.After(now) {
			lines = append(lines, truncate(p.Line(now), columns))
		}
	}
	return lines
}
