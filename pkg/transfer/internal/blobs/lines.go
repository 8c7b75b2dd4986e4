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
		fresh.noRanges.Store(known && seen == no.word(abilityPartial))
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
