package gate

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func capped(n int) func(string) Limits { return func(string) Limits { return LimitsFor(n) } }

func TestLimitsForDividesTheCap(t *testing.T) {
	for _, n := range []int{1, 3, 4, 10, 32} {
		l := LimitsFor(n)
		if sum := l.Reads + l.Writes + l.Small; sum != max(n, 3) || min(l.Reads, l.Writes, l.Small) < 1 {
			t.Errorf("cap %d: %+v", n, l)
		}
	}
	if l := LimitsFor(0); l != (Limits{}) {
		t.Errorf("no cap: %+v", l)
	}
}

// Two streams that each held one slot and waited for the other's would never end.
func TestOppositeStreamsDoNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(capped(3))
		var streams sync.WaitGroup
		for i := range 40 {
			from, to := "a", "b"
			if i%2 == 1 {
				from, to = to, from
			}
			streams.Go(func() {
				release, err := g.Acquire(t.Context(), from, to, int64(i))
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Second)
				release()
			})
		}
		start := time.Now()
		streams.Wait()
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("40 streams, one each way at a time, took %v, want 20s", took)
		}
	})
}

func TestNeverMoreThanTheLimit(t *testing.T) {
	g := New(func(string) Limits { return Limits{Reads: 3, Writes: 2, Small: 1} })
	var mu sync.Mutex
	reads, writes := 0, 0
	var streams sync.WaitGroup
	for range 200 {
		streams.Go(func() {
			release, err := g.Acquire(t.Context(), "a", "a", rand.Int64N(5))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			reads, writes = reads+1, writes+1
			if reads > 3 || writes > 2 {
				t.Errorf("%d reads and %d writes at a time", reads, writes)
			}
			mu.Unlock()
			mu.Lock()
			reads, writes = reads-1, writes-1
			mu.Unlock()
			release()
			release() // once too often
		})
	}
	streams.Wait()
	if s := g.at("a"); s.reads != 0 || s.writes != 0 || len(g.waiting) != 0 {
		t.Errorf("left behind: %+v and %d waiting", s, len(g.waiting))
	}
}

func TestHeavyGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(capped(3))
		hold, err := g.Acquire(t.Context(), "a", "b", 0)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var went []int64
		var streams sync.WaitGroup
		for _, weight := range []int64{1, 5, 3} {
			streams.Go(func() {
				release, err := g.Acquire(t.Context(), "a", "b", weight)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				went = append(went, weight)
				mu.Unlock()
				release()
			})
		}
		synctest.Wait()
		hold()
		streams.Wait()
		if want := []int64{5, 3, 1}; !slices.Equal(went, want) {
			t.Errorf("went in the order %v, want %v", went, want)
		}
	})
}

func TestNoSourceTakesMoreThanHalfWhileOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(func(string) Limits { return Limits{Reads: 100, Writes: 4, Small: 1} })
		var releases []func()
		for range 4 {
			release, err := g.Acquire(t.Context(), "greedy", "to", 9)
			if err != nil {
				t.Fatal(err)
			}
			releases = append(releases, release)
		}
		counts := map[string]int{}
		var mu sync.Mutex
		var streams sync.WaitGroup
		for _, from := range []string{"greedy", "greedy", "modest", "modest"} {
			streams.Go(func() {
				release, err := g.Acquire(t.Context(), from, "to", map[string]int64{"greedy": 9}[from])
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				counts[from]++
				mu.Unlock()
				time.Sleep(time.Minute)
				release()
			})
		}
		synctest.Wait()
		releases[0]()
		releases[1]()
		synctest.Wait()
		mu.Lock()
		if counts["modest"] != 2 || counts["greedy"] != 0 {
			t.Errorf("of two free slots %v, want both for the source that had none", counts)
		}
		mu.Unlock()
		releases[2]()
		releases[3]()
		streams.Wait()
	})
}

func TestOneThatCannotGoHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(capped(3))
		hold, err := g.Acquire(t.Context(), "full", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		var waiting sync.WaitGroup
		gone := errors.New("gone")
		waiting.Go(func() {
			if _, err := g.Acquire(ctx, "full", "b", 99); !errors.Is(err, gone) {
				t.Errorf("got %v, want the context's cause", err)
			}
		})
		synctest.Wait()
		release, err := g.Acquire(t.Context(), "a", "b", 0)
		if err != nil {
			t.Fatal(err)
		}
		release()
		small, err := g.Small(t.Context(), "full")
		if err != nil {
			t.Fatal(err)
		}
		small()
		cancel(gone)
		waiting.Wait()
		hold()
		if s := g.at("b"); s.writes != 0 || len(g.waiting) != 0 {
			t.Errorf("left behind: %+v, %d waiting", s, len(g.waiting))
		}
	})
}

// Once the others have their slots, nothing keeps a source from the rest.
func TestHalfIsNoLimitWhenNobodyElseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(func(string) Limits { return Limits{Reads: 100, Writes: 4, Small: 1} })
		hold := make([]func(), 4)
		for i := range hold {
			hold[i] = acquire(t, g, "local", "to")
		}
		var streams sync.WaitGroup
		var mu sync.Mutex
		counts := map[string]int{}
		for _, from := range []string{"big", "big", "big", "small"} {
			streams.Go(func() {
				release, err := g.Acquire(t.Context(), from, "to", map[string]int64{"big": 9}[from])
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				counts[from]++
				mu.Unlock()
				time.Sleep(time.Minute)
				release()
			})
		}
		synctest.Wait()
		for _, release := range hold {
			release()
		}
		synctest.Wait()
		mu.Lock()
		if counts["big"] != 3 || counts["small"] != 1 {
			t.Errorf("of four free slots %v, want 3 and 1", counts)
		}
		mu.Unlock()
		streams.Wait()
	})
}

// Whoever goes away must not keep others from slots that it only waited for.
func TestCancelledWaiterFreesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(func(string) Limits { return Limits{Reads: 100, Writes: 2, Small: 1} })
		first := acquire(t, g, "big", "to")
		second := acquire(t, g, "big", "to")
		ctx, cancel := context.WithCancel(t.Context())
		var streams sync.WaitGroup
		streams.Go(func() {
			if _, err := g.Acquire(ctx, "small", "to", 0); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want to be cancelled", err)
			}
		})
		synctest.Wait()
		went := false
		streams.Go(func() {
			acquire(t, g, "big", "to")()
			went = true
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		second()
		synctest.Wait()
		if !went {
			t.Error("a slot is free and nobody else waits, yet the stream waits")
		}
		first()
		streams.Wait()
	})
}

func acquire(t *testing.T, g *Gate, read, write string) (release func()) {
	t.Helper()
	release, err := g.Acquire(t.Context(), read, write, 0)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// Of three slots two sources had one each, and the third stayed idle because each was
// greedy while the other waited.
func TestOddSlotIsNotLeftIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(func(string) Limits { return Limits{Reads: 16, Writes: 3} })
		var streams sync.WaitGroup
		start := time.Now()
		for i := range 12 {
			streams.Go(func() {
				release := acquire(t, g, []string{"a", "b"}[i%2], "to")
				time.Sleep(time.Second)
				release()
			})
		}
		streams.Wait()
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("12 streams, three at a time, took %v, want 4s", took)
		}
	})
}
