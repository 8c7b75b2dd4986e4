package mirror

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// begin begins the next listing, if there is one and room for it. m.mu is held.
func (m *merge) begin(ctx context.Context) bool {
	q := m.nextToList()
	if q == nil {
		return false
	}
	if !m.room(q.coming[0]) {
		// What comes first may always begin: others may wait for its claims.
		if q = m.firstComing(); !m.foremost(q.coming[0]) {
			return false
		}
	}
	f := q.coming[0]
	q.coming = q.coming[1:]
	q.live = append(q.live, f)
	slices.SortFunc(q.live, func(a, b *feed) int { return slices.Compare(a.order[:], b.order[:]) })
	f.state = stateListing
	if q.began.IsZero() {
		q.began = time.Now()
	}
	m.list(ctx, f)
	return true
}

// list finds out what a feed has, in the background where somebody has to be asked. m.mu is
// held.
func (m *merge) list(ctx context.Context, f *feed) {
	if !f.remote() {
		m.listed(ctx, f, m.read(ctx, f))
		return
	}
	m.prepare(ctx, f)
	m.reading.Go(func() {
		result := m.read(ctx, f)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.listed(ctx, f, result)
		m.wake()
	})
}

// prepare connects to the destinations of a feed, once to each registry, while the feed is listed. m.mu is held.
func (m *merge) prepare(ctx context.Context, f *feed) {
	if m.preparer == nil || f.witness || f.source.Glob != "" {
		return
	}
	for _, to := range m.selection.wholeJob(f).Destinations {
		if !to.IsRegistry() || to.Registry == f.source.Reference.Registry || m.prepared[to.Registry] {
			continue
		}
		if m.prepared == nil {
			m.prepared = map[string]bool{}
		}
		m.prepared[to.Registry] = true
		m.preparing.Go(func() { m.preparer.Prepare(ctx, to) })
	}
}

// nextToList is the entry whose source is listed next: of a fair merge the one with the
// least under way, otherwise the first.
func (m *merge) nextToList() *queue {
	if !m.fair {
		return m.firstComing()
	}
	var best *queue
	for _, q := range m.queues {
		if len(q.coming) > 0 && (best == nil || q.counted() < best.counted()) {
			best = q
		}
	}
	return best
}

func (m *merge) firstComing() *queue {
	for _, q := range m.queues {
		if len(q.coming) > 0 {
			return q
		}
	}
	return nil
}

// room reports whether one more may be listed. Where the order is kept, only what comes
// before it counts: the matches of a pattern come before what was listed meanwhile.
func (m *merge) room(next *feed) bool {
	live, counted := 0, 0
	for _, q := range m.queues {
		live += len(q.live)
		for _, f := range q.live {
			if m.fair && !f.stuck || !m.fair && f.before(next) {
				counted++
			}
		}
	}
	return counted < lookahead && live < lookaheadMost
}

// foremost reports whether everything that is listed or waits for its turn comes after f.
func (m *merge) foremost(f *feed) bool {
	return !slices.ContainsFunc(m.queues, func(q *queue) bool { return len(q.live) > 0 && q.live[0].before(f) })
}

// counted is how many listings an entry has under way or unused, without those that are
// stuck.
func (q *queue) counted() int {
	n := 0
	for _, f := range q.live {
		if !f.stuck {
			n++
		}
	}
	return n
}

// patience is over when nothing has become ready for so long that more should be listed.
func (m *merge) patience() <-chan time.Time {
	if !m.fair {
		return nil
	}
	return time.After(cmp.Or(m.selection.Patience, defaultPatience))
}

// stick marks what is live as stuck.
func (m *merge) stick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range m.queues {
		for _, f := range q.live {
			f.stuck = true
		}
	}
}

// listed takes the result of a listing. m.mu is held.
func (m *merge) listed(ctx context.Context, f *feed, result listed) {
	if ctx.Err() != nil && (result.err == nil || errors.Is(result.err, ctx.Err())) {
		return // the run has ended: nothing is known of it
	}
	f.listed = result
	f.state = stateListed
}

// settle makes the claims of the first listing that has ended and waits for no other. It
// reports whether there was one. m.mu is held.
func (m *merge) settle() bool {
	for _, q := range m.queues {
		for _, f := range q.live {
			switch {
			case f.state != stateListed:
			case len(f.sources) > 0 && f.err == nil:
				m.expand(f)
				return true
			case !m.claims.waits(f):
				m.claims.stake(f)
				f.state = stateReady
				if f.witness {
					m.spend(f)
				}
				return true
			}
		}
	}
	return false
}

// expand puts the matches of a pattern of repositories in its place.
func (m *merge) expand(f *feed) {
	q := f.queue
	q.live = slices.DeleteFunc(q.live, func(other *feed) bool { return other == f })
	f.state = stateSpent
	m.claims.withdraw(f)
	matches := make([]*feed, len(f.sources))
	for i, source := range f.sources {
		matches[i] = &feed{
			queue: q, entry: q.entry, source: source, pattern: named(f.source).String(),
			order: [3]int{f.order[0], f.order[1], i},
		}
	}
	matches = m.enrol(matches)
	if len(matches) > 0 {
		matches[0].firstOf = f
	}
	q.coming = slices.Concat(matches, q.coming)
}
