package limit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/retry"
)

var hub = Peer{Registry: "docker.io", Account: "alice"}

// quotaServer is a registry that counts pulls. Its answers take 50 ms, those to every third request more, so that they
// arrive out of order.
type quotaServer struct {
	limiter *Limiter
	window  time.Duration // 6 hours if zero

	mu       sync.Mutex
	left     int
	requests int
	refused  int
}

// request is a request that holds its slot until it is answered.
func (s *quotaServer) request(p Peer, c Class, release func()) {
	defer release()
	began := time.Now()
	s.mu.Lock()
	s.requests++
	took := 50 * time.Millisecond
	if s.requests%3 == 0 {
		took = 130 * time.Millisecond
	}
	a := Answer{Peer: p, Class: c, Item: fmt.Sprint(s.requests), Status: 200}
	if c == Pull {
		if s.left--; s.left < 0 {
			s.left, a.Status = 0, 429
			s.refused++
		}
	}
	a.Quota = &Quota{Remaining: s.left, Window: cmp.Or(s.window, 6*time.Hour)}
	s.mu.Unlock()
	time.Sleep(took)
	a.RoundTrip = time.Since(began)
	s.limiter.Report(a)
}

func (s *quotaServer) head(t *testing.T) {
	t.Helper()
	s.request(hub, Small, acquire(t, s.limiter, hub, Small))
}

// pull reads a manifest.
func (s *quotaServer) pull(ctx context.Context, pulls *Pulls) error {
	release, err := s.limiter.AcquirePull(ctx, hub, pulls)
	if err == nil {
		s.request(hub, Pull, release)
	}
	return err
}

// renew begins the next window.
func (s *quotaServer) renew(left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = left
}

func (s *quotaServer) check(t *testing.T, left int) {
	t.Helper()
	if s.left != left || s.refused != 0 {
		t.Errorf("%d pulls left, %d refused, want %d and none", s.left, s.refused, left)
	}
}

// requireReserved reserves n pulls, which takes as long as wanted.
func requireReserved(t *testing.T, p *Pulls, n int, want time.Duration) {
	t.Helper()
	began := time.Now()
	err := p.Reserve(t.Context(), n, false)
	if took := time.Since(began); err != nil || took != want {
		t.Errorf("%v after %v, want %v", err, took, want)
	}
}

// wantSpent checks the error of a quota that is used up.
func wantSpent(t *testing.T, err error) {
	t.Helper()
	_ = spentUntil(t, err)
}

// spentUntil returns the error of a quota that is used up.
func spentUntil(t *testing.T, err error) *PauseError {
	t.Helper()
	pause, ok := errors.AsType[*PauseError](err)
	if !ok || !pause.Quota || pause.Class != Pull || pause.Until.Before(time.Now()) {
		t.Fatalf("got %v, want that the quota is used up", err)
	}
	return pause
}

// However many pulls are wanted at a time, none is sent that would be refused.
func TestPullsInFlightStayWithinTheQuota(t *testing.T) {
	for _, reserve := range []int{0, 5, 30} {
		synctest.Test(t, func(t *testing.T) {
			l := New(Options{PullReserve: func(string) int { return reserve }})
			s := &quotaServer{limiter: l, left: 20}
			s.head(t)
			until := time.Now().Add(6 * time.Hour)
			var all sync.WaitGroup
			var mu sync.Mutex
			sent := 0
			for range 100 {
				all.Go(func() {
					err := s.pull(t.Context(), nil)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						sent++
					} else if pause := spentUntil(t, err); !pause.Until.Equal(until) || !pause.About {
						t.Errorf("until %v, want about %v", pause.Until, until)
					}
				})
			}
			all.Wait()
			if want := max(0, 20-reserve); sent != want {
				t.Errorf("%d pulls, want %d", sent, want)
			}
			s.check(t, min(20, reserve))
		})
	}
}

// While the quota of an account is unknown, one pull is sent, and another one a second later if there is no answer.
func TestFirstPullGoesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		s := &quotaServer{limiter: l, left: 3}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { _ = s.pull(t.Context(), nil) })
		}
		all.Wait()
		s.check(t, 0)

		free := Peer{Registry: "free.test"}
		acquire(t, l, free, Pull)
		if d := waited(t, l, free, Pull); d != time.Second {
			t.Errorf("the second pull waited %v, want a second", d)
		}
		l.Report(Answer{Peer: free, Class: Pull, Status: 200})
		for range 10 {
			acquire(t, l, free, Pull)
		}
		if other := (Peer{"docker.io", "bob"}); waited(t, l, other, Pull) != 0 {
			t.Error("another account waits")
		}
	})
}

