package limit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// log is what happened, in order.
type log[T any] struct {
	mu  sync.Mutex
	all []T
}

func (l *log[T]) add(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, v)
}

func (l *log[T]) read() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// holding is a stream that keeps both slots for a while.
func holding(t *testing.T, from, to Peer, d time.Duration, done func()) *Stream {
	return &Stream{From: from, To: to, Run: func(slots *Slots, err error) {
		defer done()
		if err == nil {
			defer slots.Release()
			err = slots.Read(context.Background(), from)
		}
		if err != nil {
			t.Error(err)
			return
		}
		time.Sleep(d)
	}}
}

// Two streams that each held one slot and waited for the other's would never end. The
// window is full all the time.
func TestOppositeStreamsDoNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(3)
		var streams sync.WaitGroup
		start := time.Now()
		for i := range 40 {
			from, to := a, b
			if i%2 == 1 {
				from, to = to, from
			}
			streams.Add(1)
			l.Enqueue(holding(t, from, to, time.Second, streams.Done))
		}
		streams.Wait()
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("40 streams, one each way at a time, took %v, want 20s", took)
		}
	})
}

// recorder enqueues streams to b, each of which has its slots for a second, and notes in
// which order they went.
type recorder struct {
	limiter *Limiter
	went    log[string]
	all     sync.WaitGroup
}

func (r *recorder) enqueue(t *testing.T, name string, s *Stream) *Stream {
	r.all.Add(1)
	s.To, s.Run = b, func(slots *Slots, err error) {
		defer r.all.Done()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		r.went.add(name)
		time.Sleep(time.Second)
		slots.Release()
	}
	r.limiter.Enqueue(s)
	return s
}

func TestGroupsAndWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{limiter: capped(3)}
		l := r.limiter
		hold := acquire(t, l, b, Write)
		r.enqueue(t, "late", &Stream{From: a, Group: 2, Weight: 99})
		r.enqueue(t, "light", &Stream{From: a, Group: 1, Weight: 1})
		r.enqueue(t, "heavy", &Stream{From: a, Group: 1, Weight: 5})
		r.enqueue(t, "heavy too", &Stream{From: a, Group: 1, Weight: 5})
		moved := r.enqueue(t, "moved", &Stream{From: a, Group: 3})
		withdrawn := &Stream{From: a, To: b, Run: func(*Slots, error) { t.Error("ran after it was withdrawn") }}
		l.Enqueue(withdrawn)
		l.Reorder(moved, 0, 0)
		if !l.Withdraw(withdrawn) || l.Withdraw(withdrawn) {
			t.Error("withdrawing once did not work, or twice did")
		}
		hold()
		r.all.Wait()
		if got, want := r.went.read(), []string{"moved", "heavy", "heavy too", "light", "late"}; !slices.Equal(got, want) {
			t.Errorf("went in the order %v, want %v", got, want)
		}
		l.Reorder(moved, 9, 9) // it does not wait
		if l.Withdraw(moved) {
			t.Error("withdrawn after it ran")
		}
		r.enqueue(t, "moved", moved) // again
		r.all.Wait()
	})
}

func TestStreamThatHasWaitedForLongGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{limiter: capped(3)}
		hold := acquire(t, r.limiter, b, Write)
		r.limiter.Enqueue(holding(t, c, b, 2*agedAfter, func() {}))
		r.enqueue(t, "old", &Stream{From: c, Group: 7})
		hold()
		time.Sleep(agedAfter + time.Second)
		r.enqueue(t, "young", &Stream{From: c, Group: 1})
		r.enqueue(t, "whose turn it is", &Stream{From: a})
		r.all.Wait()
		if got, want := r.went.read(), []string{"old", "whose turn it is", "young"}; !slices.Equal(got, want) {
			t.Errorf("went in the order %v, want %v", got, want)
		}
	})
}

// A source with thousands of heavy streams gets its half of the slots and no more.
func TestPairsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{limiter: New(Options{})}
		for i := range 300 {
			r.enqueue(t, "big", &Stream{From: a, Weight: int64(1000 - i), Size: 1 << 20})
		}
		for range 30 {
			r.enqueue(t, "small", &Stream{From: c, Size: 1 << 20})
		}
		r.all.Wait()
		// The first 16 went while nothing else waited.
		for i, want := range []int{16, 8, 8} {
			second := r.went.read()[16*(i+1) : 16*(i+2)]
			small := 0
			for _, name := range second {
				if name == "small" {
					small++
				}
			}
			if small != want && i > 0 || small < 8 {
				t.Errorf("second %d: %d of 16 were the small source's, want %d", i, small, want)
			}
		}
	})
}

// A source that hangs keeps no more than half of the write slots while another one waits.
func TestHangingSourceLeavesHalfOfTheSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		hold := make([]func(), 16)
		for i := range hold {
			hold[i] = acquire(t, l, b, Write)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		hangs := func(slots *Slots, _ error) { <-ctx.Done(); slots.Release() }
		for range 100 {
			l.Enqueue(&Stream{From: a, To: b, Group: -1, Weight: 99, Size: 1 << 20, Run: hangs})
		}
		time.Sleep(agedAfter) // age gives no source more than its half
		var all sync.WaitGroup
		all.Add(40)
		start := time.Now()
		for range 40 {
			l.Enqueue(holding(t, c, b, time.Second, all.Done))
		}
		for _, release := range hold {
			release()
		}
		all.Wait()
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("40 streams, 8 at a time, took %v, want 5s", took)
		}
	})
}

