package limit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/retry"
)

func fail(l *Limiter, item string) {
	l.Report(Answer{Peer: a, Class: Small, Item: item, Err: syscall.ECONNREFUSED})
}

func succeed(l *Limiter) { l.Report(Answer{Peer: a, Class: Small, Status: 404}) }

// bringDown makes a's five last requests failures.
func bringDown(t *testing.T, l *Limiter) {
	t.Helper()
	for i := range downFailures {
		fail(l, fmt.Sprint(i))
	}
	if !l.Down("a.test") {
		t.Fatal("not down after five failures of five items")
	}
}

func isDown(err error) (*DownError, bool) { return errors.AsType[*DownError](err) }

func TestWhatBringsARegistryDown(t *testing.T) {
	status := func(code int, after time.Duration) func(*Limiter, string) {
		return func(l *Limiter, item string) {
			l.Report(Answer{Peer: a, Item: item, Status: code, RetryAfter: after})
		}
	}
	for name, test := range map[string]struct {
		report func(l *Limiter, item string)
		items  int
		gap    time.Duration // between reports
		good   int           // a good answer comes after so many reports
		want   bool          // within 6 reports
	}{
		"five items":                  {report: fail, items: 5, want: true},
		"three items":                 {report: fail, items: 3, want: true},
		"two items":                   {report: fail, items: 2},
		"500":                         {report: status(500, 0), items: 5, want: true},
		"502":                         {report: status(502, 0), items: 5, want: true},
		"503":                         {report: status(503, 0), items: 5, want: true},
		"504":                         {report: status(504, 0), items: 5, want: true},
		"503 with a time":             {report: status(503, time.Second), items: 5},
		"429":                         {report: status(429, 0), items: 5},
		"404":                         {report: status(404, 0), items: 5, gap: 10 * time.Second},
		"501":                         {report: status(501, 0), items: 5, gap: 10 * time.Second},
		"one item, for 20 s":          {report: fail, items: 1, gap: 5 * time.Second, want: true},
		"one item, for less":          {report: fail, items: 1, gap: 3 * time.Second},
		"one item that is answered":   {report: status(500, 0), items: 1, gap: 10 * time.Second},
		"a good answer in between":    {report: fail, items: 5, good: 3},
		"and then, for 20 s":          {report: fail, items: 1, gap: 5 * time.Second, good: 3},
		"each longer ago than 3 min":  {report: fail, items: 5, gap: 3*time.Minute + 1},
		"failures with minutes apart": {report: fail, items: 1, gap: 2 * time.Minute, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Options{})
				for i := range 6 {
					if i > 0 && i == test.good {
						succeed(l)
					}
					test.report(l, fmt.Sprint(i%test.items))
					if l.Down("a.test") != test.want && i == 5 {
						t.Errorf("down is %v, want %v", !test.want, test.want)
					}
					if i < 5 {
						time.Sleep(test.gap)
					}
				}
				if l.Down("b.test") {
					t.Error("another registry is down for it")
				}
			})
		})
	}
}

// A host that drops packets does not even fail quickly.
func TestRequestThatHangsBringsARegistryDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		hang := Answer{Peer: a, Item: "x", Err: syscall.ETIMEDOUT, RoundTrip: 20 * time.Second}
		time.Sleep(time.Minute)
		succeed(l)
		time.Sleep(10 * time.Second)
		if l.Report(hang); l.Down("a.test") {
			t.Error("down although a request was answered well since the failed one began")
		}
		succeed(l)
		time.Sleep(21 * time.Second)
		if l.Report(hang); !l.Down("a.test") {
			t.Error("not down after a request that hung for 20 s, and no other answer")
		}
	})
}

// tests counts the requests that are let through to a registry that answers none. Each takes
// that long to fail.
func tests(t *testing.T, l *Limiter, d, takes time.Duration) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	n := 0
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for ctx.Err() == nil {
				release, err := l.Acquire(ctx, a, Small)
				if err != nil {
					return
				}
				mu.Lock()
				n++
				mu.Unlock()
				time.Sleep(takes)
				fail(l, "x")
				release()
			}
		})
	}
	all.Wait()
	return n
}

func TestTestsOfARegistryThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{GiveUp: time.Hour})
		bringDown(t, l)
		for _, part := range []struct {
			d        time.Duration
			from, to int
		}{{20*time.Second - 1, 18, 20}, {40 * time.Second, 6, 9}, {5 * time.Minute, 8, 11}} {
			if n := tests(t, l, part.d, time.Millisecond); n < part.from || n > part.to {
				t.Errorf("%d tests in %v, want %d to %d", n, part.d, part.from, part.to)
			}
		}
	})
}

// Only one test is under way at a time, however long it takes; one that gets lost blocks the
// others for no longer than a minute.
func TestOneTestAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{GiveUp: time.Hour})
		bringDown(t, l)
		if n := tests(t, l, 20*time.Second, 10*time.Second); n > 2 {
			t.Errorf("%d tests of 10 s in 20 s", n)
		}
		start := time.Now()
		lost := acquire(t, l, a, Small)
		acquire(t, l, a, Small)
		if waited := time.Since(start); waited < testTimeout || waited > testTimeout+10*time.Second {
			t.Errorf("the next test came after %v", waited)
		}
		lost()
	})
}

// A test that ends without an answer, because its caller went away, is followed by the next.
func TestAbandonedTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		bringDown(t, l)
		acquire(t, l, a, Small)()
		start := time.Now()
		acquire(t, l, a, Small)()
		if waited := time.Since(start); waited > 2*time.Second {
			t.Errorf("the next test came after %v", waited)
		}
	})
}

func TestGoodAnswerLetsEverythingGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		bringDown(t, l)
		var all sync.WaitGroup
		for _, class := range []Class{Read, Write, Small, Pull} {
			for range 4 {
				all.Go(func() {
					release := acquire(t, l, a, class)
					succeed(l)
					release()
				})
			}
		}
		for range 4 {
			all.Add(2)
			l.Enqueue(holding(t, a, b, 0, all.Done))
			l.Enqueue(holding(t, b, a, 0, all.Done))
		}
		start := time.Now()
		all.Wait()
		if took := time.Since(start); took != time.Second || l.Down("a.test") {
			t.Errorf("took %v, want the second until the first test", took)
		}
	})
}

func TestAnyStreamMayBeTheTest(t *testing.T) {
	for name, peers := range map[string][2]Peer{"to": {b, a}, "from": {a, b}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Options{})
				bringDown(t, l)
				var tests, all sync.WaitGroup
				start := time.Now()
				tests.Add(1)
				all.Add(10)
				first := sync.OnceFunc(func() {
					tests.Done()
					succeed(l)
				})
				for range 10 {
					l.Enqueue(&Stream{From: peers[0], To: peers[1], Run: func(slots *Slots, err error) {
						defer all.Done()
						if err == nil {
							err = slots.Read(t.Context(), peers[0])
						}
						if err != nil {
							t.Error(err)
						}
						first()
						slots.Release()
					}})
				}
				all.Wait()
				if took := time.Since(start); took != time.Second {
					t.Errorf("took %v, want the second until the first test", took)
				}
			})
		})
	}
}