// An answer to an earlier request than the last one does not raise what is left; an answer to a later request does.
func TestAnswersThatOvertakeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		state := func(left int, age time.Duration) {
			l.Report(Answer{Peer: hub, Class: Small, Status: 200, RoundTrip: age, Quota: &Quota{Remaining: left, Window: time.Hour}})
		}
		left := func() int {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.registries[hub.Registry].budget(hub.Account).available()
		}
		for _, step := range []struct {
			stated int
			age    time.Duration
			want   int
		}{
			{10, 0, 10},
			{8, time.Millisecond, 8},
			{9, 20 * time.Millisecond, 8},   // sent before the 8 came
			{100, 30 * time.Millisecond, 8}, // the same, of a new window: in doubt
			{99, time.Millisecond, 9},       // of a new window; the 9 may be newer
			{98, time.Millisecond, 98},
			{97, time.Millisecond, 97},
		} {
			if state(step.stated, step.age); left() != step.want {
				t.Errorf("stated %d: %d left, want %d", step.stated, left(), step.want)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// A pull without an answer may have been counted.
func TestPullWithoutAnswerCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		l.Report(Answer{Peer: hub, Class: Small, Status: 200, Quota: &Quota{Remaining: 1, Window: time.Hour}})
		release := acquire(t, l, hub, Pull)
		l.Report(Answer{Peer: hub, Class: Pull, Err: errNoAnswer})
		release()
		_, err := l.Acquire(t.Context(), hub, Pull)
		wantSpent(t, err)
		time.Sleep(time.Second)
		l.Report(Answer{Peer: hub, Class: Small, Status: 200, Quota: &Quota{Remaining: 1, Window: time.Hour}}) // it was not
		acquire(t, l, hub, Pull)
	})
}

// A window that ends soon is waited for, and so is a short Retry-After; the end of a Retry-After is exact.
func TestQuotaIsUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		l.Report(Answer{Peer: hub, Class: Small, Status: 200, Quota: &Quota{Remaining: 0, Window: time.Minute}})
		if d := waited(t, l, hub, Pull); d != time.Minute {
			t.Errorf("waited %v for a window of a minute", d)
		}
		l.Report(Answer{Peer: hub, Class: Pull, Status: 429, RetryAfter: time.Hour, Quota: &Quota{}})
		_, err := l.Acquire(t.Context(), hub, Pull)
		if pause := spentUntil(t, err); pause.About || !pause.Until.Equal(time.Now().Add(time.Hour)) {
			t.Errorf("%v, want an exact time", pause)
		}
		if waited(t, l, hub, Small) != 0 {
			t.Error("small requests wait for pulls")
		}
		l.Report(Answer{Peer: Peer{"docker.io", ""}, Class: Pull, Status: 429, Quota: &Quota{}}) // with no time at all
		_, err = l.Acquire(t.Context(), Peer{"docker.io", ""}, Pull)
		if pause := spentUntil(t, err); !pause.About || !pause.Until.Equal(time.Now().Add(defaultWindow)) {
			t.Errorf("%v, want Docker Hub's window", pause)
		}
	})
}

// A registry states a quota only when it refuses: its answers to HEAD had none, and the GET of a manifest was a small
// request. It asked for 2 seconds, but the images were deferred for the six hours of the quota's window.
func TestQuotaThatOnlyARefusalStates(t *testing.T) {
	for _, c := range []Class{Small, Pull} {
		synctest.Test(t, func(t *testing.T) {
			l := New(Options{})
			l.NoQuota(hub.Registry)
			l.Report(Answer{Peer: hub, Class: c, Status: 429, RetryAfter: 2 * time.Second, Quota: &Quota{Window: 6 * time.Hour}})
			if d := waited(t, l, hub, Pull); d != 2*time.Second {
				t.Errorf("after a request of class %d a pull waited %v, want 2 s", c, d)
			}
			l.Report(Answer{Peer: hub, Class: c, Status: 429, RetryAfter: 6 * time.Hour, Quota: &Quota{Window: 6 * time.Hour}})
			_, err := l.Acquire(t.Context(), hub, Pull)
			if pause := spentUntil(t, err); pause.About || !pause.Until.Equal(time.Now().Add(6*time.Hour)) {
				t.Errorf("after a request of class %d: %v, want an exact time", c, pause)
			}
		})
	}
}

