// Package lanes decides which deliveries are open. They wait in lanes, one for each pair of registries:
// a registry that hangs uses up the capacity of its own pairs only.
//
// Start at [New].
package lanes

import (
	"slices"
	"sync"
	"time"
)

const (
	// pairsOpen times the capacity of one pair of registries is the capacity of all pairs.
	pairsOpen = 4
	// MaxWaiting bounds the waiting deliveries, which take a few hundred bytes each.
	MaxWaiting = 1 << 15
)

// Ticket is a delivery that waits or is open.
type Ticket[W any] struct {
	// From and To are the registries.
	From, To string
	// Entry is the entry of the configuration that it belongs to.
	Entry string
	Work  W

	order int64
}

// Order is the position of the delivery in the order in which deliveries were first added.
func (t *Ticket[W]) Order() int64 { return t.order }

type pair struct{ from, to string }

func (t *Ticket[W]) pair() pair { return pair{t.From, t.To} }

// Lanes bound the open deliveries, for each pair of registries and in all. Within a pair, the entries
// share the capacity, and the deliveries of an entry open in the order in which they were added. Pairs
// take turns.
type Lanes[W any] struct {
	places int // of a pair
	down   func(registry string) bool

	mu      sync.Mutex
	pairs   map[pair]*lane[W]
	turns   []*lane[W] // the least recently served first
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

type lane[W any] struct {
	pair    pair
	open    int
	entries []*entry[W] // in the order of their first deliveries
}

// entry has the deliveries in a lane that belong to one entry of the configuration.
type entry[W any] struct {
	name    string
	open    int
	waiting []*Ticket[W] // in the order in which they were added
}

// New creates lanes that have the given number of places each. down reports whether a registry is down.
func New[W any](places int, down func(registry string) bool) *Lanes[W] {
	return &Lanes[W]{places: places, down: down, pairs: map[pair]*lane[W]{}, freed: make(chan struct{})}
}

// WaitForSpace waits until more deliveries may be added. It reports false if one of the two channels
// is closed first.
func (l *Lanes[W]) WaitForSpace(draining, done <-chan struct{}) bool {
	for {
		l.mu.Lock()
		full, freed := l.waiting >= MaxWaiting, l.freed
		l.mu.Unlock()
		if !full {
			return true
		}
		select {
		case <-freed:
		case <-draining:
			return false
		case <-done:
			return false
		}
	}
}

// Add queues a delivery. One that was open before keeps its order.
func (l *Lanes[W]) Add(d *Ticket[W]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.order == 0 {
		l.orders++
		d.order = l.orders
	}
	at := l.pairs[d.pair()]
	if at == nil {
		at = &lane[W]{pair: d.pair()}
		l.pairs[d.pair()] = at
		l.turns = append(l.turns, at)
	}
	of := at.entry(d.Entry)
	of.waiting = append(of.waiting, d)
	l.waiting++
}

func (l *lane[W]) entry(name string) *entry[W] {
	for _, e := range l.entries {
		if e.name == name {
			return e
		}
	}
	e := &entry[W]{name: name}
	l.entries = append(l.entries, e)
	return e
}

// Close declares that no more jobs come.
func (l *Lanes[W]) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// Stop keeps waiting deliveries from being opened.
func (l *Lanes[W]) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
}

// Next takes the next delivery to open; nil if none may be opened.
func (l *Lanes[W]) Next() *Ticket[W] {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keptBack = false
	if l.stopped || l.open >= pairsOpen*l.places {
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

// choose returns the entry whose delivery is opened next in a lane: the one with the fewest
// open. While more jobs may come, no entry has more than three times as many deliveries open as
// there are free places, so that later entries find a free place (the dynamic threshold of
// Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches").
// A registry that is down gets one delivery at a time.
func (l *Lanes[W]) choose(at *lane[W]) *entry[W] {
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
	var best *entry[W]
	for _, e := range at.entries {
		if len(e.waiting) > 0 && e.open < most && (best == nil || e.open < best.open) {
			best = e
		}
	}
	return best
}

// WhenKeptBack calls look after a second if deliveries are kept back.
func (l *Lanes[W]) WhenKeptBack(look func()) {
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

// Leave releases the capacity that a delivery used.
func (l *Lanes[W]) Leave(d *Ticket[W]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.pairs[d.pair()]
	e := at.entry(d.Entry)
	e.open--
	at.open--
	l.open--
	if e.open == 0 && len(e.waiting) == 0 {
		at.entries = slices.DeleteFunc(at.entries, func(other *entry[W]) bool { return other == e })
	}
	if at.open == 0 && len(at.entries) == 0 {
		delete(l.pairs, d.pair())
		l.turns = slices.DeleteFunc(l.turns, func(other *lane[W]) bool { return other == at })
	}
}

// Empty removes and returns all waiting deliveries.
func (l *Lanes[W]) Empty() []*Ticket[W] {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*Ticket[W]
	for _, at := range l.turns {
		for _, e := range at.entries {
			all = append(all, e.waiting...)
			l.waiting -= len(e.waiting)
			e.waiting = nil
		}
	}
	return all
}
