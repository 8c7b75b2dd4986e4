package mirror

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

const (
	// lookahead is how many sources may be in listing, or listed and not used up, at a time. Sources that hang, so that
	// nothing becomes ready for the selection's patience, do not count; lookaheadMost bounds all of them.
	lookahead       = 32
	lookaheadMost   = 256
	defaultPatience = 2 * time.Second
)

// merge turns the sources of a configuration into jobs. The next job comes from the first
// source in the file's order that is listed and whose claims are made. A fair merge skips
// sources that are not; otherwise they are waited for, so that the jobs come in the file's
// order. How the entries share the engine is decided there.
type merge struct {
	selection *Selection
	fair      bool
	listings  *listings
	retry     *retrying
	// changed has an element when a listing has ended.
	changed chan struct{}
	reading sync.WaitGroup
	// warned has the warnings of invalid names so far. Only jobs uses it.
	warned map[string]bool
	// preparer connects to registries while sources are listed; nil if none does.
	preparer  Preparer
	preparing sync.WaitGroup

	mu       sync.Mutex
	prepared map[string]bool // registries
	queues   []*queue        // in the file's order
	claims   *claims
	// opened are the feeds of jobs that the engine has got and given no result of; only of a
	// fair merge.
	opened map[ticket][]*feed
}

// queue is the sources of one entry.
type queue struct {
	entry  *config.Entry
	coming []*feed // not begun, in the file's order
	live   []*feed // begun and not spent, in the file's order
	began  time.Time
}

// ticket finds the feed that a job came from.
type ticket struct {
	entry  string
	source reference.Reference
}

func (s *Selection) merge(fair bool) *merge {
	m := &merge{
		selection: s, fair: fair, listings: newListings(s, !fair), changed: make(chan struct{}, 1),
		claims: newClaims(), opened: map[ticket][]*feed{}, retry: newRetrying(s.Only),
		warned: map[string]bool{},
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

// next waits for the feed that gives the next job. It reports false when there is none left,
// or when the run is to end.
func (m *merge) next(ctx context.Context) (*feed, bool) {
	for ctx.Err() == nil && !m.draining() {
		f, left := m.step(ctx)
		if f != nil || !left {
			return f, f != nil
		}
		select {
		case <-m.changed:
		case <-m.patience():
			m.stick()
		case <-m.selection.Draining:
		case <-ctx.Done():
		}
	}
	return nil, false
}

// step begins listings, settles those that have ended and picks the next feed. Left reports
// whether there will be more.
func (m *merge) step(ctx context.Context) (_ *feed, left bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.begin(ctx) || m.settle() {
		continue
	}
	for _, q := range m.queues {
		left = left || len(q.coming)+len(q.live) > 0
		for _, f := range q.live {
			if f.state == stateReady {
				return f, true
			}
			if !m.fair {
				return nil, true
			}
		}
	}
	return nil, left
}

func (m *merge) draining() bool {
	select {
	case <-m.selection.Draining:
		return true
	default:
		return false
	}
}

// take takes the next image of a feed; false means that it has none.
func (m *merge) take(f *feed) (image int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.next == f.images() {
		m.spend(f)
		return 0, false
	}
	f.next++
	return f.next - 1, true
}

// spend lets go of a feed that has nothing more to give. m.mu is held.
func (m *merge) spend(f *feed) {
	f.state = stateSpent
	f.queue.live = slices.DeleteFunc(f.queue.live, func(other *feed) bool { return other == f })
	m.release(f)
}

// open notes a job that the engine gets, until ended is called with its result.
func (m *merge) open(f *feed, job transfer.Job) {
	if !m.fair {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := ticket{job.Entry, job.Source}
	m.opened[at] = append(m.opened[at], f)
	f.open++
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
	if m.opened[at] = feeds[1:]; len(feeds) == 1 {
		delete(m.opened, at)
	}
	feeds[0].open--
	m.release(feeds[0])
}

// release forgets what was listed of a feed that nothing needs any more. m.mu is held.
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

// wake lets next look at what a listing has changed.
func (m *merge) wake() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}