// What holds a write slot elsewhere must not wait for a source that does not answer.
func TestReadDoesNotWaitForARegistryThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(3)
		hold := acquire(t, l, a, Read)
		got := make(chan error, 1)
		l.Enqueue(&Stream{To: b, Run: func(slots *Slots, _ error) {
			defer slots.Release()
			got <- slots.Read(t.Context(), a)
			time.Sleep(time.Minute)
			if slots.Move(a) {
				t.Error("moved to a registry that is down")
			}
			got <- slots.Read(t.Context(), a)
			succeed(l)
			got <- slots.Read(t.Context(), a)
		}})
		synctest.Wait()
		bringDown(t, l)
		hold()
		for range 2 {
			if down, ok := isDown(<-got); !ok || down.GivenUp || down.Registry != "a.test" || !retry.Retryable(down) {
				t.Errorf("got %v, want that it is down, for now", down)
			}
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

// If a registry goes down, the streams that hold its read slots test it one at a time, like all requests.
func TestStreamsThatReadTestARegistryOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		var readers []*Slots
		for range 3 {
			l.Enqueue(&Stream{From: a, To: b, Run: func(slots *Slots, _ error) {
				if err := slots.Read(t.Context(), a); err != nil {
					t.Error(err)
				}
				readers = append(readers, slots)
			}})
			synctest.Wait()
		}
		may := func(want ...bool) {
			t.Helper()
			for i, slots := range readers {
				if got := slots.MayRead(); got != want[i] {
					t.Errorf("stream %d may read: %v, want %v", i, got, want[i])
				}
			}
		}
		may(true, true, true)
		bringDown(t, l)
		may(false, false, false)
		time.Sleep(time.Second)
		may(true, false, false)
		may(true, false, false) // it is the test in flight
		fail(l, "test")
		may(false, false, false)
		time.Sleep(time.Second)
		may(true, false, false)
		succeed(l)
		may(true, true, true)
		for _, slots := range readers {
			slots.Release()
		}
		if slots := (&Slots{limiter: l}); !slots.MayRead() {
			t.Error("a source without a registry may not be read")
		}
	})
}

func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		start := time.Now()
		bringDown(t, l)
		var errs log[error]
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for {
					release, err := l.Acquire(t.Context(), a, Small)
					if err != nil {
						errs.add(err)
						return
					}
					fail(l, "x")
					release()
				}
			})
			all.Add(2)
			run := func(slots *Slots, err error) {
				if slots.Release(); err == nil {
					time.Sleep(time.Hour) // it was a test
					err = context.Canceled
				}
				errs.add(err)
				all.Done()
			}
			l.Enqueue(&Stream{From: a, To: b, Run: run})
			l.Enqueue(&Stream{From: b, To: a, Run: run})
		}
		time.Sleep(3*time.Minute - 1)
		if n := len(errs.read()); n != 0 {
			t.Errorf("%d have failed before 3 minutes", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		for _, err := range errs.read() {
			down, ok := isDown(err)
			if !ok || !down.GivenUp || !down.Since.Equal(start) || !errors.Is(err, syscall.ECONNREFUSED) || retry.Retryable(err) {
				t.Fatalf("got %v, want that it was given up", err)
			}
		}
		if n := len(errs.read()); n < 50 {
			t.Errorf("%d of 60 have failed", n)
		}
		all.Wait()
	})
}

func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		if l.GivenUp("a.test") {
			t.Error("given up before a request")
		}
		bringDown(t, l)
		time.Sleep(3*time.Minute - 1)
		if fail(l, "test"); l.GivenUp("a.test") {
			t.Error("given up before 3 minutes")
		}
		if time.Sleep(time.Nanosecond); !l.GivenUp("a.test") {
			t.Error("not given up after 3 minutes")
		}
		if succeed(l); l.GivenUp("a.test") {
			t.Error("given up after a good answer")
		}
	})
}

// What has never answered may be a mistyped name: it is given up sooner, if the caller says so.
func TestGivingUpARegistryThatNeverAnswered(t *testing.T) {
	for _, answered := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := New(Options{GiveUpNew: 20 * time.Second})
			if answered {
				succeed(l)
			}
			bringDown(t, l)
			began := time.Now()
			for {
				release, err := l.Acquire(t.Context(), a, Small)
				if down, is := isDown(err); is && down.GivenUp {
					break
				}
				fail(l, "test")
				release()
			}
			if took := time.Since(began); (took <= 20*time.Second) == answered {
				t.Errorf("answered before: %v; given up after %v", answered, took)
			}
		})
	}
}

func TestNewRequestsToARegistryThatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		bringDown(t, l)
		tests(t, l, 3*time.Minute, time.Millisecond)
		sent := 0
		for range 600 {
			time.Sleep(time.Second)
			release, err := l.Acquire(t.Context(), a, Small)
			if err == nil {
				sent++
				fail(l, "x")
				release()
				continue
			}
			if down, ok := isDown(err); !ok || !down.GivenUp {
				t.Fatal(err)
			}
			ran := make(chan error, 2)
			l.Enqueue(&Stream{From: a, To: b, Run: func(_ *Slots, err error) { ran <- err }})
			l.Enqueue(&Stream{From: b, To: a, Run: func(_ *Slots, err error) { ran <- err }})
			for range 2 {
				if _, ok := isDown(<-ran); !ok {
					t.Fatal("a stream was let through")
				}
			}
		}
		if sent < 18 || sent > 21 {
			t.Errorf("%d of 600 requests in 10 minutes were sent, want one in 30 seconds", sent)
		}
		for range 60 {
			time.Sleep(time.Second)
			if release, err := l.Acquire(t.Context(), a, Small); err == nil {
				succeed(l)
				release()
				break
			}
		}
		acquire(t, l, a, Small)()
	})
}

// A registry was down, and was not needed for an hour. The first of many requests that came
// then was sent as a test; all others failed for what was true an hour before.
func TestRegistryThatWasNotNeededForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		bringDown(t, l)
		tests(t, l, 5*time.Minute, time.Millisecond)
		time.Sleep(time.Hour)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { acquire(t, l, a, Small)() })
		}
		all.Wait()
	})
}

// Ten thousand tags go to a host that drops packets, 256 at a time. Each would try eight
// times for ten seconds, sixteen at a time: fourteen hours.
func TestCostOfADeadHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tags, open = 10_000, 256
		l, sent, failed := New(Options{}), 0, 0
		var mu sync.Mutex
		var all sync.WaitGroup
		places := make(chan struct{}, open)
		start := time.Now()
		policy := retry.Policy{Uncounted: func(error) bool { return l.Down("a.test") }}
		for i := range tags {
			places <- struct{}{}
			all.Go(func() {
				defer func() { <-places }()
				err := policy.Do(t.Context(), func(ctx context.Context, begin func()) error {
					release, err := l.Acquire(ctx, a, Small)
					if err != nil {
						return err
					}
					defer release()
					begin()
					mu.Lock()
					sent++
					mu.Unlock()
					time.Sleep(10 * time.Second)
					l.Report(Answer{Peer: a, Item: fmt.Sprint(i), Err: syscall.ETIMEDOUT, RoundTrip: 10 * time.Second})
					return syscall.ETIMEDOUT
				})
				if errors.Is(err, syscall.ETIMEDOUT) {
					mu.Lock()
					failed++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		took := time.Since(start)
		t.Logf("%d tags took %v and %d requests", tags, took, sent)
		if took > 4*time.Minute || sent > 60 || failed != tags {
			t.Errorf("%d of %d tags failed in %v with %d requests", failed, tags, took, sent)
		}
	})
}

func TestTryDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capped(3)
		hold := acquire(t, l, a, Small)
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if _, err := l.Try(t.Context(), a, Small); err == nil {
				t.Error("got a slot of a registry that is down")
			}
		})
		synctest.Wait()
		bringDown(t, l)
		waiting.Wait()
		hold()
		if _, err := l.Try(t.Context(), a, Small); err == nil {
			t.Error("got a slot of a registry that is down")
		}
		time.Sleep(time.Second)
		test, err := l.Try(t.Context(), a, Small)
		if err != nil {
			t.Errorf("got %v, want to be the test that is due", err)
		}
		succeed(l)
		test()
	})
}

func TestCheckIsForWhatTakesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		bringDown(t, l)
		if err := errors.Join(l.Check("a.test"), l.Check("unknown.test")); err != nil {
			t.Errorf("a registry that was not given up: %v", err)
		}
		tests(t, l, 3*time.Minute, time.Millisecond)
		let := 0
		for range 60 {
			time.Sleep(time.Second)
			if l.Check("a.test") == nil {
				let++
				fail(l, "x")
			}
		}
		if let < 1 || let > 2 {
			t.Errorf("%d of 60 were let through in a minute", let)
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	l := New(Options{})
	for i := range 1000 {
		fail(l, fmt.Sprint(i))
	}
	if n := len(l.registry("a.test").health.items); n > downItems {
		t.Errorf("%d items are remembered", n)
	}
}

