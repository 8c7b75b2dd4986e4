package blobs

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
)

const (
	// rangedAbove is the least size, in bytes, of what is left of a blob that is read by range requests.
	rangedAbove = 32 << 20
	// rangeSize is the size, in bytes, of each of several ranges in flight, and of their buffers.
	rangeSize = 1 << 20
	// firstRange is the size, in bytes, of the first range of a blob, which shows how fast one request is.
	firstRange = 2 << 20
	// loneTime is the intended duration of a range that is read without others.
	loneTime = 1500 * time.Millisecond
	// firstRanges is how many ranges are tried first: two of them, with a round trip each, are hardly faster than one
	// long request.
	firstRanges = 4
	// maxRanges bounds the ranges of a blob that are in flight or in memory, and rangeMemory the bytes of all buffers.
	maxRanges   = 16
	rangeMemory = 28 << 20
	// fastRequest is the rate, in bytes a second, at which one request is not the limit. The first range is short, so
	// that its rate is a guess: a lower one is enough there.
	fastRequest      = 32 << 20
	fastFirstRequest = 8 << 20
	// nearby is the round trip below which blobs are not read by ranges: over a short line one request is as fast as the
	// source, and a source that is slow because it is busy gets no faster by more requests.
	nearby = 10 * time.Millisecond
	// measureFor is the shortest time over which a rate is measured.
	measureFor = 300 * time.Millisecond
	// afterNoGain is how long no further ranges are tried after an increase had no effect on the rate.
	afterNoGain = 2 * time.Second
	// cacheDelay is the shortest delay of an answer that suggests a pull-through cache that fetches the whole blob first.
	cacheDelay = 2 * time.Second
)

// rangeWindow decides how many ranges of a blob are in flight. The zero value reads with one request at a time.
type rangeWindow struct {
	// wanted is how many may be in flight; zero is one, and long ranges.
	wanted, before int
	measured       bool // at the end of the first range
	raised         bool // wanted was raised, and the gain is not known yet
	notBefore      time.Time
	rate           float64 // bytes a second from the registry, before wanted was raised
	requests       int64   // in flight to the registry before wanted was raised
	settled        time.Time
	since          sample
	speed          float64 // bytes a second of the last range that was read alone
}

// sample is what a reader has measured up to a time.
type sample struct {
	at       time.Time
	line     *line
	total    int64 // bytes from the registry
	own      int64 // bytes of the reader
	waited   time.Duration
	requests int64 // to the registry, in flight
}

// adjust raises the window while the reader waits for the source, as long as that increases the bytes per second.
// atEnd: the range that is read alone is about to end. Further requests begin then, so that few bytes are in memory, or at
// once if the registry has delivered much more before. latency is the time to the first byte of an answer.
func (w *rangeWindow) adjust(now sample, atEnd bool, latency time.Duration) {
	if w.since.at.IsZero() || now.at.Before(w.settled) {
		w.since = now
		return
	}
	elapsed := now.at.Sub(w.since.at)
	first := !w.measured
	if first && !atEnd || !first && elapsed < max(measureFor, 2*latency) {
		return
	}
	w.measured = true
	rate := float64(now.total-w.since.total) / elapsed.Seconds()
	own := float64(now.own-w.since.own) / elapsed.Seconds()
	starved := (now.waited - w.since.waited).Seconds() / elapsed.Seconds()
	fast := float64(fastRequest)
	if first {
		fast = fastFirstRequest
	}
	needed := w.rate * (1 + 0.25*float64(w.wanted-max(w.before, 1))/float64(max(w.requests, 1)))
	spare := elapsed >= measureFor && now.line.recordRate(rate)
	w.since = now
	switch {
	case w.raised && rate < needed:
		w.wanted, w.raised, w.notBefore = w.before, false, now.at.Add(afterNoGain)
	case starved > 0.5 && w.wanted < maxRanges && own < fast && (spare || (w.wanted > 0 || atEnd) && !now.at.Before(w.notBefore)):
		w.before, w.raised, w.rate, w.requests = w.wanted, true, rate, now.requests
		w.wanted = min(max(firstRanges, 2*w.wanted), maxRanges)
		w.settled = now.at.Add(2 * latency)
	default:
		w.raised = false
	}
}

