package limit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

func rated(r Rates) *Limiter { return New(Options{Rates: func(string) Rates { return r }}) }

// pass passes bytes for a while, in pieces as bodies are read, and returns how many.
func pass(t *testing.T, l *Limiter, lasts time.Duration) (bytes float64) {
	t.Helper()
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		if err := l.WaitBytes(t.Context(), a.Registry, 32<<10); err != nil {
			t.Fatal(err)
		}
		bytes += 32 << 10
		time.Sleep(time.Microsecond) // a connection is not infinitely fast
	}
	return bytes
}

func requireAbout(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > want/20 {
		t.Errorf("%s: %.0f, want %.0f within 5 %%", what, got, want)
	}
}

func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rated(Rates{Bandwidth: Timetable{Otherwise: 5 * mib}})
		requireAbout(t, "bytes in a minute", pass(t, l, time.Minute), 60*5*mib)
	})
}

// synctest's clock begins at midnight UTC; the periods are in local time.
func TestBandwidthByTheTimeOfDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hour, minute, _ := time.Now().Clock()
		begins := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
		l := rated(Rates{Bandwidth: Timetable{
			Periods:   []Period{{From: begins + time.Minute, To: begins + 2*time.Minute, BytesPerSecond: mib}},
			Otherwise: 5 * mib,
		}})
		requireAbout(t, "before the period", pass(t, l, time.Minute), 60*5*mib)
		requireAbout(t, "in the period", pass(t, l, time.Minute), 60*mib)
		requireAbout(t, "after the period", pass(t, l, time.Minute), 60*5*mib)
	})
}

func TestTimetable(t *testing.T) {
	table := Timetable{Otherwise: 1, Periods: []Period{
		{From: 8 * time.Hour, To: 20 * time.Hour, BytesPerSecond: 2},
		{From: 22 * time.Hour, To: 6 * time.Hour, BytesPerSecond: 3},
	}}
	for clock, want := range map[string]int64{
		"00:00": 3, "05:59": 3, "06:00": 1, "07:59": 1, "08:00": 2, "19:59": 2, "20:00": 1, "22:00": 3, "23:59": 3,
	} {
		at, err := time.ParseInLocation("15:04", clock, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		if got := table.At(at); got != want {
			t.Errorf("at %s: %d, want %d", clock, got, want)
		}
	}
}

// Requests with a slot of their own and those of streams keep to one rate, and neither waits for all of the others.
func TestRequestsPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rated(Rates{RequestsPerSecond: 20})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var small, streams atomic.Int64
		var running sync.WaitGroup
		for range 200 {
			running.Go(func() {
				for {
					release, err := l.Acquire(ctx, a, Small)
					if err != nil {
						return
					}
					small.Add(1)
					time.Sleep(time.Millisecond)
					release()
				}
			})
		}
		for range 100 {
			running.Go(func() {
				for l.WaitRequest(ctx, a, Write) == nil {
					streams.Add(1)
				}
			})
		}
		running.Wait()
		requireAbout(t, "requests in a minute", float64(small.Load()+streams.Load()), 60*20)
		requireAbout(t, "those of streams", float64(streams.Load()), 20*20) // a third of those that wait
	})
}

// A request that waits for the rate holds no slot, does not make the window grow, and leaves the rate to others when it
// is gone.
func TestWaitForTheRateHoldsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rated(Rates{RequestsPerSecond: 1})
		first := acquire(t, l, a, Small)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		var waiting sync.WaitGroup
		for range 100 {
			waiting.Go(func() { _, _ = l.Acquire(ctx, a, Small) })
		}
		synctest.Wait()
		for range 100 {
			l.Report(Answer{Peer: a, Class: Small, Status: 200})
		}
		r := l.registries[a.Registry]
		if r.used[Small] != 1 || r.window.size != firstWindow {
			t.Errorf("%d slots in use, a window of %d", r.used[Small], r.window.size)
		}
		waiting.Wait()
		first()
		began := time.Now()
		acquire(t, l, a, Small)()
		if took := time.Since(began).Round(time.Millisecond); took != time.Second/2 {
			t.Errorf("waited %v, want the rest of the second", took)
		}
	})
}

// The test of a registry that is down goes out by the rate, and is not refused because the registry is down.
func TestRateOfARegistryThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rated(Rates{RequestsPerSecond: 1})
		for i := range 5 {
			l.Report(Answer{Peer: a, Class: Small, Item: fmt.Sprint(i), Status: 500})
		}
		var waiting sync.WaitGroup
		began := time.Now()
		for range 10 {
			waiting.Go(func() {
				acquire(t, l, a, Small)()
				l.Report(Answer{Peer: a, Class: Small, Status: 200})
			})
		}
		waiting.Wait()
		if took := time.Since(began).Round(time.Millisecond); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A wait ends with its context, and does not delay those that wait longer.
func TestWaitForARateEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rated(Rates{RequestsPerSecond: 1, Bandwidth: Timetable{Otherwise: 1000}})
		gone := errors.New("gone")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second/2, gone)
		defer cancel()
		_ = l.WaitRequest(ctx, a, Write)
		if err := l.WaitRequest(ctx, a, Write); !errors.Is(err, gone) {
			t.Errorf("got %v", err)
		}
		if err := l.WaitBytes(ctx, a.Registry, mib); !errors.Is(err, gone) {
			t.Errorf("got %v", err)
		}
	})
}

// A registry without bounds waits for nothing.
func TestNoRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, began := New(Options{}), time.Now()
		for range 1000 {
			_ = l.WaitRequest(t.Context(), a, Write)
			_ = l.WaitBytes(t.Context(), a.Registry, mib)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("waited %v", took)
		}
	})
}

// New settings apply from the next request on, a lower cap on connections at once.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connections, rates := 40, Rates{RequestsPerSecond: 1}
		l := New(Options{
			MaxConnections: func(string) int { return connections },
			Rates:          func(string) Rates { return rates },
		})
		_ = l.WaitRequest(t.Context(), a, Write)
		connections, rates = 3, Rates{}
		l.Reload()
		began := time.Now()
		_ = l.WaitRequest(t.Context(), a, Write)
		_ = l.WaitRequest(t.Context(), a, Write)
		if took := time.Since(began); took != 0 {
			t.Errorf("waited %v although there is no bound any more", took)
		}
		if got := small(l); got != 1 {
			t.Errorf("%d slots, want 1", got)
		}
	})
}

// What waits for its turn is not sent into a pause that has begun meanwhile.
func TestPauseOfRequestsThatWaitForARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rated(Rates{RequestsPerSecond: 1})
		_ = l.WaitRequest(t.Context(), a, Write)
		l.Report(Answer{Peer: a, Class: Write, Status: 429, RetryAfter: time.Minute})
		pause, ok := errors.AsType[*PauseError](l.WaitRequest(t.Context(), a, Write))
		if !ok || time.Until(pause.Until) < 50*time.Second {
			t.Errorf("got %v, want the pause", pause)
		}
	})
}