func TestDownErrorNamesTheCause(t *testing.T) {
	err := &DownError{Registry: "a.test", Since: time.Now(), Err: causeOf(Answer{Status: 502})}
	if got := err.Error(); !strings.Contains(got, "a.test") || !strings.Contains(got, "502 Bad Gateway") {
		t.Errorf("error %q", got)
	}
	if !retry.Retryable(err) || retry.Retryable(&DownError{GivenUp: true, Err: err.Err}) {
		t.Error("down for now is not retryable, or given up is")
	}
	if err := causeOf(Answer{}); err == nil {
		t.Error("no cause")
	}
}

// started are the times at which n streams from a to b start, each of which then keeps its
// slots for that long and sends nothing.
func started(t *testing.T, l *Limiter, n int, keeps time.Duration) []time.Duration {
	t.Helper()
	var at log[time.Duration]
	var all sync.WaitGroup
	start := time.Now()
	for range n {
		all.Add(1)
		l.Enqueue(&Stream{From: a, To: b, Run: func(slots *Slots, err error) {
			defer all.Done()
			if err != nil {
				t.Error(err)
				return
			}
			at.add(time.Since(start))
			time.Sleep(keeps)
			slots.Release()
		}})
	}
	all.Wait()
	return at.read()
}

// A stream that was a test of its source may find that it need not read at all.
func TestStreamThatDoesNotReadIsNoTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		bringDown(t, l)
		if at := started(t, l, 3, 10*time.Millisecond); at[2] > 4*time.Second {
			t.Errorf("they started after %v", at)
		}
	})
}

// The end of the source's pause made a stream the test of its destination, which was never
// reported.
func TestLostTestOfOtherRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{GiveUp: time.Hour})
		for i := range downFailures {
			l.Report(Answer{Peer: b, Item: fmt.Sprint(i)})
		}
		l.Report(Answer{Peer: a, Class: Read, Status: 429, RetryAfter: 30 * time.Second})
		at := started(t, l, 2, 10*time.Minute)
		if at[0] != 30*time.Second || at[1] != at[0]+testTimeout {
			t.Errorf("they started after %v", at)
		}
	})
}

// A change of a registry's state is told once, when it happens.
func TestChangesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		l := New(Options{Changed: func(registry string, down *DownError) {
			told = append(told, fmt.Sprint(registry, " ", down != nil && errors.Is(down, syscall.ECONNREFUSED)))
		}})
		bringDown(t, l)
		fail(l, "once more")
		succeed(l)
		succeed(l)
		if got := strings.Join(told, ", "); got != "a.test true, a.test false" {
			t.Errorf("told %q", got)
		}
	})
}

// A sync of one image waited for minutes, and said nothing, until the registry was there. One that only restarts is not told,
// although its failures bring it down at once.
func TestRefusedConnectionsAreTold(t *testing.T) {
	for _, items := range []int{1, downItems} {
		for outage, want := range map[time.Duration]string{2 * time.Second: "", 8 * time.Second: "down for up to 3m0s, up"} {
			synctest.Test(t, func(t *testing.T) {
				var told []string
				l := New(Options{Changed: func(_ string, down *DownError) {
					if down == nil {
						told = append(told, "up")
					} else {
						told = append(told, fmt.Sprint("down for up to ", down.GiveUp))
					}
				}})
				for began, n := time.Now(), 0; time.Since(began) < outage; n++ {
					l.Report(Answer{Peer: a, Class: Small, Item: fmt.Sprint(n % items), Err: syscall.ECONNREFUSED, Refused: true})
					time.Sleep(300 * time.Millisecond)
				}
				succeed(l)
				if got := strings.Join(told, ", "); got != want {
					t.Errorf("%d items, refused for %v: told %q, want %q", items, outage, got, want)
				}
			})
		}
	}
}