// A registry asked for 2 seconds after every refusal, and the run waited until it was stopped.
func TestQuotaThatIsUsedUpAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		refuse := func() {
			l.Report(Answer{Peer: hub, Class: Pull, Status: 429, RetryAfter: 2 * time.Second, Quota: &Quota{Window: 6 * time.Hour}})
		}
		for range 2 {
			began := time.Now()
			var err error
			for err == nil && time.Since(began) < time.Hour {
				refuse()
				var release func()
				if release, err = l.Acquire(t.Context(), hub, Pull); err == nil {
					release()
				}
			}
			if pause := spentUntil(t, err); !pause.About || !pause.Until.Equal(time.Now().Add(6*time.Hour)) || time.Since(began) > retry.MaxRetryAfter {
				t.Errorf("%v after %v, want the quota's window after at most %v", pause, time.Since(began), retry.MaxRetryAfter)
			}
			time.Sleep(6 * time.Hour)
			acquire(t, l, hub, Pull)()
			l.Report(Answer{Peer: hub, Class: Pull, Status: 200}) // it is renewed
		}
	})
}

// A registry asked for 30 seconds, and days later for 30 seconds again: the second refusal deferred all images by six hours.
// No pull was sent meanwhile, or only an answer to another request stated that pulls are left.
func TestQuotaThatIsUsedUpDaysLater(t *testing.T) {
	for name, between := range map[string]func(*Limiter){
		"nothing": func(*Limiter) { time.Sleep(48 * time.Hour) },
		"pulls are left": func(l *Limiter) {
			time.Sleep(100 * time.Second)
			l.Report(Answer{Peer: hub, Class: Small, Status: 200, Quota: &Quota{Remaining: 50, Window: 6 * time.Hour}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Options{})
				refuse := func() {
					l.Report(Answer{Peer: hub, Class: Pull, Status: 429, RetryAfter: 30 * time.Second, Quota: &Quota{Window: 6 * time.Hour}})
				}
				refuse()
				between(l)
				refuse()
				began := time.Now()
				acquire(t, l, hub, Pull)()
				if waited := time.Since(began); waited != 30*time.Second {
					t.Errorf("waited %v, want 30 s", waited)
				}
			})
		})
	}
}

// A 429 that is not about pulls stops requests of any kind.
func TestTooManyRequests(t *testing.T) {
	for _, c := range []Class{Small, Pull} {
		synctest.Test(t, func(t *testing.T) {
			l := New(Options{})
			l.Report(Answer{Peer: hub, Class: c, Status: 429, RetryAfter: 30 * time.Second})
			began := time.Now()
			for _, c := range []Class{Small, Pull} {
				if waited(t, l, hub, c); time.Since(began) != 30*time.Second {
					t.Errorf("class %d waited %v", c, time.Since(began))
				}
			}
			if waited(t, l, hub, Read) != 0 {
				t.Error("blobs wait")
			}
		})
	}
}

// A registry that answers 429 without Retry-After gets requests less and less often.
func TestTooManyRequestsWithoutATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		refuse := func(items ...string) {
			for _, item := range items {
				l.Report(Answer{Peer: hub, Class: Pull, Item: item, Status: 429})
			}
		}
		l.Report(Answer{Peer: hub, Class: Small, Status: 200, Quota: &Quota{Remaining: 100, Window: 6 * time.Hour}})
		refuse("x", "x", "x")
		if d := waited(t, l, hub, Small); d != 0 {
			t.Errorf("waits for %v because of one item", d)
		}
		for _, want := range []int{5, 10, 20, 40, 60, 60} {
			refuse("x", "y", "z", "x")
			if d := waited(t, l, hub, Small); d != time.Duration(want)*time.Second {
				t.Errorf("waited %v, want %d s", d, want)
			}
		}
		time.Sleep(2 * time.Minute)
		refuse("x", "y")
		if d := waited(t, l, hub, Pull); d != minPause {
			t.Errorf("waited %v after a while, want %v", d, minPause)
		}
	})
}

