package limit

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/retry"
)

// waited is how long a request of that class waits.
func waited(t *testing.T, l *Limiter, p Peer, c Class) time.Duration {
	t.Helper()
	start := time.Now()
	acquire(t, l, p, c)()
	return time.Since(start)
}

func TestPauseIsForTheAccountAndClassThatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		alice, bob := Peer{"a.test", "alice"}, Peer{"a.test", "bob"}
		l.Report(Answer{Peer: alice, Class: Pull, Status: 429, RetryAfter: time.Minute, Quota: &Quota{}})
		l.Report(Answer{Peer: alice, Class: Pull, Status: 429, RetryAfter: time.Second, Quota: &Quota{}}) // does not shorten it
		for _, free := range []time.Duration{
			waited(t, l, alice, Small), waited(t, l, alice, Read), waited(t, l, alice, Write),
			waited(t, l, bob, Pull), waited(t, l, Peer{"b.test", "alice"}, Pull),
		} {
			if free != 0 {
				t.Errorf("another account, class or registry waits for %v", free)
			}
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if d := waited(t, l, alice, Pull); d != time.Minute {
					t.Errorf("waited %v, want a minute", d)
				}
			})
		}
		all.Wait()
		l.Report(Answer{Peer: alice, Class: Small, Status: 429})
		if d := waited(t, l, alice, Small); d != 0 {
			t.Errorf("waits for %v though no time was given", d)
		}
	})
}

// A 503 may be about one item: a blob whose upload is stuck.
func TestServiceUnavailableOfTwoItems(t *testing.T) {
	for name, test := range map[string]struct {
		items [2]string
		gap   time.Duration
		want  time.Duration
	}{
		"two items":            {[2]string{"x", "y"}, 9 * time.Second, time.Minute},
		"one item":             {[2]string{"x", "x"}, time.Second, 0},
		"two items, far apart": {[2]string{"x", "y"}, 11 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Options{})
				for i, item := range test.items {
					if i > 0 {
						time.Sleep(test.gap)
					}
					l.Report(Answer{Peer: a, Class: Write, Item: item, Status: 503, RetryAfter: time.Minute})
				}
				if d := waited(t, l, a, Write); d != test.want {
					t.Errorf("waited %v, want %v", d, test.want)
				}
			})
		})
	}
}

func TestLongPauseIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(3)
		hold := [...]func(){acquire(t, l, a, Small), acquire(t, l, a, Write), acquire(t, l, b, Write)}
		until := time.Now().Add(time.Hour)
		var all sync.WaitGroup
		want := func(err error, class Class) {
			t.Helper()
			pause, ok := errors.AsType[*PauseError](err)
			if !ok || pause.Registry != "a.test" || pause.Class != class || !pause.Until.Equal(until) ||
				retry.Retryable(err) || retry.After(err) != time.Until(until) {
				t.Errorf("got %v, want that %d is paused", err, class)
			}
		}
		ask := func() {
			all.Go(func() {
				_, err := l.Acquire(t.Context(), a, Small)
				want(err, Small)
			})
			all.Add(2)
			l.Enqueue(&Stream{From: b, To: a, Run: func(_ *Slots, err error) { want(err, Write); all.Done() }})
			l.Enqueue(&Stream{From: a, To: b, Run: func(_ *Slots, err error) { want(err, Read); all.Done() }})
			synctest.Wait()
		}
		ask()
		for _, class := range []Class{Small, Write, Read} {
			l.Report(Answer{Peer: a, Class: class, Status: 429, RetryAfter: time.Hour})
		}
		all.Wait()
		time.Sleep(time.Minute)
		ask()
		all.Wait()
		for _, release := range hold {
			release()
		}
		time.Sleep(58 * time.Minute) // two are left, which are waited for
		if d := waited(t, l, a, Small); d != time.Minute {
			t.Errorf("waited %v, want the last minute", d)
		}
	})
}

// A paused account does not block streams of another one.
func TestPausedStreamsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		alice, bob := Peer{"a.test", "alice"}, Peer{"a.test", "bob"}
		l.Report(Answer{Peer: alice, Class: Write, Status: 429, RetryAfter: time.Minute})
		var all sync.WaitGroup
		start := time.Now()
		for _, test := range []struct {
			from, to Peer
			want     time.Duration
		}{{b, alice, time.Minute}, {b, bob, 0}, {alice, b, 0}} {
			all.Add(1)
			l.Enqueue(&Stream{From: test.from, To: test.to, Run: func(slots *Slots, err error) {
				defer all.Done()
				if waited := time.Since(start); err != nil || waited != test.want {
					t.Errorf("%v waited %v: %v; want %v", test.to, waited, err, test.want)
				}
				slots.Release()
			}})
		}
		all.Wait()

		// What holds a write slot does not wait for a pause, however short.
		l.Report(Answer{Peer: alice, Class: Read, Status: 429, RetryAfter: time.Minute})
		all.Add(1)
		l.Enqueue(&Stream{To: b, Run: func(slots *Slots, _ error) {
			defer all.Done()
			defer slots.Release()
			pause, ok := errors.AsType[*PauseError](slots.Read(t.Context(), alice))
			if !ok || pause.Class != Read || !retry.Retryable(pause) || slots.Move(alice) || !slots.Move(bob) {
				t.Errorf("got %v, want a pause of one account", pause)
			}
		}})
		all.Wait()
	})
}

func TestPauseErrorTellsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // at midnight UTC
		noon := time.Date(2000, 1, 1, 14, 5, 0, 0, time.Local)
		time.Sleep(time.Until(noon.Add(-time.Hour)))
		for days, want := range []string{"14:05", "2000-01-02 14:05"} {
			err := &PauseError{Registry: "docker.io", Class: Pull, Quota: true, Until: noon.AddDate(0, 0, days)}
			if got := err.Error(); got != "docker.io allows no more pulls until "+want {
				t.Errorf("got %q", got)
			}
		}
		if got := (&PauseError{Class: Write, Until: noon}).Error(); !strings.Contains(got, "uploads") {
			t.Errorf("got %q", got)
		}
	})
}

// A registry that refuses requests although few are in flight is paused. One that accepts some of them is not.
func TestRefusalsWithFewInFlight(t *testing.T) {
	for name, test := range map[string]struct {
		busy    int  // slots in use
		between bool // a request succeeds between the refusals
		want    time.Duration
	}{
		"nothing is accepted": {1, false, minPause},
		"some are accepted":   {1, true, 0},
		"many are in flight":  {6, false, 0}, // the window shrinks
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []Pause
				l := New(Options{Paused: func(_ string, p *Pause) {
					if p != nil {
						told = append(told, *p)
					}
				}})
				for range test.busy {
					acquire(t, l, a, Small) // is kept
				}
				began := time.Now()
				l.Report(Answer{Peer: a, Class: Small, Item: "x", Status: 429})
				if test.between {
					l.Report(Answer{Peer: a, Class: Small, Item: "z", Status: 200})
				}
				l.Report(Answer{Peer: a, Class: Small, Item: "y", Status: 429})
				if d := waited(t, l, a, Small); d != test.want {
					t.Errorf("waited %v, want %v", d, test.want)
				}
				want := []Pause{{Until: began.Add(minPause), Status: 429}}
				if test.want == 0 {
					want = nil
				}
				if !slices.Equal(told, want) {
					t.Errorf("told %v, want %v", told, want)
				}
			})
		})
	}
}

// The wait of a single item is told, too, and does not delay others.
func TestWaitOfOneItemIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []Pause
		l := New(Options{Paused: func(_ string, p *Pause) {
			if p != nil {
				told = append(told, *p)
			}
		}})
		l.Report(Answer{Peer: a, Class: Small, Item: "x", Status: 503, RetryAfter: 7 * time.Second})
		if want := []Pause{{time.Now().Add(7 * time.Second), 503, true}}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		if d := waited(t, l, a, Small); d != 0 {
			t.Errorf("another one waited %v", d)
		}
	})
}

// A slow reader of the pauses of one registry does not hold up the others.
func TestPausedOfAnotherRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocked := make(chan struct{})
		l := New(Options{Paused: func(registry string, _ *Pause) {
			if registry == a.Registry {
				<-blocked
			}
		}})
		go l.Report(Answer{Peer: a, Class: Small, Item: "x", Status: 429, RetryAfter: time.Minute})
		synctest.Wait()
		l.Report(Answer{Peer: b, Class: Small, Item: "x", Status: 429, RetryAfter: time.Minute})
		close(blocked)
		time.Sleep(2 * time.Minute)
	})
}

// A request of another class came at the moment at which a pause ended, and stopped the timer that was to end the pause:
// what waited for the pause went on waiting.
func TestRequestAtTheEndOfAPause(t *testing.T) {
	for range 50 { // the order of what happens at one time is random
		synctest.Test(t, func(t *testing.T) {
			l := New(Options{})
			l.Report(Answer{Peer: a, Class: Write, Status: 429, RetryAfter: time.Minute})
			var all sync.WaitGroup
			all.Go(func() {
				time.Sleep(time.Minute)
				release := acquire(t, l, a, Small)
				time.Sleep(time.Hour)
				release()
			})
			all.Go(func() {
				if d := waited(t, l, a, Write); d != time.Minute {
					t.Errorf("waited %v, want a minute", d)
				}
			})
			all.Wait()
		})
	}
}
