package limit

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestBounds(t *testing.T) {
	accept := func(int64) bool { return true }
	for _, test := range []struct {
		name    string
		options Options
		accepts func(int64) bool
		want    Cause
	}{
		{"nothing", Options{}, accept, ""},
		{"few connections", Options{MaxConnections: func(string) int { return 6 }}, accept, ByConnections},
		{"refusals", Options{}, func(inFlight int64) bool { return inFlight <= 8 }, ByRefusals},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(test.options)
				load(t, l, time.Minute, test.accepts)
				bounds := l.Bounds()
				if test.want == "" && len(bounds) > 0 || test.want != "" && (len(bounds) == 0 || bounds[0].Cause != test.want || bounds[0].Registry != a.Registry) {
					t.Errorf("got %v, want %q first", bounds, test.want)
				}
			})
		})
	}
}

// A wait counts once, however many requests wait, and only while they wait for that limit.
func TestBoundsAreTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{MaxConnections: func(string) int { return 3 }})
		release := acquire(t, l, a, Small)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var waiting sync.WaitGroup
		for range 5 {
			waiting.Go(func() { _, _ = l.Acquire(ctx, a, Small) })
		}
		time.Sleep(4 * time.Second)
		l.Report(Answer{Peer: a, Class: Small, Status: 429, RetryAfter: 3 * time.Second})
		waiting.Wait()
		time.Sleep(time.Minute)
		release()
		want := []Bound{{a.Registry, ByConnections, 7 * time.Second}, {a.Registry, ByPause, 3 * time.Second}}
		if got := l.Bounds(); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// The configuration is the limit if the registry accepts all that it allows, also if it refused requests before.
func TestBoundAfterRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{MaxConnections: func(string) int { return 6 }})
		for range 3 {
			l.Report(Answer{Peer: a, Class: Small, Status: 429})
		}
		load(t, l, time.Minute, func(int64) bool { return true })
		if bounds := l.Bounds(); len(bounds) == 0 || bounds[0].Cause != ByConnections {
			t.Errorf("got %v", bounds)
		}
	})
}

// Requests that wait for a registry that is down do not count as waiting for a limit.
func TestBoundsOfARegistryThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{MaxConnections: func(string) int { return 3 }})
		for i := range 5 {
			l.Report(Answer{Peer: a, Class: Small, Item: fmt.Sprint(i), Status: 500})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		if _, err := l.Acquire(ctx, a, Small); err == nil {
			t.Error("no wait")
		}
		if got := l.Bounds(); len(got) > 0 {
			t.Errorf("got %v", got)
		}
	})
}

// The limit is that of the source if streams wait for its read slots.
func TestBoundOfASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{MaxConnections: func(registry string) int {
			if registry == a.Registry {
				return 3
			}
			return 0
		}})
		var running sync.WaitGroup
		running.Add(30)
		for range 30 {
			l.Enqueue(&Stream{From: a, To: b, Run: func(s *Slots, err error) {
				defer running.Done()
				defer s.Release()
				if err == nil {
					err = s.Read(t.Context(), a)
				}
				if err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
			}})
		}
		running.Wait()
		bounds := l.Bounds()
		if len(bounds) != 1 || bounds[0].Registry != a.Registry || bounds[0].Cause != ByConnections || bounds[0].Waited < 20*time.Second {
			t.Errorf("got %v", bounds)
		}
	})
}

func TestBoundsByRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rated(Rates{RequestsPerSecond: 1, Bandwidth: Timetable{Otherwise: mib}})
		for range 5 {
			acquire(t, l, a, Small)()
		}
		_ = l.WaitBytes(t.Context(), a.Registry, 10*mib)
		bounds := l.Bounds()
		if len(bounds) != 2 || bounds[0].Cause != ByBandwidth || bounds[1].Cause != ByRequests || bounds[1].Waited.Round(time.Millisecond) != 4*time.Second {
			t.Errorf("got %v", bounds)
		}
	})
}