// Images begin in their order, whatever the order of their requests, and only as a whole.
func TestImagesBeginInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		s := &quotaServer{limiter: l, left: 9}
		s.head(t)
		const images = 8
		opened := make([]*Pulls, images)
		for i := range images {
			opened[i] = l.Pulls(hub, int64(i))
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		var begun, spent []int
		for i := range images {
			all.Go(func() {
				defer opened[i].Close()
				time.Sleep(time.Duration(images-i) * 10 * time.Millisecond) // the last asks first
				err := opened[i].Reserve(t.Context(), 1, false)
				if err == nil {
					err = s.pull(t.Context(), opened[i])
				}
				if err == nil {
					err = opened[i].Reserve(t.Context(), 1, false)
				}
				if err == nil {
					err = s.pull(t.Context(), opened[i])
				}
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					begun = append(begun, i)
				} else {
					wantSpent(t, err)
					spent = append(spent, i)
				}
			})
		}
		all.Wait()
		if !slices.Equal(begun, []int{0, 1, 2, 3}) || !slices.Equal(spent, []int{4, 5, 6, 7}) {
			t.Errorf("begun %v, spent %v", begun, spent)
		}
		s.check(t, 0) // the fifth has read one
	})
}

// Images that reserve nothing hold up the others for ten seconds together, and not at all where there is enough for all.
func TestImagesThatHang(t *testing.T) {
	for _, test := range []struct {
		left int
		want time.Duration
	}{{20, 10 * time.Second}, {200, 0}} {
		synctest.Test(t, func(t *testing.T) {
			l := New(Options{})
			s := &quotaServer{limiter: l, left: test.left}
			s.head(t)
			var hanging []*Pulls
			for i := range 5 {
				hanging = append(hanging, l.Pulls(hub, int64(i)))
			}
			next := l.Pulls(hub, 5)
			requireReserved(t, next, 1, test.want)
			next.Close()
			for _, p := range hanging {
				p.Close()
				p.Close()
			}
			if free := l.registries[hub.Registry].budget(hub.Account).available(); free != test.left {
				t.Errorf("%d available", free)
			}
		})
	}
}

// An image that is first, and waits for the end of a short window, waits without polling.
func TestImageWaitsForTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		l.Report(Answer{Peer: hub, Class: Small, Status: 200, Quota: &Quota{Remaining: 0, Window: time.Minute}})
		p := l.Pulls(hub, 1)
		defer p.Close()
		requireReserved(t, p, 1, time.Minute)
	})
}

// An image that has begun, and finds too few pulls for the rest, waits for the end of a short window.
func TestBegunImageWaitsForTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		s := &quotaServer{limiter: l, left: 2, window: time.Minute}
		s.head(t)
		p := l.Pulls(hub, 1)
		defer p.Close()
		if err := errors.Join(p.Reserve(t.Context(), 2, true), s.pull(t.Context(), p)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := p.Reserve(ctx, 4, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		cancel()
		err := p.Reserve(t.Context(), 4, false)
		if took := time.Since(began).Round(time.Second); err != nil || took != time.Minute {
			t.Errorf("%v after %v, want a minute", err, took)
		}
		s.renew(10)
		for range 4 {
			if err := s.pull(t.Context(), p); err != nil {
				t.Error(err)
			}
		}
		s.check(t, 6)
	})
}

// An image whose context ends gives back what it had.
func TestReservedPullsAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		s := &quotaServer{limiter: l, left: 2}
		s.head(t)
		p := l.Pulls(hub, 1)
		if err := p.Reserve(t.Context(), 2, false); err != nil {
			t.Fatal(err)
		}
		_, err := l.Acquire(t.Context(), hub, Pull)
		wantSpent(t, err) // they are for the image
		ctx, cancel := context.WithCancel(t.Context())
		l.Report(Answer{Peer: hub, Class: Small, Status: 429, RetryAfter: time.Minute})
		time.AfterFunc(time.Second, cancel)
		if err := s.pull(ctx, p); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		p.Close()
		time.Sleep(time.Minute)
		for range 2 {
			if err := s.pull(t.Context(), nil); err != nil {
				t.Error(err)
			}
		}
		s.check(t, 0)
	})
}

