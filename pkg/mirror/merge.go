package mirror

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

const (
	// lookahead is how many sources are listed at a time, or have been and wait for their
	// turn. It grows by as many when nothing became ready for so long, up to the most.
	lookahead       = 16
	lookaheadMost   = 256
	defaultPatience = 2 * time.Second
)

// defaultWindow is that of the engine.
const defaultWindow = 256

// Places is an ability of a [Runner]: it tells how many of its places are free. One that
// lacks it has as many as Selection.Window, and each open job takes one.
type Places interface {
	// Free is how many jobs would begin at once.
	Free() int
}

// merge turns the sources of a configuration into jobs. A fair one lets its entries take
// turns: the next job comes from the entry with the fewest open ones. Once half of the
// engine's places are taken, none may have more open jobs than there are places to spare, as
// long as another entry has jobs to give or is still being listed; a place is kept for each
// entry that has none. So one entry whose jobs hang takes half of the window, several share
// it, and there is always a place for the others. (This is the dynamic threshold of Choudhury
// and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches".) The
// sources of one entry share its places in the same way, by half as many. An unfair merge
// keeps the order of the configuration.
type merge struct {
	selection *Selection
	fair      bool
	window    int
	engine    Places // nil where the engine does not tell
	listings  *listings
	retry     *retrying
	// changed has an element when a listing or a job has ended.
	changed chan struct{}
	reading sync.WaitGroup
	// warned has the warnings of invalid names so far. Only jobs uses it.
	warned map[string]bool

	mu     sync.Mutex
	queues []*queue
	claims *claims
	opened map[ticket][]*feed
	open   int // jobs without a result
	turn   int
}

// queue is the sources of one entry.
type queue struct {
	entry  *config.Entry
	coming []*feed // not begun, in the file's order
	live   []*feed // begun and not spent, in the file's order
	open   int
	turn   int // when an image was last taken
	began  time.Time
}

// ticket finds the feed that a job came from.
type ticket struct {
	entry  string
	source reference.Reference
}

func (s *Selection) merge(fair bool) *merge {
	m := &merge{
		selection: s, fair: fair, window: cmp.Or(s.Window, defaultWindow),
		listings: newListings(s, !fair), changed: make(chan struct{}, 1),
		claims: newClaims(), opened: map[ticket][]*feed{}, retry: newRetrying(s.Only), warned: map[string]bool{},
	}
	s.listings.Store(m.listings)
	var all []*feed
	for i := range s.Config.Entries {
		q := &queue{entry: &s.Config.Entries[i]}
		m.queues = append(m.queues, q)
		for j, source := range q.entry.Sources {
			all = append(all, &feed{queue: q, entry: q.entry, source: source, order: [3]int{i, j}})
		}
	}
	for _, f := range m.enrol(all) {
		f.queue.coming = append(f.queue.coming, f)
	}
	return m
}

// enrol notes where feeds may write to, and gives those that are to be listed.
func (m *merge) enrol(feeds []*feed) []*feed {
	for _, f := range feeds {
		m.claims.enrol(f)
	}
	feeds = m.retry.keep(feeds, m.claims)
	for _, f := range feeds {
		if f.source.Glob == "" {
			m.listings.expect(f.repository())
		}
	}
	return feeds
}

// next waits for the feed whose turn it is. It reports false when there is none left, or
// when the run is to end.
func (m *merge) next(ctx context.Context) (*feed, bool) {
	for {
		f, left := m.step(ctx)
		if f != nil || !left {
			return f, f != nil
		}
		select {
		case <-m.changed:
		case <-m.patience():
			m.stick()
		case <-m.selection.Draining:
			return nil, false
		case <-ctx.Done():
			return nil, false
		}
	}
}

// step begins listings, settles those that have ended and picks the next feed. Left reports
// whether there will be more.
func (m *merge) step(ctx context.Context) (_ *feed, left bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil || m.draining() {
		return nil, false
	}
	for m.begin(ctx) || m.settle() {
		continue
	}
	return m.pick(), slices.ContainsFunc(m.queues, (*queue).pending)
}

func (m *merge) draining() bool {
	select {
	case <-m.selection.Draining:
		return true
	default:
		return false
	}
}

// pending reports whether an entry has jobs to give, or may still have.
func (q *queue) pending() bool { return len(q.coming)+len(q.live) > 0 }

// take takes the next image of a feed; false means that it has none.
func (m *merge) take(f *feed) (image int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.next == f.images() {
		m.spend(f)
		return 0, false
	}
	m.turn++
	f.turn, f.queue.turn, f.stuck = m.turn, m.turn, false
	f.next++
	return f.next - 1, true
}

// taken ends the taking of an image. What became of it, if anything, counts as open until
// ended is called with its result.
func (m *merge) taken(f *feed, job transfer.Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fair && len(job.Destinations) > 0 {
		at := ticket{job.Entry, job.Source}
		m.opened[at] = append(m.opened[at], f)
		m.open++
		f.open++
		f.queue.open++
	}
	if f.next == f.images() {
		m.spend(f)
	}
}

// spend lets go of a feed that has nothing more to give. m.mu is held.
func (m *merge) spend(f *feed) {
	f.state = stateSpent
	f.queue.live = slices.DeleteFunc(f.queue.live, func(other *feed) bool { return other == f })
	m.release(f)
}

// release forgets what was listed of a feed that nobody needs any more. m.mu is held.
func (m *merge) release(f *feed) {
	if f.state != stateSpent || f.open > 0 {
		return
	}
	f.resolved = nil
	if !f.staked {
		f.tags = nil
	}
	if f.source.Glob == "" {
		m.listings.release(f.repository())
	}
}

// ended takes the result of a job.
func (m *merge) ended(job transfer.Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := ticket{job.Entry, job.Source}
	feeds := m.opened[at]
	if len(feeds) == 0 {
		return
	}
	f := feeds[0]
	if m.opened[at] = feeds[1:]; len(feeds) == 1 {
		delete(m.opened, at)
	}
	m.open--
	f.open--
	f.queue.open--
	m.release(f)
	m.wake()
}

func (m *merge) wake() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}
