package limit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	a = Peer{Registry: "a.test"}
	b = Peer{Registry: "b.test"}
	c = Peer{Registry: "c.test"}
)

func capped(n int) *Limiter {
	return New(Options{MaxConnections: func(string) int { return n }})
}

func acquire(t *testing.T, l *Limiter, p Peer, c Class) (release func()) {
	t.Helper()
	release, err := l.Acquire(t.Context(), p, c)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

func used(l *Limiter, p Peer, c Class) int {
	r := l.registry(p.Registry)
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.used[c.window()]
}

// requireIdle fails where anything waits or has a slot.
func requireIdle(t *testing.T, l *Limiter) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, r := range l.registries {
		readers := 0
		for _, n := range r.readers {
			readers += n
		}
		for _, n := range r.reads {
			readers += n
		}
		if r.waiting != 0 || readers != 0 || len(r.queues)+len(r.into)+len(r.outOf) != 0 || r.used != [windows]int{} {
			t.Errorf("%s: left behind: %d waiting, %d readers, %d queues, %d and %d pairs, %v in use",
				name, r.waiting, readers, len(r.queues), len(r.into), len(r.outOf), r.used)
		}
		for source, n := range r.writes {
			if n != 0 {
				t.Errorf("%s: %d write slots of %s", name, n, source)
			}
		}
	}
}

func TestCapIsDividedAmongTheClasses(t *testing.T) {
	for most, want := range map[int]int{-1: 48, 0: 48, 1: 3, 2: 3, 3: 3, 4: 4, 10: 10, 32: 32, 100: 48} {
		size := newWindow(most).size
		limit := divide(size)
		if size != want || slices.Min(limit[:]) < 1 || max(limit[Read], limit[Write]) > max(1, want-2) || limit[Small] > want {
			t.Errorf("cap %d: %v, %d in all", most, limit, size)
		}
	}
}

func TestClassesHaveSlotsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(3)
		read, write, small := acquire(t, l, a, Read), acquire(t, l, a, Write), acquire(t, l, a, Small)
		for _, class := range []Class{Read, Write, Small, Pull} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := l.Acquire(ctx, a, class); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("class %d: %v, want to wait in vain", class, err)
			}
			cancel()
		}
		small()
		small() // once too often
		pull := acquire(t, l, a, Pull)
		acquire(t, l, b, Small)()
		acquire(t, l, Peer{}, Small)()
		for _, release := range []func(){read, write, pull} {
			release()
		}
		requireIdle(t, l)
	})
}

func TestSmallRequestsGoInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(3)
		hold := acquire(t, l, a, Small)
		var mu sync.Mutex
		var went []int
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				release := acquire(t, l, Peer{"a.test", []string{"x", "y"}[i%2]}, []Class{Small, Pull}[i/2%2])
				mu.Lock()
				went = append(went, i)
				mu.Unlock()
				release()
			})
			synctest.Wait()
		}
		hold()
		all.Wait()
		if !slices.IsSorted(went) || len(went) != 20 {
			t.Errorf("went in the order %v", went)
		}
	})
}

func TestAcquireEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, gone := capped(3), errors.New("gone")
		for _, class := range []Class{Read, Write, Small} {
			hold := acquire(t, l, a, class)
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(gone) })
			if _, err := l.Acquire(ctx, a, class); !errors.Is(err, gone) {
				t.Errorf("got %v, want the context's cause", err)
			}
			if _, err := l.Acquire(ctx, b, class); !errors.Is(err, gone) {
				t.Errorf("with an ended context: got %v, want its cause", err)
			}
			hold()
			acquire(t, l, a, class)()
		}
		requireIdle(t, l)
	})
}