// A pause for which requests wait is reported when it begins, when it becomes longer, and when it is over.
func TestPauseIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		var told []string
		l := New(Options{Paused: func(registry string, p *Pause) {
			text := "over"
			if p != nil {
				text = fmt.Sprint(p.Until.Sub(began), " ", p.Status, " ", p.Asked)
			}
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprint(time.Since(began), " ", registry, " ", text))
		}})
		l.Report(Answer{Peer: hub, Class: Small, Status: 429, RetryAfter: 12 * time.Second})
		l.Report(Answer{Peer: hub, Class: Read, Status: 429, RetryAfter: 5 * time.Second})
		time.Sleep(10 * time.Second)
		l.Report(Answer{Peer: hub, Class: Small, Status: 429, RetryAfter: 10 * time.Second})
		l.Report(Answer{Peer: hub, Class: Write, Status: 429, RetryAfter: time.Hour}) // not waited for
		time.Sleep(59 * time.Minute)
		l.Report(Answer{Peer: hub, Class: Small, Status: 200}) // nothing has waited for the hour
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		want := []string{"0s docker.io 12s 429 true", "10s docker.io 20s 429 true", "20s docker.io over"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// A quota that is full again, as another answer states it, is used, although the registry had asked for a longer wait.
func TestQuotaThatIsFullAgainEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		l.Report(Answer{Peer: hub, Class: Pull, Status: 429, RetryAfter: time.Hour, Quota: &Quota{Window: 6 * time.Hour}})
		_, err := l.Acquire(t.Context(), hub, Pull)
		wantSpent(t, err)
		time.Sleep(10 * time.Minute)
		l.Report(Answer{Peer: hub, Class: Small, Status: 200, Quota: &Quota{Remaining: 200, Window: 6 * time.Hour}})
		if d := waited(t, l, hub, Pull); d != 0 {
			t.Errorf("waited %v", d)
		}
	})
}

// An image that has begun does not fail because of pulls in flight that an answer has counted already.
func TestPullsInFlightAreCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		s := &quotaServer{limiter: l, left: 41}
		s.head(t)
		begun := l.Pulls(hub, 1)
		defer begun.Close()
		if err := errors.Join(begun.Reserve(t.Context(), 2, true), s.pull(t.Context(), begun)); err != nil {
			t.Fatal(err)
		}
		var pulls sync.WaitGroup
		for range 15 {
			pulls.Go(func() {
				if err := s.pull(t.Context(), nil); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(60 * time.Millisecond) // the fast ones of them are answered
		if err := begun.Reserve(t.Context(), 21, false); err != nil {
			t.Error(err)
		}
		pulls.Wait()
		s.check(t, 25)
	})
}

// Images of equal order do not wait for each other: they are one image for several destinations.
func TestDestinationsOfAnImageDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		s := &quotaServer{limiter: l, left: 3}
		s.head(t)
		first, second, later := l.Pulls(hub, 1), l.Pulls(hub, 1), l.Pulls(hub, 2)
		requireReserved(t, first, 2, 0)
		first.Close()
		second.Close()
		requireReserved(t, later, 3, 0)
		later.Close()
	})
}

// A first answer without a quota is no proof that there is none, unless the pull succeeded.
func TestRefusedPullSaysNothingOfTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		release, err := l.Acquire(t.Context(), hub, Pull)
		if err != nil {
			t.Fatal(err)
		}
		l.Report(Answer{Peer: hub, Class: Pull, Status: 404})
		release()
		s := &quotaServer{limiter: l, left: 3}
		var pulls sync.WaitGroup
		for range 50 {
			pulls.Go(func() { _ = s.pull(t.Context(), nil) })
		}
		pulls.Wait()
		s.check(t, 0)
	})
}

// The end of a pause and the next one are told in their order, each once.
func TestPauseThatFollowsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []bool
		l := New(Options{Paused: func(_ string, p *Pause) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, p != nil)
		}})
		for range 50 {
			l.Report(Answer{Peer: hub, Class: Small, Status: 429, RetryAfter: 10 * time.Second})
			time.Sleep(10 * time.Second) // the next 429 comes in the instant in which the pause ends
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		for i, begins := range told {
			if i > 0 && !begins && !told[i-1] {
				t.Fatalf("the end was told twice: %v", told)
			}
		}
		if len(told) == 0 || told[len(told)-1] {
			t.Errorf("told %v", told)
		}
	})
}