// ahead is the state of reading ahead of the reader's offset.
type ahead struct {
	rangeWindow
	prefetches []*prefetch   // in the order of the blob
	from       int64         // where the request begins that is being read
	until      int64         // where it ends
	began      time.Time     // when it was sent
	latency    time.Duration // of its answer
	waited     time.Duration // for bytes, in all
	line       *line         // to the registry that is read
	current    *prefetch     // is being read; nil if none
	ranged     bool          // some bytes were read by range requests
	whole      bool          // the origin has refused a range
	failed     int           // range requests in a row that were answered 500
}

// ranged reports whether the rest of the blob is read by ranges.
func (r *reader) ranged() bool {
	_, ok := r.from.Source.(content.RangeFetcher)
	if mirrored, is := r.from.Source.(content.Mirrored); is && mirrored.HasMirrors() {
		return false
	}
	if !ok || r.ahead.whole || r.supply.blob.Size-r.start < rangedAbove || r.ahead.line.noRanges.Load() ||
		r.queue.options.Limiter.RoundTrip(r.from.peer().Registry) < nearby {
		return false
	}
	r.queue.lock()
	defer r.queue.unlock()
	return len(r.supply.corruptReads) == 0
}

// requestEnd returns where a request that begins at the offset ends.
func (r *reader) requestEnd() int64 {
	a, size := &r.ahead, r.supply.blob.Size
	switch {
	case len(a.prefetches) > 0:
		return a.prefetches[0].start
	case !r.ranged():
		return size
	}
	length := int64(firstRange)
	if a.wanted == 0 {
		length = max(length, int64(a.speed*loneTime.Seconds()))
	}
	if size-r.offset-length < length/8 { // the last request is not a short one
		return size
	}
	return r.offset + length
}

// nextPrefetch returns the prefetch that begins at the offset, as a body that waits until ctx ends; nil if there is none.
func (r *reader) nextPrefetch(ctx context.Context) *prefetch {
	a := &r.ahead
	if len(a.prefetches) == 0 || a.prefetches[0].start != r.offset {
		return nil
	}
	p := a.prefetches[0]
	a.prefetches = a.prefetches[1:]
	p.reading, a.current, a.until = ctx, p, p.end
	return p
}

// dropPrefetches ends the requests ahead. Without all, it keeps those that are complete.
func (r *reader) dropPrefetches(all bool) {
	var kept []*prefetch
	for _, p := range r.ahead.prefetches {
		if !all && p.hasEnded() && p.err == nil {
			kept = append(kept, p)
			continue
		}
		r.discard(p)
	}
	r.ahead.prefetches = kept
}

// discard ends a prefetch. What it has received and the reader has not taken counts as read, and as read again once it is.
func (r *reader) discard(p *prefetch) {
	p.cancel(nil)
	<-p.ended
	start, end := p.start+p.read, p.start+p.filled.Load()
	_ = p.Close()
	if end > start {
		r.queue.options.Observer.BytesRead(end-start, 0)
		r.supply.discarded.add(start, end)
	}
}

// refusesRanges records that the origin has answered a range request with something else. The blob is read whole from now on.
func (r *reader) refusesRanges() {
	r.queue.lines.refusesRanges(r.from.Source)
	r.ahead.whole = true
	r.dropPrefetches(true)
}

// readAhead starts range requests, as many as may be in flight now.
func (r *reader) readAhead() {
	a := &r.ahead
	if a.until == r.supply.blob.Size && len(a.prefetches) == 0 && a.current == nil { // one request reads the rest
		return
	}
	if a.speed == 0 && a.latency >= cacheDelay {
		return // it may be a pull-through cache: endRequest finds out
	}
	left := a.until - r.offset
	a.adjust(sample{r.last, a.line, a.line.read.Load(), r.offset, a.waited, a.line.requests.Load()}, left <= rangeSize, a.latency)
	for len(a.prefetches) < maxRanges-1 && r.inFlight() < a.wanted {
		start := a.until
		if n := len(a.prefetches); n > 0 {
			start = a.prefetches[n-1].end
		}
		if start >= r.supply.blob.Size || !r.begin(start) {
			return
		}
	}
}

