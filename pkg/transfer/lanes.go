package transfer

import (
	"slices"
	"sync"
	"time"
)

const (
	// lanesOpen times the capacity of one pair of registries is the capacity of all pairs.
	lanesOpen = 4
	// maxWaiting bounds the waiting deliveries, which take a few hundred bytes each.
	maxWaiting = 1 << 15
)

// pair is a source and a destination registry.
type pair struct{ from, to string }

// lanes bound the open deliveries, for each pair of registries and in all. Within a pair they go
// in the file's order, and the entries of the file share its capacity; pairs take turns. A
// destination that hangs uses up the capacity of its own pair only.
type lanes struct {
	places int // of a pair
	down   func(registry string) bool

	mu      sync.Mutex
	pairs   map[pair]*lane
	turns   []*lane // least recently served first
	orders  int64
	open    int
	waiting int
	closed  bool          // no more jobs come
	stopped bool          // nothing opens any more
	freed   chan struct{} // closed and replaced when a delivery leaves the queue
	// keptBack: deliveries wait only because a registry is down; retry looks again.
	keptBack bool
	retry    *time.Timer
}

// lane has the deliveries of one pair.
type lane struct {
	pair    pair
	open    int
	entries []*laneEntry // in the order of their first job
}

// laneEntry has the deliveries of one entry of the file in a lane.
type laneEntry struct {
	name    string
	open    int
	waiting []*delivery // in the file's order
}

func newLanes(places int, down func(registry string) bool) *lanes {
	return &lanes{places: places, down: down, pairs: map[pair]*lane{}, freed: make(chan struct{})}
}

// waitForSpace waits until more deliveries may be added. It reports false if one of ends is
// closed first.
func (l *lanes) waitForSpace(ends []<-chan struct{}) bool {
	for {
		l.mu.Lock()
		full, freed := l.waiting >= maxWaiting, l.freed
		l.mu.Unlock()
		if !full {
			return true
		}
		select {
		case <-freed:
		case <-ends[0]:
			return false
		case <-ends[1]:
			return false
		}
	}
}

// add queues the deliveries of an image. An image without destinations has one delivery, which
// finds that there is nothing to do.
func (l *lanes) add(im *image) {
	for _, d := range im.deliveries {
		l.addDelivery(d)
	}
}

func (l *lanes) addDelivery(d *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.order == 0 {
		l.orders++
		d.order = l.orders
	}
	at := l.pairs[d.pair]
	if at == nil {
		at = &lane{pair: d.pair}
		l.pairs[d.pair] = at
		l.turns = append(l.turns, at)
	}
	of := at.entry(d.image.job.Entry)
	of.waiting = append(of.waiting, d)
	l.waiting++
}

func (l *lane) entry(name string) *laneEntry {
	for _, e := range l.entries {
		if e.name == name {
			return e
		}
	}
	e := &laneEntry{name: name}
	l.entries = append(l.entries, e)
	return e
}

// close declares that no more jobs come.
func (l *lanes) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// stop keeps waiting deliveries from being opened.
func (l *lanes) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
}

// next takes the next delivery to open; nil if none may be opened.
func (l *lanes) next() *delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keptBack = false
	if l.stopped || l.open >= lanesOpen*l.places {
		return nil
	}
	for i, at := range l.turns {
		e := l.choose(at)
		if e == nil {
			continue
		}
		d := e.waiting[0]
		e.waiting[0] = nil // the array outlives the delivery
		e.waiting = e.waiting[1:]
		e.open++
		at.open++
		l.open++
		l.waiting--
		l.turns = append(slices.Delete(l.turns, i, i+1), at)
		close(l.freed)
		l.freed = make(chan struct{})
		return d
	}
	return nil
}

// choose finds the entry whose delivery is opened next in a lane: the one with the fewest
// open. While more jobs may come, no entry has more than three times as many open as places
// are free, so that there is one for entries that come later (the dynamic threshold of
// Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches").
// A registry that is down gets one delivery at a time.
func (l *lanes) choose(at *lane) *laneEntry {
	if at.open >= l.places {
		return nil
	}
	if at.open > 0 && (l.down(at.pair.from) || l.down(at.pair.to)) {
		l.keptBack = true
		return nil
	}
	most := l.places
	if !l.closed {
		most = max(1, 3*(l.places-at.open))
	}
	var best *laneEntry
	for _, e := range at.entries {
		if len(e.waiting) > 0 && e.open < most && (best == nil || e.open < best.open) {
			best = e
		}
	}
	return best
}

// whenKeptBack calls look in a second, if deliveries are kept back.
func (l *lanes) whenKeptBack(look func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keptBack && l.waiting > 0 && l.retry == nil {
		l.retry = time.AfterFunc(time.Second, func() {
			l.mu.Lock()
			l.retry = nil
			l.mu.Unlock()
			look()
		})
	}
}

// leave releases the capacity that a delivery used.
func (l *lanes) leave(d *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.pairs[d.pair]
	e := at.entry(d.image.job.Entry)
	e.open--
	at.open--
	l.open--
	if e.open == 0 && len(e.waiting) == 0 {
		at.entries = slices.DeleteFunc(at.entries, func(other *laneEntry) bool { return other == e })
	}
	if at.open == 0 && len(at.entries) == 0 {
		delete(l.pairs, d.pair)
		l.turns = slices.DeleteFunc(l.turns, func(other *lane) bool { return other == at })
	}
}

// empty removes and returns all waiting deliveries.
func (l *lanes) empty() []*delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*delivery
	for _, at := range l.turns {
		for _, e := range at.entries {
			all = append(all, e.waiting...)
			l.waiting -= len(e.waiting)
			e.waiting = nil
		}
	}
	return all
}
