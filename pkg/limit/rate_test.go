package limit

import (
	"context"
	"errors"
	"math"
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

func TestRequestsPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rated(Rates{RequestsPerSecond: 20})
		sent := 0.0
		for end := time.Now().Add(time.Minute); time.Now().Before(end); sent++ {
			if err := l.WaitRequest(t.Context(), a, Small); err != nil {
				t.Fatal(err)
			}
		}
		requireAbout(t, "requests in a minute", sent, 60*20)
	})
}

// A wait ends with its context, and does not delay those that wait longer.
func TestWaitForARateEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rated(Rates{RequestsPerSecond: 1, Bandwidth: Timetable{Otherwise: 1000}})
		gone := errors.New("gone")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second/2, gone)
		defer cancel()
		_ = l.WaitRequest(ctx, a, Small)
		if err := l.WaitRequest(ctx, a, Small); !errors.Is(err, gone) {
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
			_ = l.WaitRequest(t.Context(), a, Small)
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
		_ = l.WaitRequest(t.Context(), a, Small)
		connections, rates = 3, Rates{}
		l.Reload()
		began := time.Now()
		_ = l.WaitRequest(t.Context(), a, Small)
		_ = l.WaitRequest(t.Context(), a, Small)
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
		_ = l.WaitRequest(t.Context(), a, Small)
		l.Report(Answer{Peer: a, Class: Small, Status: 429, RetryAfter: time.Minute})
		pause, ok := errors.AsType[*PauseError](l.WaitRequest(t.Context(), a, Small))
		if !ok || time.Until(pause.Until) < 50*time.Second {
			t.Errorf("got %v, want the pause", pause)
		}
	})
}
