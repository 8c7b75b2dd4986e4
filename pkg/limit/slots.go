package limit

import (
	"context"
	"time"
)

// Slots are what a stream holds: a write slot and, from Read on, a read slot. One goroutine at
// a time may use them.
type Slots struct {
	limiter *Limiter
	id      int64     // the stream's
	pair    *pair     // whose write slot it is; nil if there is none
	from    *registry // whose read slot it is; nil if there is none
}

// NewSlots are for what only reads: no write slot is held.
func (l *Limiter) NewSlots() *Slots {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &Slots{limiter: l, id: l.arrival()}
}

// Read waits for a read slot at from, the write slot kept. A read slot at another registry is
// released first. It does not wait for a registry that is down or paused: it returns a
// [*DownError] or [*PauseError] at once. Other errors are ctx's cause. A zero Peer needs no
// slot.
func (s *Slots) Read(ctx context.Context, from Peer) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	q, err := s.ask(from)
	if q == nil {
		return err
	}
	return s.limiter.await(ctx, q)
}

// ask is Read up to the wait. It returns nil where there is nothing to wait for.
func (s *Slots) ask(from Peer) (*request, error) {
	r := s.limiter.source(from)
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	if s.from == r {
		return nil, nil
	}
	now := time.Now()
	s.releaseRead(now)
	if r == nil {
		return nil, nil
	}
	if r.health.isDown(now) && r.health.test != s.id { // also when a test is due: this one holds a slot elsewhere
		return nil, r.downError(now)
	}
	q := &request{peer: from, class: Read, impatient: true, slots: s, id: s.id}
	r.enqueue(q, now)
	return q, nil
}

// Move changes the read slot to another registry, if one is free there at once and the
// registry is neither down nor paused. It reports whether the slot is there now.
func (s *Slots) Move(from Peer) bool {
	r := s.limiter.source(from)
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	if s.from == r {
		return true
	}
	now := time.Now()
	if r != nil {
		if r.used[Read] >= r.limit[Read] || r.health.isDown(now) || !r.admits(s.id, from.Account, Read, now) {
			return false
		}
		r.take(Read, s.id, now)
	}
	s.releaseRead(now)
	s.from = r
	return true
}

// ReleaseRead gives the read slot back, and keeps the write slot.
func (s *Slots) ReleaseRead() {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	s.releaseRead(time.Now())
}

// Release gives both slots back. It may be called again, also on nil.
func (s *Slots) Release() {
	if s == nil {
		return
	}
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	now := time.Now()
	s.releaseRead(now)
	if p := s.pair; p != nil {
		s.pair = nil
		p.release(s.id, now)
	}
}

func (s *Slots) releaseRead(now time.Time) {
	if r := s.from; r != nil {
		s.from = nil
		r.release(Read, s.id, now)
	}
}