// Of three slots two sources had one each, and the third stayed idle because each was
// greedy while the other waited.
func TestOddSlotIsNotLeftIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(5) // 3 of a class, where others leave them
		var all sync.WaitGroup
		start := time.Now()
		for i := range 12 {
			all.Add(1)
			l.Enqueue(holding(t, []Peer{a, c}[i%2], b, time.Second, all.Done))
		}
		all.Wait()
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("12 streams, three at a time, took %v, want 4s", took)
		}
	})
}

// Streams that would only wait for a read slot hold no write slots beyond the number of read
// slots, so that others can go.
func TestSourceWithoutFreeReadSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{MaxConnections: func(registry string) int {
			return map[string]int{"a.test": 3}[registry] // one read slot
		}})
		busy := acquire(t, l, a, Read)
		for range 30 {
			l.Enqueue(holding(t, a, b, time.Second, func() {}))
			synctest.Wait()
		}
		if n := used(l, b, Write); n != 1 {
			t.Errorf("%d write slots are held by streams that wait to read, want 1", n)
		}
		busy()
		time.Sleep(31 * time.Second)
		if n := used(l, a, Read) + used(l, b, Write); n != 0 {
			t.Errorf("%d slots in use at the end", n)
		}
	})
}

// A stream that stops waiting for a read slot makes room for another one to wait.
func TestReaderThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{MaxConnections: func(registry string) int {
			return map[string]int{"a.test": 3}[registry] // one read slot
		}})
		busy := acquire(t, l, a, Read)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		l.Enqueue(&Stream{From: a, To: b, Run: func(slots *Slots, _ error) {
			if err := slots.Read(ctx, a); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want the context's cause", err)
			}
			time.Sleep(time.Minute)
			slots.Release()
		}})
		synctest.Wait()
		went := make(chan *Slots)
		start := time.Now()
		l.Enqueue(&Stream{From: a, To: b, Run: func(slots *Slots, _ error) { went <- slots }})
		(<-went).Release()
		if took := time.Since(start); took != time.Second {
			t.Errorf("went after %v, want 1s", took)
		}
		busy()
		time.Sleep(2 * time.Minute)
		requireIdle(t, l)
	})
}

func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(3)
		got := make(chan *Slots, 1)
		l.Enqueue(&Stream{From: a, To: b, Run: func(slots *Slots, _ error) { got <- slots }})
		s := <-got
		at := func(p Peer) int { return used(l, p, Read) }
		read := func(p Peer) {
			t.Helper()
			if err := s.Read(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		read(a)
		read(a)
		if at(a) != 1 {
			t.Errorf("%d read slots, want one", at(a))
		}
		busy := acquire(t, l, c, Read)
		if s.Move(c) || at(a) != 1 {
			t.Error("moved to a registry without a free slot, or lost the old one")
		}
		busy()
		if moved, again := s.Move(c), s.Move(c); !moved || !again || at(a) != 0 || at(c) != 1 {
			t.Error("did not move")
		}
		read(a)
		if at(a) != 1 || at(c) != 0 {
			t.Error("Read did not release the slot at the other registry")
		}
		if !s.Move(Peer{}) || at(a) != 0 {
			t.Error("did not move to a source without limits")
		}
		read(Peer{})
		read(a)
		s.ReleaseRead()
		s.ReleaseRead()
		if at(a) != 0 || used(l, b, Write) != 1 {
			t.Error("ReleaseRead did not keep the write slot")
		}
		hold := acquire(t, l, a, Read)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Read(ctx, a); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's cause", err)
		}
		hold()
		read(a)
		s.Release()
		s.Release()
		requireIdle(t, l)
		(*Slots)(nil).Release()
	})
}

// A local target without a name, and a source without one, need no slots.
func TestPeersWithoutLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		var all sync.WaitGroup
		all.Add(200)
		start := time.Now()
		for range 100 {
			l.Enqueue(holding(t, Peer{}, Peer{}, time.Second, all.Done))
			l.Enqueue(holding(t, Peer{Account: "x"}, Peer{}, time.Second, all.Done))
		}
		all.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want 1s", took)
		}
	})
}

// A range that is read ahead takes only a read slot that is free and that nothing waits for.
func TestSpareSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(6)
		slots := &Slots{limiter: l}
		var spare []func()
		for release, ok := slots.Spare(a); ok; release, ok = slots.Spare(a) {
			spare = append(spare, release)
		}
		if len(spare) == 0 {
			t.Fatal("no slot is spare")
		}
		var ended atomic.Int32
		for range 3 {
			l.Enqueue(holding(t, a, b, time.Second, func() { ended.Add(1) }))
		}
		synctest.Wait()
		spare[0]()
		spare[0]()
		if _, ok := slots.Spare(a); ok {
			t.Error("a spare slot was given before those that wait")
		}
		time.Sleep(3500 * time.Millisecond)
		if got := ended.Load(); got != 3 {
			t.Errorf("%d streams had the slot in 3.5 s, want 3, one after the other", got)
		}
		if _, ok := slots.Spare(Peer{}); ok {
			t.Error("a local place has a spare slot")
		}
		for _, release := range spare {
			release()
		}
		requireIdle(t, l)
	})
}
