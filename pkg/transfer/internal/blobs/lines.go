package blobs

import (
	"sync"
	"sync/atomic"

	"github.com/regsync/regsync/pkg/content"
)

// line is what a run knows of the line from one registry.
type line struct {
	read     atomic.Int64 // bytes, by all readers
	requests atomic.Int64 // bodies that are being read
	// unranged: its answers to range requests are wrong, or it fetches a whole blob for each of them.
	unranged atomic.Bool
	best     atomic.Int64 // bytes a second
}

// carried records a rate, and reports whether the line has carried much more before.
func (l *line) carried(rate float64) bool {
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

	mu  sync.Mutex
	all map[string]*line
}

// of finds or creates the line from the registry of a source. It calls the memory without the lock.
func (l *lines) of(source content.Source) *line {
	registry := source.Location().Registry
	l.mu.Lock()
	known := l.all[registry]
	l.mu.Unlock()
	if known != nil {
		return known
	}
	fresh := &line{}
	if l.memory != nil && registry != "" {
		seen, known := l.memory.Ability(registry, abilityPartial)
		fresh.unranged.Store(known && seen == no.word(abilityPartial))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string]*line{}
	}
	if l.all[registry] == nil {
		l.all[registry] = fresh
	}
	return l.all[registry]
}

// refusesRanges records that a registry has answered a range request with something else.
func (l *lines) refusesRanges(source content.Source) {
	registry := source.Location().Registry
	if !l.of(source).unranged.Swap(true) && l.memory != nil && registry != "" {
		l.memory.KeepAbility(registry, abilityPartial, no.word(abilityPartial))
	}
}