func (r *reader) inFlight() (n int) {
	if r.ahead.current == nil || !r.ahead.current.hasEnded() {
		n++
	}
	for _, p := range r.ahead.prefetches {
		if !p.hasEnded() {
			n++
		}
	}
	return n
}

// begin starts the range request at start. It reports false if no read slot is free that nothing else waits for, or if
// no memory is left.
func (r *reader) begin(start int64) bool {
	release, ok := r.slots.Spare(r.from.peer())
	if !ok {
		return false
	}
	p := newPrefetch(r.ctx, &r.queue.buffers, start, min(start+rangeSize, r.supply.blob.Size))
	if p == nil {
		release()
		return false
	}
	from, count, blob := r.from.Source.(content.RangeFetcher), r.ahead.line, r.supply.blob //nolint:forcetypeassert // ranged has checked
	r.queue.running.Go(func() {
		defer release()
		p.fetch(from, blob, count)
	})
	r.ahead.prefetches = append(r.ahead.prefetches, p)
	return true
}

// endRequest records the rate of a request that read a range without others. It does nothing for a prefetch.
func (r *reader) endRequest() {
	a := &r.ahead
	if a.current != nil {
		a.current = nil
		return
	}
	took := time.Since(a.began)
	if a.speed == 0 {
		a.line.answeredLate(a.latency >= cacheDelay && a.latency > took*4/5)
	}
	a.speed = float64(a.until-a.from) / max(took.Seconds(), 0.001)
}

// line is what a run knows of the line from one registry.
type line struct {
	read     atomic.Int64 // bytes, by all readers
	requests atomic.Int64 // bodies that are being read
	// noRanges: the registry answers range requests with something else or wrong bytes, or fetches a whole blob for
	// each of them.
	noRanges atomic.Bool
	refused  atomic.Int32 // range requests that were answered with something else
	late     atomic.Int32 // blobs in a row whose first range came as late as if the whole blob was fetched before
	best     atomic.Int64 // bytes a second
}

// recordRate records a rate in bytes a second, and reports whether the best rate so far is more than 40 % higher.
func (l *line) recordRate(rate float64) bool {
	best := l.best.Load()
	for rate > float64(best) && !l.best.CompareAndSwap(best, int64(rate)) {
		best = l.best.Load()
	}
	return rate < 0.7*float64(best)
}

// abilityPartial is remembered of a source that answers range requests with something else.
const abilityPartial = "partial"

// lines are the lines of a run, by registry.
type lines struct {
	memory Abilities // may be nil
	all    flight.Memo[string, *line]
}

// of finds or creates the line from the registry of a source.
func (l *lines) of(source content.Source) *line {
	registry := source.Location().Registry
	if known, found := l.all.Find(registry); found {
		return known
	}
	fresh := &line{}
	if l.memory != nil && registry != "" {
		seen, known := l.memory.Ability(registry, abilityPartial)
		fresh.noRanges.Store(known && seen == no.word(abilityPartial))
	}
	return l.all.KeepFirst(registry, fresh)
}

// enoughProof is how often a registry must do so, because one proxy or storage of many may be the cause.
const enoughProof = 2

// refusesRanges records that a registry has answered a range request with something else.
func (l *lines) refusesRanges(source content.Source) {
	registry, line := source.Location().Registry, l.of(source)
	if line.refused.Add(1) < enoughProof {
		return
	}
	if !line.noRanges.Swap(true) && l.memory != nil && registry != "" {
		l.memory.KeepAbility(registry, abilityPartial, no.word(abilityPartial))
	}
}

// answeredLate records whether the first range of a blob came as late as from a pull-through cache that fetches the whole
// blob for it.
func (l *line) answeredLate(late bool) {
	if !late {
		l.late.Store(0)
	} else if l.late.Add(1) >= enoughProof {
		l.noRanges.Store(true)
	}
}
