package limit

import (
	"context"
	"sync"
	"time"
)

// Slots are the slots of a stream: a write slot and, after Read, a read slot. One goroutine at a time may use them.
type Slots struct {
	limiter *Limiter
	id      int64     // the stream's
	pair    *pair     // whose write slot it is; nil if there is none
	from    *registry // whose read slot it is; nil if there is none
	size    int64     // of the stream, in bytes
	since   time.Time // when the write slot was given
	carried bool      // it had a read slot
}

// Reader returns slots without a write slot, for another goroutine that reads what the stream is to write.
func (s *Slots) Reader() *Slots { return &Slots{limiter: s.limiter, id: s.id} }

// Read waits for a read slot at from and keeps the write slot. It first releases a read slot at another registry. If the
// registry is down or paused, it returns a [*DownError] or [*PauseError] at once. Other errors are ctx's cause. A zero Peer
// needs no slot.
func (s *Slots) Read(ctx context.Context, from Peer) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	q, err := s.request(from)
	if q == nil {
		return err
	}
	return s.limiter.await(ctx, q)
}

// request queues the request of Read. It returns nil if there is nothing to wait for.
func (s *Slots) request(from Peer) (*request, error) {
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
	if r.health.isDown(now) && r.health.test != s.id { // also if a test is due: s holds a slot of another registry
		return nil, r.downError(now)
	}
	q := &request{peer: from, class: Read, impatient: true, slots: s, id: s.id}
	r.enqueue(q, now)
	return q, nil
}

// Move exchanges the read slot for one at another registry, if one is free and the registry is neither down nor paused. It
// reports whether s has a slot at from.
func (s *Slots) Move(from Peer) bool {
	r := s.limiter.source(from)
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	if s.from == r {
		return true
	}
	now := time.Now()
	if r != nil {
		if !r.mayReadNow(s.id, from, now) {
			return false
		}
		r.take(Read, s.id, now)
		r.reads[s.to()]++
	}
	s.releaseRead(now)
	s.from = r
	s.carried = s.carried || r != nil
	return true
}

// Spare takes another read slot at from, for a range that is read ahead of the stream, if one is free that nothing waits
// for, the registry is neither down nor paused, and a request may be sent now. release may be called in another goroutine,
// and more than once.
func (s *Slots) Spare(from Peer) (release func(), ok bool) {
	r := s.limiter.source(from)
	if r == nil {
		return nil, false
	}
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	id, now := s.limiter.arrival(), time.Now()
	// A quarter is left for streams that come next: a range may take long.
	if !r.mayReadNow(id, from, now) || r.used[Read] >= max(1, r.limit[Read]*3/4) || !r.pace.Load().allowsRequest(now) || r.readersWait(now) {
		return nil, false
	}
	r.take(Read, id, now)
	return sync.OnceFunc(func() {
		s.limiter.mu.Lock()
		defer s.limiter.mu.Unlock()
		r.release(Read, "", id, time.Now())
	}), true
}

// MayRead reports whether a request may be sent now to the registry of the read slot: the registry is not down, or its next
// test is due. The request is then that test.
func (s *Slots) MayRead() bool {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	r, now := s.from, time.Now()
	if r == nil {
		return true
	}
	if !r.health.admits(s.id, now) {
		return false
	}
	r.begin(s.id, now)
	return true
}

// ReleaseRead releases the read slot and keeps the write slot.
func (s *Slots) ReleaseRead() {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	s.releaseRead(time.Now())
}

// Release releases both slots. It may be called again, and on nil.
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
		if s.carried {
			p.to.line.carried(now.Sub(s.since), p.to.used[Write])
		}
		p.release(s.id, s.size, now)
	}
}

func (s *Slots) releaseRead(now time.Time) {
	if r := s.from; r != nil {
		s.from = nil
		r.reads[s.to()]--
		r.release(Read, "", s.id, now)
	}
}

// to is the destination of a stream; empty for slots that only read.
func (s *Slots) to() string {
	if s == nil || s.pair == nil {
		return ""
	}
	return s.pair.to.name
}

// Contended reports whether streams from elsewhere wait for the write slot.
func (s *Slots) Contended() bool {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	if s.pair == nil {
		return false
	}
	for peers := range s.pair.to.into {
		if peers[0].Registry != s.pair.peers[0].Registry {
			return true
		}
	}
	return false
}