// A registry is told to be up only when it has answered: failures that are forgotten are no answer.
func TestForgottenFailuresAreNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ups := 0
		l := New(Options{Changed: func(_ string, down *DownError) {
			if down == nil {
				ups++
			}
		}})
		bringDown(t, l)
		time.Sleep(staleFailure + time.Second)
		if fail(l, "much later"); ups > 0 {
			t.Error("told to be up after a failure")
		}
		if succeed(l); ups != 1 {
			t.Errorf("told to be up %d times after an answer, want once", ups)
		}
	})
}

// Two refused connections, even if they are seconds apart, are too few for an outage.
func TestFewRefusalsAreNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		for n := 1; n <= downRefusals; n++ {
			l.Report(Answer{Peer: a, Class: Small, Item: "1", Err: syscall.ECONNREFUSED, Refused: true})
			if down := l.Down(a.Registry); down != (n == downRefusals) {
				t.Errorf("down after %d refusals: %v", n, down)
			}
			time.Sleep(downRefused)
		}
	})
}

// A registry whose connections are refused is down, although it still answers requests that were sent before.
func TestAnswersFromBeforeARefusedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		time.Sleep(time.Second)
		for i := range 5 {
			l.Report(Answer{Peer: a, Class: Small, Item: fmt.Sprint(i), Err: errors.New("refused"), Refused: true})
			l.Report(Answer{Peer: a, Class: Small, Item: "slow", Status: 200, RoundTrip: 50 * time.Millisecond})
		}
		if !l.Down(a.Registry) {
			t.Error("not down")
		}
		time.Sleep(time.Second)
		l.Report(Answer{Peer: a, Class: Small, Status: 200, RoundTrip: 50 * time.Millisecond})
		if l.Down(a.Registry) {
			t.Error("down after a new answer")
		}
	})
}

// A registry that refuses a connection now and then, and answers slowly, is not down.
func TestRefusedConnectionsAmongSlowAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		for i := range 100 {
			time.Sleep(time.Second)
			l.Report(Answer{Peer: a, Class: Small, Item: fmt.Sprint(i), Err: errors.New("refused"), Refused: true, RoundTrip: time.Millisecond})
			for j := range 20 {
				l.Report(Answer{Peer: a, Class: Write, Item: fmt.Sprint("blob", j), Status: 201, RoundTrip: 3 * time.Second})
			}
			if l.Down(a.Registry) {
				t.Fatalf("down after %d s", i+1)
			}
		}
	})
}

// One connection was refused, and later one item got answers of 502 only: the registry that answered was taken for one that
// had vanished, and all others waited.
func TestRefusedConnectionBeforeBadAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		l.Report(Answer{Peer: a, Class: Read, Item: "blob", Status: 200})
		time.Sleep(time.Second)
		l.Report(Answer{Peer: a, Class: Read, Item: "blob", Err: errors.New("refused"), Refused: true})
		for range downFailures - 1 {
			time.Sleep(time.Second)
			l.Report(Answer{Peer: a, Class: Read, Item: "blob", Status: 502})
		}
		if l.Down(a.Registry) {
			t.Error("down, although it answers")
		}
	})
}

// A registry vanished while one large blob was copied, or was never there. Whether the run waited for it as for any registry
// that is down, or gave up after the blob's attempts, depended on how long the random backoffs of those attempts took.
func TestVanishedRegistryIsDownForOneItem(t *testing.T) {
	for _, answered := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			l := New(Options{})
			if answered {
				l.Report(Answer{Peer: a, Class: Read, Item: "blob", Status: 200})
			}
			for range downFailures {
				time.Sleep(time.Second)
				l.Report(Answer{Peer: a, Class: Read, Item: "blob", Err: errors.New("refused"), Refused: true})
			}
			if !l.Down(a.Registry) {
				t.Errorf("answered before %v: not down", answered)
			}
		})
	}
}
