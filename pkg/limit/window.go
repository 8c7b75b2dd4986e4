package limit

import (
	"math"
	"net/http"
	"time"
)

// Limits of the window of a registry: how many requests may be in flight there, over all classes.
const (
	firstWindow = 48 // 16 of them reserved for each class that has requests waiting
	mostWindow  = 192
	leastWindow = windows // a slot for each class
	// afterCut is how long a window that was cut stays as it is; then it grows by one every growEvery.
	afterCut  = 30 * time.Second
	growEvery = 2 * time.Second
)

// window is how many requests may be in flight at a registry. It doubles with each round trip until the registry
// refuses requests; then it follows what the registry accepts.
type window struct {
	size int
	most int // by the configuration, or mostWindow

	probing bool      // nothing was refused yet
	good    int       // the last size that the registry accepted; zero if none is known
	resized time.Time // answers to requests that were sent before say nothing about this size
	first   time.Time // when the first answer to a later request came
	grows   time.Time // when it may grow by one, if not probing

	// The answers at this size, those of them that were refusals, and the most slots that were in use.
	answers, refused int
	used             [windows]int
	busy             lastItem // that got a 503
}

// How many answers a decision needs, because one request in twenty that is refused for another reason must not
// shrink the window: enough for a cut, and enough at each size to find out that it is too large.
const (
	enoughToCut  = 16
	enoughToGrow = 100
	mostAnswers  = 256
)

func newWindow(connections int) window {
	most := largest(connections)
	return window{size: min(firstWindow, most), most: most, probing: true}
}

func largest(connections int) int {
	if connections <= 0 {
		return mostWindow
	}
	return max(connections, leastWindow)
}

// limitTo sets how many connections the configuration allows, and reports whether the size changed.
func (w *window) limitTo(connections int, now time.Time) bool {
	w.most = largest(connections)
	if w.size <= w.most {
		return false
	}
	w.resize(w.most, now)
	return true
}

// answered counts an answer, and reports whether the size changed. used are the slots in use; wanted says that
// requests wait for more.
func (w *window) answered(a Answer, used [windows]int, wanted bool, now time.Time) bool {
	sent, before := now.Add(-a.RoundTrip), w.size
	if sent.Before(w.resized) {
		return false
	}
	if w.first.IsZero() {
		w.first = now
	}
	w.count(a, now)
	for class, n := range used {
		w.used[class] = max(w.used[class], n)
	}
	if w.answers >= enoughToGrow && wanted && !w.refusesMany() {
		w.good = w.size
	}
	switch {
	case w.refusesMany():
		w.cut(now)
	case w.answers >= mostAnswers: // old answers no longer count
		w.answers, w.refused, w.used = 0, 0, used
	case w.size >= w.most || !wanted:
	case w.probing:
		if !sent.Before(w.first) { // a round trip has passed
			w.resize(min(2*w.size, w.most), now)
		}
	case !now.Before(w.grows) && (w.answers >= enoughToGrow || w.refused == 0 && !now.Before(w.grows.Add(growEvery))):
		w.resize(w.size+1, now)
		w.grows = now.Add(growEvery)
	}
	return w.size != before
}

func (w *window) count(a Answer, now time.Time) {
	w.answers++
	switch a.Status {
	case http.StatusTooManyRequests:
		w.refused++
	case http.StatusServiceUnavailable: // a single one may concern only its item
		if w.busy.isOther(a.Item, now) {
			w.refused++
		}
	}
	if w.refused > 1 {
		w.probing = false
	}
}

// refusesMany reports whether more than a tenth of the answers are refusals, beyond what chance explains.
func (w *window) refusesMany() bool {
	n := float64(w.answers)
	return w.answers >= enoughToCut && float64(w.refused) > 0.1*n+0.75*math.Sqrt(n)+2
}

// cut shrinks the window to the size that was accepted last. If none is known, it shrinks in steps: to three
// quarters of the slots that were in use, and one for each class without any.
func (w *window) cut(now time.Time) {
	size := w.good
	if size == 0 || size >= w.size {
		inUse, idle := 0, 0
		for _, n := range w.used {
			if inUse += n; n == 0 {
				idle++
			}
		}
		w.good, size = 0, max(inUse*3/4+idle, leastWindow)
	}
	w.resize(min(w.size, size), now)
	w.grows = now.Add(afterCut)
}

func (w *window) resize(size int, now time.Time) {
	w.first = time.Time{}
	w.size, w.resized, w.answers, w.refused, w.used = size, now, 0, 0, [windows]int{}
}

// divide returns the most slots that each class may have. In a window of firstWindow or more, a third is reserved for each
// class that has requests waiting. Beyond its third a class may use free slots: reads and writes up to half of the window,
// small requests, which are short, the whole window. In a smaller window, a class may use the slots that the
// others do not need, for example writes at a registry that only receives.
func divide(size int) [windows]int {
	if size >= firstWindow {
		return [windows]int{size / 2, size / 2, size}
	}
	small := max(1, size/4)
	write := max(1, (size-small)/2)
	shared := min(firstWindow/windows, size-windows+1)
	return [windows]int{max(shared, size-small-write), max(shared, write), max(shared, small)}
}

const (
	// fewStreams is how many streams into a registry share a line whose bandwidth is the limit. More of them would not
	// carry more bytes, but each would end later, and an end of the run would find more of them under way.
	fewStreams = firstWindow / windows
	// fewBytes: if more than fewStreams streams are under way, another one starts only while they carry fewer bytes
	// than this in all.
	fewBytes = 8 << 20
	// shortStream is how many round trips a stream takes, with a session, a request to the source and the slow start
	// of a connection, if the round trips are the limit.
	shortStream = 16
)

// line is what is known of the line to a registry. The zero value knows nothing.
type line struct {
	roundTrip time.Duration // the shortest one of a small request
	stream    time.Duration // how long a stream takes on average, if fewStreams of them share the line
}

// isLimit reports whether the bandwidth may be the limit: until streams have shown that round trips are.
func (l *line) isLimit() bool { return l.stream == 0 || l.stream > shortStream*l.roundTrip }

func (l *line) answered(roundTrip time.Duration) {
	if roundTrip > 0 && (l.roundTrip == 0 || roundTrip < l.roundTrip) {
		l.roundTrip = roundTrip
	}
}

// carried records how long a stream that carried bytes took, when so many shared the line.
func (l *line) carried(took time.Duration, streams int) {
	if streams > fewStreams {
		took = took * fewStreams / time.Duration(streams)
	}
	if l.stream == 0 {
		l.stream = took
	}
	l.stream = max(l.stream+(took-l.stream)/8, 1)
}
