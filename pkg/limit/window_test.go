package limit

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// load keeps a registry busy with small requests for a while. Each takes 100 ms, or is refused after 20.
func load(t *testing.T, l *Limiter, lasts time.Duration, accepts func(inFlight int64) bool) (accepted, refused int64) {
	t.Helper()
	var inFlight, good, bad atomic.Int64
	var all sync.WaitGroup
	end := time.Now().Add(lasts)
	for i := range 200 {
		all.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				release, err := l.Acquire(t.Context(), a, Small)
				if err != nil {
					t.Error(err)
					return
				}
				code, took := http.StatusOK, 100*time.Millisecond
				if accepts(inFlight.Add(1)) {
					good.Add(1)
				} else {
					bad.Add(1)
					code, took = http.StatusTooManyRequests, 20*time.Millisecond
					inFlight.Add(-1)
				}
				time.Sleep(took)
				if code == http.StatusOK {
					inFlight.Add(-1)
				}
				l.Report(Answer{Peer: a, Class: Small, Item: strconv.Itoa(i), Status: code, RoundTrip: took})
				release()
				if code == http.StatusOK {
					continue
				}
				time.Sleep(time.Second) // as a retry would
			}
		})
	}
	all.Wait()
	return good.Load(), bad.Load()
}

func small(l *Limiter) int {
	r := l.registry(a.Registry)
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.limit[Small]
}

// A registry that refuses nothing gets twice as many requests with each round trip, up to 192 in all.
func TestWindowGrows(t *testing.T) {
	for most, want := range map[int]int{0: mostWindow, 60: 60, 100: 100} {
		synctest.Test(t, func(t *testing.T) {
			l := capped(most)
			if got := small(l); got != firstWindow {
				t.Errorf("begins with %d", got)
			}
			load(t, l, 2*time.Second, func(int64) bool { return true })
			if got := small(l); got != want {
				t.Errorf("cap %d: grew to %d, want %d", most, got, want)
			}
		})
	}
}

// A window grows only where requests wait for it.
func TestWindowThatIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(0)
		for range 500 {
			release := acquire(t, l, a, Small)
			time.Sleep(10 * time.Millisecond)
			l.Report(Answer{Peer: a, Class: Small, Status: http.StatusOK, RoundTrip: 10 * time.Millisecond})
			release()
		}
		if got := small(l); got != firstWindow {
			t.Errorf("it grew to %d", got)
		}
	})
}

// A registry allows eight requests in flight: after the first second few are refused, and it is used well.
func TestRegistryThatAllowsFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(0)
		allow := func(inFlight int64) bool { return inFlight <= 8 }
		load(t, l, time.Second, allow)
		const lasts = 5 * time.Minute
		accepted, refused := load(t, l, lasts, allow)
		best := int64(8 * lasts / (100 * time.Millisecond))
		t.Logf("%d of %d accepted, %d refused", accepted, best, refused)
		if refused*50 > accepted || accepted*10 < best*9 {
			t.Errorf("%d accepted, %d refused; want at most 2 %% refused, and 0.9 of %d", accepted, refused, best)
		}
	})
}

// One request in twenty is refused, however many are in flight: the window stays.
func TestRandomRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dice := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		chance := func(int64) bool {
			mu.Lock()
			defer mu.Unlock()
			return dice.IntN(20) > 0
		}
		l := capped(0)
		const lasts = 5 * time.Minute
		accepted, _ := load(t, l, lasts, chance)
		fixed := int64(16*lasts/(100*time.Millisecond)) * 19 / 20
		t.Logf("%d accepted, %d with 16 slots; the window is %d", accepted, fixed, small(l))
		if accepted*10 < fixed*8 {
			t.Errorf("%d accepted, want at least 0.8 of %d", accepted, fixed)
		}
	})
}

// Connections that break do not shrink the window, nor does a 503 for one item.
func TestWhatDoesNotShrinkTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(0)
		for range 200 {
			l.Report(Answer{Peer: a, Class: Small, Item: "x", Status: http.StatusServiceUnavailable, RoundTrip: time.Millisecond})
			l.Report(Answer{Peer: a, Class: Small, Item: "y", Status: http.StatusOK, RoundTrip: time.Millisecond})
			l.Report(Answer{Peer: a, Class: Small, Item: "z", Err: http.ErrHandlerTimeout})
		}
		if got := small(l); got < firstWindow/windows {
			t.Errorf("it shrank to %d", got)
		}
	})
}