// The wait for a short window is told, whether for all pulls of an image or for one, and whether none or too few are left.
func TestWaitForAWindowIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		left int
		wait func(*testing.T, *Limiter) error
	}{
		"an image, none left": {0, func(t *testing.T, l *Limiter) error { return l.Pulls(hub, 1).Reserve(t.Context(), 1, false) }},
		"an image, too few":   {1, func(t *testing.T, l *Limiter) error { return l.Pulls(hub, 1).Reserve(t.Context(), 2, false) }},
		"one pull": {0, func(t *testing.T, l *Limiter) error {
			_, err := l.AcquirePull(t.Context(), hub, nil)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []Pause
				l := New(Options{Paused: func(_ string, p *Pause) {
					if p != nil {
						told = append(told, *p)
					}
				}})
				began := time.Now()
				l.Report(Answer{Peer: hub, Class: Small, Status: 200, Quota: &Quota{Remaining: test.left, Window: 100 * time.Second}})
				if err := test.wait(t, l); err != nil {
					t.Error(err)
				}
				bounds := l.Bounds()
				if len(told) != 1 || told[0] != (Pause{Until: began.Add(100 * time.Second)}) || len(bounds) != 1 || bounds[0].Cause != ByPause {
					t.Errorf("told %v, bounds %v", told, bounds)
				}
			})
		})
	}
}

// More pulls are allowed at once if the configuration no longer keeps some.
func TestReloadOfTheReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reserve := 50
		l := New(Options{PullReserve: func(string) int { return reserve }})
		s := &quotaServer{limiter: l, left: 40, window: time.Minute}
		s.head(t)
		time.AfterFunc(5*time.Second, func() {
			reserve = 0
			l.Reload()
		})
		p := l.Pulls(hub, 1)
		defer p.Close()
		requireReserved(t, p, 1, 5*time.Second)
	})
}

// An answer from the previous window says nothing about the new one.
func TestAnswerOfTheWindowBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		l.Report(Answer{Peer: hub, Class: Small, Status: 200, Quota: &Quota{Remaining: 1, Window: time.Hour}})
		time.Sleep(time.Hour + time.Second)
		l.Report(Answer{Peer: hub, Class: Small, Status: 200, Quota: &Quota{Remaining: 99, Window: time.Hour}})
		l.Report(Answer{Peer: hub, Class: Pull, Item: "x", Status: 429, RoundTrip: 3 * time.Second, Quota: &Quota{Remaining: 0, Window: time.Hour}})
		if d := waited(t, l, hub, Pull); d != 0 {
			t.Errorf("waited %v although the new window has pulls", d)
		}
	})
}

// A registry that redirects the reads of manifests states no quota, and neither does one whose other answers have shown
// that there is none: pulls do not wait for each other.
func TestPullsWithoutAQuota(t *testing.T) {
	for name, learn := range map[string]func(*Limiter, Answer){
		"redirects": func(l *Limiter, a Answer) {
			a.Status = 307
			l.Report(a)
		},
		"other answers": func(l *Limiter, a Answer) { l.NoQuota(a.Peer.Registry) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Options{})
				began := time.Now()
				var pulls sync.WaitGroup
				for i := range 50 {
					p := l.Pulls(a, int64(i))
					pulls.Go(func() {
						defer p.Close()
						if err := p.Reserve(t.Context(), 2, true); err != nil {
							t.Error(err)
						}
						release, err := l.AcquirePull(t.Context(), a, p)
						if err != nil {
							t.Error(err)
							return
						}
						defer release()
						time.Sleep(300 * time.Millisecond)
						learn(l, Answer{Peer: a, Class: Pull, RoundTrip: 300 * time.Millisecond})
					})
				}
				pulls.Wait()
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// An image that lets others go first keeps nothing that they wait for.
func TestPassGivesBackWhatWasReserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		s := &quotaServer{limiter: l, left: 20}
		s.head(t)
		earlier, later := l.Pulls(hub, 1), l.Pulls(hub, 2)
		defer earlier.Close()
		defer later.Close()
		if err := earlier.Reserve(t.Context(), 16, false); err != nil {
			t.Fatal(err)
		}
		earlier.Pass()
		requireReserved(t, later, 17, 0)
	})
}