// A window shrinks below the write slots in use, whose holders then wait for read slots: each class without a slot gets one,
// so that the streams end.
func TestWindowBelowWhatIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		most := 48
		l := New(Options{MaxConnections: func(string) int { return most }})
		var all sync.WaitGroup
		var ended atomic.Int32
		for range 16 {
			all.Add(1)
			l.Enqueue(&Stream{To: a, Run: func(slots *Slots, err error) {
				defer all.Done()
				if err != nil {
					t.Error(err)
					return
				}
				defer slots.Release()
				time.Sleep(time.Second)
				if err := slots.Read(t.Context(), a); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				ended.Add(1)
			}})
		}
		time.Sleep(time.Second / 2)
		most = 8
		l.Reload()
		all.Wait()
		if ended.Load() != 16 {
			t.Errorf("%d streams came to an end", ended.Load())
		}
		requireIdle(t, l)
	})
}

// Refusals count also where a registry has accepted everything for long.
func TestWindowAfterLongSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(60)
		load(t, l, time.Minute, func(int64) bool { return true })
		before := small(l)
		_, refused := load(t, l, 5*time.Second, func(inFlight int64) bool { return inFlight <= 5 })
		if after := small(l); after >= before || refused > 300 {
			t.Errorf("the window went from %d to %d, with %d refusals", before, after, refused)
		}
	})
}

// Streams that wait for slots of their destination do not make the window of their source grow.
func TestWindowOfASourceThatIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{MaxConnections: func(registry string) int {
			if registry == b.Registry {
				return 3
			}
			return 0
		}})
		stop := make(chan struct{})
		var running sync.WaitGroup
		running.Add(10)
		for range 10 {
			l.Enqueue(&Stream{From: a, To: b, Run: func(s *Slots, _ error) {
				defer running.Done()
				<-stop
				s.Release()
			}})
		}
		for range 20 {
			release := acquire(t, l, a, Small)
			time.Sleep(10 * time.Millisecond)
			l.Report(Answer{Peer: a, Class: Small, Status: 200, RoundTrip: 10 * time.Millisecond})
			release()
		}
		if size := l.registries[a.Registry].window.size; size != firstWindow {
			t.Errorf("a window of %d", size)
		}
		close(stop)
		running.Wait()
	})
}

// Over a line whose bandwidth is the limit, no more than 16 streams share it: a run that was killed in 1.5 s had begun 64
// small blobs, and finished none. If round trips are the limit, more streams are started.
func TestStreamsThatShareALine(t *testing.T) {
	const roundTrip = 100 * time.Millisecond
	for name, test := range map[string]struct {
		holds  func(inUse int64) time.Duration // how long a stream takes
		shared bool
	}{
		"bandwidth":   {func(inUse int64) time.Duration { return time.Duration(inUse) * time.Second / 4 }, true},
		"round trips": {func(int64) time.Duration { return 8 * roundTrip }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Options{})
				var inUse, most atomic.Int64
				var streams sync.WaitGroup
				for i := range 400 {
					streams.Add(1)
					l.Enqueue(&Stream{From: b, To: a, Size: 1 << 20, Run: func(s *Slots, err error) {
						defer streams.Done()
						defer s.Release()
						if err = errors.Join(err, s.Read(t.Context(), b)); err != nil {
							t.Error(err)
						}
						n := inUse.Add(1)
						defer inUse.Add(-1)
						if i >= 200 { // it has been measured by then
							most.Store(max(most.Load(), n))
						}
						time.Sleep(test.holds(n))
						for _, peer := range []Peer{a, b} {
							l.Report(Answer{Peer: peer, Class: Small, Status: 200, RoundTrip: roundTrip})
							l.Report(Answer{Peer: peer, Class: Write, Status: 201, RoundTrip: roundTrip})
						}
					}})
				}
				streams.Wait()
				if got := most.Load(); test.shared != (got <= 16) {
					t.Errorf("%d streams at once", got)
				}
			})
		})
	}
}
