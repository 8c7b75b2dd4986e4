package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
	"github.com/regsync/regsync/pkg/transfer/internal/lanes"
)

// takes lets one kind of request take its time, and end with its context.
func takes(kind string, d time.Duration) func(context.Context, string, digest.Digest) error {
	return func(ctx context.Context, what string, _ digest.Digest) error {
		if what != kind {
			return nil
		}
		return retry.Sleep(ctx, d)
	}
}

// pushed makes "<registry>/<name>:1" hold an image of one layer, and is the job that copies
// it to b.test.
func pushed(t *testing.T, w *world, name string) Job {
	t.Helper()
	contenttest.NewImage("linux/amd64", contenttest.NewLayer(name, 5000)).Push(t, w.at("a.test/"+name).MemoryRepository, "1")
	return job("a.test/"+name+":1", "b.test/"+name+":1")
}

// ofEntry gives a job an entry and its timeout.
func ofEntry(j Job, entry string, timeout time.Duration) Job {
	j.Entry, j.Timeout = entry, timeout
	return j
}

// The jobs of an entry share its time, which begins with the first of them. What is under
// way then, and what has not had its turn, is left to the next run; another entry has its
// own time.
func TestTimeoutOfAnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		jobs := []Job{
			ofEntry(pushed(t, w, "quick"), "web", 30*time.Minute),
			ofEntry(pushed(t, w, "slow"), "web", 30*time.Minute),
			ofEntry(pushed(t, w, "other"), "db", 2*time.Hour),
			ofEntry(pushed(t, w, "queued"), "web", 30*time.Minute),
		}
		w.at("b.test/quick").hold = takes("put", 10*time.Minute)
		w.at("b.test/slow").hold = takes("commit", 10*time.Hour)
		w.at("b.test/other").hold = takes("put", time.Hour)
		w.at("a.test/queued").hold = takes("resolve", 25*time.Minute)
		e := New(w, Options{Window: 3})
		e.moveCheck = 100 * time.Hour
		start := time.Now()
		results := run(t, e, jobs...)
		ok(t, results[0], results[2])
		for _, i := range []int{1, 3} {
			got := results[i].Destinations[0]
			timeout, typed := errors.AsType[*TimeoutError](got.Err)
			if !typed || timeout.Entry != "web" || !errors.Is(got.Err, ErrDeferred) {
				t.Errorf("%s: %v, want a timeout", got.Reference.Familiar(), got.Err)
			}
			if want := "entry web timed out after 30m"; got.Err.Error() != want {
				t.Errorf("got %q, want %q", got.Err, want)
			}
			if w.at(got.Reference.Name()).tag("1") != "" {
				t.Errorf("%s has its tag", got.Reference.Familiar())
			}
		}
		if got := results[1].Elapsed; got != 30*time.Minute {
			t.Errorf("the slow one ended after %v", got)
		}
		if took := time.Since(start); took != time.Hour {
			t.Errorf("the run took %v, want the hour of the other entry", took)
		}
	})
}

// A job whose entry has had its time asks nobody.
func TestJobsAfterTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first, second := ofEntry(pushed(t, w, "first"), "", time.Minute), ofEntry(pushed(t, w, "second"), "", time.Minute)
		w.at("b.test/first").hold = takes("commit", time.Hour)
		results := run(t, New(w, Options{Window: 1}), first, second)
		for _, r := range results {
			if err := r.Err(); err == nil || err.Error() != "the copy timed out after 1m" {
				t.Errorf("%s: %v", r.Job.Source.Familiar(), err)
			}
		}
		if got := w.at("a.test/second").requests() + w.at("b.test/second").requests(); got != 0 {
			t.Errorf("%d requests after the time was up", got)
		}
	})
}

func TestTimeoutsAreWrittenShort(t *testing.T) {
	for timeout, want := range map[time.Duration]string{
		30 * time.Minute: "30m", 2 * time.Hour: "2h", 90 * time.Minute: "1h30m", 10 * time.Second: "10s",
		time.Hour + 10*time.Second: "1h0m10s",
	} {
		err := &TimeoutError{Entry: "web", Timeout: timeout}
		if got := err.Error(); got != "entry web timed out after "+want {
			t.Errorf("%q, want %s", got, want)
		}
	}
}

// Two entries need one blob. The one that brings it has its time: the other goes on with
// the same upload, or begins its own, and is not harmed.
func TestTimeoutHarmsNoOtherEntry(t *testing.T) {
	for name, destination := range map[string]string{
		"the same repository": "b.test/app:2",
		"one that mounts":     "b.test/other:1",
		"another registry":    "c.test/app:1",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				leads := ofEntry(pushed(t, w, "app"), "web", time.Minute)
				follows := ofEntry(job("a.test/app:1", destination), "db", time.Hour)
				w.at("b.test/app").hold = takes("commit", 10*time.Minute)
				w.at(follows.Destinations[0].Name()).hold = takes("commit", 10*time.Minute)
				e := New(w, Options{})
				e.moveCheck = 100 * time.Hour
				results := run(t, e, leads, follows)
				if _, typed := errors.AsType[*TimeoutError](results[0].Err()); !typed {
					t.Errorf("the first entry: %v, want its timeout", results[0].Err())
				}
				ok(t, results[1])
				if got := w.at(follows.Destinations[0].Name()).tag(follows.Destinations[0].Tag); got == "" {
					t.Error("the other entry got nothing")
				}
			})
		})
	}
}

// An interrupted run says so, by the same sign as everything that the next run does.
func TestInterruptionIsDeferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		planning, moving := pushed(t, w, "planning"), pushed(t, w, "moving")
		w.at("a.test/planning").hold = takes("resolve", time.Hour)
		w.at("b.test/moving").hold = takes("commit", time.Hour)
		signal := errors.New("terminated")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(signal) })
		var results []*Result
		err := New(w, Options{}).Run(ctx, slices.Values([]Job{planning, moving}), func(r *Result) { results = append(results, r) })
		if !errors.Is(err, signal) || len(results) != 2 {
			t.Fatalf("run: %v, %d results", err, len(results))
		}
		for _, r := range results {
			if d := r.Destinations[0]; !errors.Is(d.Err, ErrDeferred) || !errors.Is(d.Err, signal) || d.Err.Error() != "interrupted" {
				t.Errorf("%s: %v", r.Job.Source.Familiar(), d.Err)
			}
		}
	})
}

// What waited for its next attempt when the run ended was told as not finished, without why it had not succeeded before.
func TestInterruptionHasTheLastCause(t *testing.T) {
	for _, what := range []string{"commit", "resolve"} {
		for _, drained := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				w, draining := newWorld(), make(chan struct{})
				j := pushed(t, w, "app")
				w.at("b.test/app").hold = func(ctx context.Context, step string, _ digest.Digest) error {
					switch {
					case step != what:
						return nil
					case what == "commit": // the queue retries it
						return errBroken
					default:
						policy := retry.Policy{Base: time.Hour, Max: time.Hour}
						return policy.Do(ctx, func(context.Context, func()) error { return errBroken })
					}
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				end := sync.OnceFunc(func() {
					if drained {
						close(draining)
					} else {
						cancel(errors.New("terminated"))
					}
				})
				e := New(w, Options{Draining: draining, Observe: func(e Event) {
					if _, is := e.(BlobRetrying); is {
						end()
					}
				}})
				time.AfterFunc(time.Second, end)
				var results []*Result
				_ = e.Run(ctx, slices.Values([]Job{j}), func(r *Result) { results = append(results, r) })
				if len(results) != 1 {
					t.Fatalf("%s: %d results", what, len(results))
				}
				last, is := errors.AsType[*InterruptedError](results[0].Destinations[0].Err)
				if !is || !errors.Is(last, ErrDeferred) || !errors.Is(last, errBroken) || last.Err.Side != SideDestination {
					t.Errorf("%s, drained %v: %v", what, drained, results[0].Err())
				}
			})
		}
	}
}

// A cause that says itself why a run ends early is what its jobs say.
func TestCauseOfTheEndIsTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := pushed(t, w, "app")
		w.at("b.test/app").hold = takes("commit", time.Hour)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(&DeferredError{Reason: "another image failed, and fail-fast is set"}) })
		var got DestinationResult
		_ = New(w, Options{}).Run(ctx, slices.Values([]Job{j}), func(r *Result) { got = r.Destinations[0] })
		if !errors.Is(got.Err, ErrDeferred) || got.Err.Error() != "another image failed, and fail-fast is set" {
			t.Error(got.Err)
		}
	})
}

// net/http puts the request around the cause of the end of its context. A report groups by
// the reason: it named each image's request, so that no two were the same.
func TestReasonNamesNoRequest(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	timeout := &TimeoutError{"web", time.Minute}
	cancel(timeout)
	ended := onSide(SideDestination, ref("b.test/app:1"), fmt.Errorf("PUT https://b.test/v2/app/manifests/1: %w", timeout))
	if got := deferral(ctx, ended); got.Error() != timeout.Error() {
		t.Errorf("%v, want %v", got, timeout)
	}
}

// A failure of its own stays one, also when the run ends meanwhile.
func TestFailureIsNotDeferred(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	denied := onSide(SideDestination, ref("b.test/app:1"), content.ErrDenied)
	if got := deferral(ctx, denied); errors.Is(got, ErrDeferred) {
		t.Errorf("%v is deferred", got)
	}
	if got := deferral(t.Context(), context.Canceled); errors.Is(got, ErrDeferred) {
		t.Errorf("%v without an end is deferred", got)
	}
}

// A registry wants to be left alone until later, at the source of thirty images, at the
// destination of one, and where a blob is put: all of them are left to the next run, for one
// reason a registry, and are not tried again. Other registries notice nothing.
func TestPausedRegistryDefersItsImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(30 * time.Hour)
		pause := func(registry string, class limit.Class) error {
			return fmt.Errorf("GET /v2/: %w", &limit.PauseError{Registry: registry, Class: class, Until: until})
		}
		fails := func(kind string, err error) func(context.Context, string, digest.Digest) error {
			return func(_ context.Context, what string, _ digest.Digest) error {
				if what == kind {
					return err
				}
				return nil
			}
		}
		w := newWorld()
		var jobs []Job
		for i := range 30 {
			jobs = append(jobs, pushed(t, w, fmt.Sprint("app", i)))
			w.at(fmt.Sprint("a.test/app", i)).hold = fails("manifest", pause("a.test", limit.Pull))
		}
		pushed(t, w, "fine")
		jobs = append(jobs, job("a.test/fine:1", "b.test/fine:1"), job("a.test/fine:1", "c.test/fine:1"), job("a.test/fine:1", "d.test/fine:1"))
		w.at("c.test/fine").hold = fails("resolve", pause("c.test", limit.Small))
		w.at("d.test/fine").hold = fails("commit", pause("d.test", limit.Write))
		results := run(t, New(w, Options{}), jobs...)
		ok(t, results[30])
		at := " until " + until.Local().Format("2006-01-02 15:04")
		for i, r := range append(results[:30:30], results[31], results[32]) {
			want := "a.test allows no more requests" + at
			switch i {
			case 30:
				want = "c.test allows no more requests" + at
			case 31:
				want = "d.test allows no more uploads" + at
			}
			d := r.Destinations[0]
			_, typed := errors.AsType[*DeferredError](d.Err)
			if !typed || !errors.Is(d.Err, ErrDeferred) || d.Err.Error() != want {
				t.Errorf("%s: %v, want %q", d.Reference.Familiar(), d.Err, want)
			}
		}
		if got := w.at("a.test/app7").times("manifest"); got != 1 {
			t.Errorf("the manifest was asked for %d times, want once", got)
		}
	})
}

// What ends a run comes before a pause; a deferral is not made one twice.
func TestPauseOfARunThatHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	timeout := &TimeoutError{"web", time.Minute}
	cancel(timeout)
	pause := &limit.PauseError{Registry: "a.test", Until: time.Now()}
	if got := deferral(ctx, fmt.Errorf("%w: %w", pause, timeout)); got.Error() != timeout.Error() {
		t.Errorf("%v, want the time-out", got)
	}
	if _, twice := errors.AsType[*DeferredError](errors.Unwrap(Paused(Paused(pause)))); twice {
		t.Error("it is made a deferral twice")
	}
	if got := deferral(ctx, pause); got.Error() != pause.Error() || !errors.Is(got, ErrDeferred) {
		t.Errorf("%v, want the pause", got)
	}
}

// drained runs jobs and lets the run end after a while.
func drained(t *testing.T, w *world, after time.Duration, options Options, jobs ...Job) (map[string]DestinationResult, error) {
	t.Helper()
	draining := make(chan struct{})
	time.AfterFunc(after, func() { close(draining) })
	options.Draining = draining
	e := New(w, options)
	e.moveCheck = 100 * time.Hour
	results := map[string]DestinationResult{}
	err := e.Run(t.Context(), slices.Values(jobs), func(r *Result) {
		for _, d := range r.Destinations {
			results[d.Reference.Familiar()] = d
		}
	})
	return results, err
}

// The run is to end while one job is planned, one has a blob under way and one blob before
// it, one waits for its last blob, and one has not been taken.
func TestDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first, second := contenttest.NewLayer("first", 5000), contenttest.NewLayer("second", 6000)
		contenttest.NewImage("linux/amd64", first, second).Push(t, w.at("a.test/half").MemoryRepository, "1")
		half := job("a.test/half:1", "b.test/half:1")
		var begun time.Time
		w.at("b.test/half").hold = func(ctx context.Context, what string, d digest.Digest) error {
			switch {
			case what == "commit" && d == first.Descriptor.Digest: // begins before, ends after
				begun = time.Now()
				return retry.Sleep(ctx, 10*time.Minute)
			case what == "probe" && d == second.Descriptor.Digest: // has not begun its bytes
				return retry.Sleep(ctx, time.Hour)
			}
			return nil
		}
		last, planned, untaken := pushed(t, w, "last"), pushed(t, w, "planned"), pushed(t, w, "untaken")
		w.at("b.test/last").hold = takes("commit", 5*time.Minute)
		w.at("a.test/planned").hold = takes("resolve", time.Hour)
		results, err := drained(t, w, time.Minute, Options{Window: 3}, half, last, planned, untaken)
		if !errors.Is(err, ErrDeferred) || len(results) != 3 {
			t.Errorf("run: %v, %d results; want a deferral and 3", err, len(results))
		}
		if took := time.Since(begun); took != 10*time.Minute {
			t.Errorf("ended %v after the blob under way began, want 10 minutes", took)
		}
		for _, name := range []string{"b.test/half:1", "b.test/planned:1"} {
			if d := results[name]; !errors.Is(d.Err, ErrDeferred) || d.Err.Error() != "the run is ending" {
				t.Errorf("%s: %v", name, d.Err)
			}
		}
		if there, _ := w.at("b.test/half").MemoryRepository.HasBlob(t.Context(), first.Descriptor); !there {
			t.Error("the blob that was under way did not arrive")
		}
		if got := w.at("a.test/half").times("fetch " + second.Descriptor.Digest.String()); got != 0 {
			t.Error("a blob was begun although the run was ending")
		}
		if results["b.test/last:1"].Err != nil || w.at("b.test/last").tag("1") == "" {
			t.Errorf("the image whose blobs were under way has no tag: %v", results["b.test/last:1"].Err)
		}
		if got := w.at("a.test/untaken").requests(); got != 0 {
			t.Errorf("%d requests for a job that was not to be taken", got)
		}
	})
}

// Whoever waits for a blob that another image has under way still gets it.
func TestDrainingLetsWaitersUseWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("shared", 5000)
		image := contenttest.NewImage("linux/amd64", layer)
		for _, name := range []string{"x", "y"} {
			image.Push(t, w.at("a.test/"+name).MemoryRepository, "1")
			w.at("b.test/" + name).hold = takes("commit", 5*time.Minute)
		}
		jobs := []Job{job("a.test/x:1", "b.test/x:1"), job("a.test/y:1", "b.test/y:1"), job("a.test/x:1", "b.test/x:2")}
		results, err := drained(t, w, time.Minute, Options{}, jobs...)
		if err != nil {
			t.Errorf("run: %v, although all jobs were taken", err)
		}
		for _, name := range []string{"b.test/x:1", "b.test/x:2", "b.test/y:1"} {
			if results[name].Err != nil {
				t.Errorf("%s: %v", name, results[name].Err)
			}
		}
	})
}

// Of several destinations those that read a spool finish; one that has not come to it does
// not begin, and nothing is read for nobody.
func TestDrainingWithASpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := pushed(t, w, "app")
		j.Destinations = append(j.Destinations, ref("c.test/app:1"), ref("d.test/app:1"))
		for _, name := range []string{"b.test/app", "c.test/app"} {
			w.at(name).hold = takes("commit", 5*time.Minute)
		}
		w.at("d.test/app").hold = takes("probe", time.Hour)
		results, _ := drained(t, w, time.Minute, Options{}, j)
		for name, want := range map[string]error{"b.test/app:1": nil, "c.test/app:1": nil, "d.test/app:1": ErrDeferred} {
			if got := results[name].Err; !errors.Is(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	})
}

// A source that is slow to give the first byte has not begun: it is not waited for.
func TestDrainingWaitsForNoFirstByte(t *testing.T) {
	for _, destinations := range [][]string{{"b.test/app:1"}, {"b.test/app:1", "c.test/app:1"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			pushed(t, w, "app")
			w.at("a.test/app").hold = takes("fetch", time.Hour)
			start := time.Now()
			results, _ := drained(t, w, time.Minute, Options{}, job("a.test/app:1", destinations...))
			if took := time.Since(start); took != time.Minute {
				t.Errorf("%d destinations: ended after %v", len(destinations), took)
			}
			for name, d := range results {
				if !errors.Is(d.Err, ErrDeferred) {
					t.Errorf("%s: %v", name, d.Err)
				}
			}
			if b := w.at("b.test/app"); b.times("probe") != b.times("cancel") {
				t.Errorf("%d uploads opened, %d cancelled", b.times("probe"), b.times("cancel"))
			}
		})
	}
}

// 600 jobs go to a destination that answers and to one that hangs: all reach the first
// before the second has said a word, though a window holds far fewer.
func TestHangingDestinationKeepsNobodyFromTheWindow(t *testing.T) {
	for name, destinations := range map[string][]string{
		"both in each job":  {"good.test/app:%d hang.test/app:%d"},
		"one in each job":   {"hang.test/app:%d", "good.test/app:%d"},
		"the good one last": {"hang.test/app:%d hang.test/other:%d", "good.test/app:%d"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 600
				w := newWorld()
				image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 100))
				var first, second []Job
				for i := range n {
					image.Push(t, w.at("a.test/app").MemoryRepository, fmt.Sprint(i))
					for k, list := range destinations {
						j := job(fmt.Sprintf("a.test/app:%d", i))
						for to := range strings.FieldsSeq(list) {
							j.Destinations = append(j.Destinations, ref(fmt.Sprintf(to, i)))
						}
						if k == 0 {
							first = append(first, j)
						} else {
							second = append(second, j)
						}
					}
				}
				answer := make(chan struct{})
				for _, hanging := range []string{"hang.test/app", "hang.test/other"} {
					w.at(hanging).onResolve = func(string) error { <-answer; return errBroken }
				}
				arrived, failed, started := 0, 0, time.Now()
				var mu sync.Mutex
				e := New(w, Options{Window: 16, Observe: func(ev Event) {
					done, is := ev.(DestinationDone)
					if !is {
						return
					}
					mu.Lock()
					defer mu.Unlock()
					if done.Result.Err != nil {
						failed++
						return
					}
					if arrived++; arrived == n {
						close(answer)
					}
				}})
				e.moveCheck = 100 * time.Hour
				results := 0
				err := e.Run(t.Context(), slices.Values(slices.Concat(first, second)), func(*Result) { results++ })
				if err != nil || arrived != n || results != len(first)+len(second) || failed < n {
					t.Errorf("%v: %d of %d arrived, %d failed, %d results", err, arrived, n, failed, results)
				}
				if took := time.Since(started); took > 14*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// A destination that is merely busy gets no more questions than the window has jobs: those
// of images under way would stand in line behind them.
func TestBusyDestinationIsNotFloodedWithQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		const window, n = 4, 60
		var jobs []Job
		for i := range n {
			contenttest.NewImage("linux/amd64").Push(t, w.at("a.test/app").MemoryRepository, fmt.Sprint(i))
			jobs = append(jobs, job(fmt.Sprintf("a.test/app:%d", i), fmt.Sprintf("busy.test/app:%d", i)))
		}
		turn := make(chan struct{}, 1)
		var asking, most atomic.Int32
		w.at("busy.test/app").onResolve = func(string) error {
			if now := asking.Add(1); now > most.Load() {
				most.Store(now)
			}
			defer asking.Add(-1)
			turn <- struct{}{}
			time.Sleep(time.Second)
			<-turn
			return nil
		}
		e := New(w, Options{Window: window})
		e.moveCheck = 100 * time.Hour
		started, results := time.Now(), 0
		err := e.Run(t.Context(), slices.Values(jobs), func(r *Result) {
			if err := r.Err(); err != nil {
				t.Error(err)
			}
			results++
		})
		if err != nil || results != n || most.Load() > window {
			t.Errorf("%v: %d results, %d questions at once", err, results, most.Load())
		}
		if took := time.Since(started); took > (n+4)*time.Second {
			t.Errorf("it took %v, the questions alone take %ds", took, n)
		}
	})
}

// More jobs than may wait do not run ahead without bound.
func TestWaitingJobsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		contenttest.NewImage("linux/amd64").Push(t, w.at("a.test/app").MemoryRepository, "1")
		answer := make(chan struct{})
		w.at("hang.test/app").onResolve = func(string) error { <-answer; return errBroken }
		const window = 8
		var taken, most atomic.Int32
		jobs := func(yield func(Job) bool) {
			for n := range lanes.MaxWaiting + 100*window {
				if !yield(job("a.test/app:1", fmt.Sprintf("hang.test/app:%d", n))) {
					return
				}
				taken.Add(1)
			}
		}
		time.AfterFunc(time.Hour, func() {
			most.Store(taken.Load())
			close(answer)
		})
		if err := New(w, Options{Window: window}).Run(t.Context(), jobs, func(*Result) {}); err != nil {
			t.Error(err)
		}
		if got := most.Load(); got > window+lanes.MaxWaiting {
			t.Errorf("%d jobs were open at once, want at most %d", got, window+lanes.MaxWaiting)
		}
	})
}

// The answers of several slow destinations that come together are served together: the
// source is read once for both.
func TestLateAnswersAreServedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := pushed(t, w, "app")
		j.Destinations = append(j.Destinations, ref("c.test/app:1"))
		w.at("b.test/app").hold = takes("resolve", 5*time.Second)
		w.at("c.test/app").hold = takes("resolve", 6*time.Second)
		e := New(w, Options{})
		e.moveCheck = 100 * time.Hour
		results := run(t, e, j)
		ok(t, results...)
		if got := e.Counters.Reread.Load(); got != 0 {
			t.Errorf("%d bytes were read twice", got)
		}
		if results[0].Digest == "" || results[0].Destinations[0].Reference.Registry != "b.test" {
			t.Errorf("results %+v", results[0])
		}
	})
}

// Nobody will read what a spool was to hold: the source is not kept busy while other blobs
// of the image finish.
func TestDrainingStopsReadingForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first, second := contenttest.NewLayer("first", 5000), contenttest.NewLayer("second", 6000)
		contenttest.NewImage("linux/amd64", first, second).Push(t, w.at("a.test/app").MemoryRepository, "1")
		start := time.Now()
		var stopped time.Duration
		w.at("a.test/app").hold = func(ctx context.Context, what string, d digest.Digest) error {
			if what != "fetch" || d != second.Descriptor.Digest {
				return nil
			}
			defer func() { stopped = time.Since(start) }()
			return retry.Sleep(ctx, time.Hour)
		}
		for _, name := range []string{"b.test/app", "c.test/app"} {
			w.at(name).hold = takes("commit", 10*time.Minute)
		}
		_, _ = drained(t, w, time.Minute, Options{}, job("a.test/app:1", "b.test/app:1", "c.test/app:1"))
		if stopped != time.Minute {
			t.Errorf("the source was read until %v, want 1m", stopped)
		}
		if took := time.Since(start); took != 10*time.Minute {
			t.Errorf("ended after %v, want the end of what was under way", took)
		}
	})
}

// A job that waits for nothing but a destination that hangs ends with the run.
func TestDrainingDoesNotWaitForHangingDestinations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := pushed(t, w, "app")
		j.Destinations = append(j.Destinations, ref("hang.test/app:1"))
		w.at("hang.test/app").hold = takes("resolve", time.Hour)
		start := time.Now()
		results, err := drained(t, w, time.Minute, Options{}, j)
		if took := time.Since(start); err != nil || took != time.Minute {
			t.Errorf("%v after %v", err, took)
		}
		if got := results["b.test/app:1"]; got.Err != nil || got.Action != ActionAdd {
			t.Errorf("the good destination: %s %v", got.Action, got.Err)
		}
		if got := results["hang.test/app:1"]; !errors.Is(got.Err, ErrDeferred) || got.Err.Error() != "the run is ending" {
			t.Errorf("the hanging one: %v", got.Err)
		}
	})
}

// A run that was ended before it had taken all jobs said that there were no more, and its progress showed a total.
func TestQueuedIsCompleteOnlyWithAllJobs(t *testing.T) {
	for _, drained := range []bool{false, true} {
		w := newWorld()
		jobs := []Job{pushed(t, w, "first"), pushed(t, w, "second")}
		draining := make(chan struct{})
		complete := false
		e := New(w, Options{Draining: draining, Observe: func(e Event) {
			if queued, ok := e.(Queued); ok {
				complete = complete || queued.Complete
			}
		}})
		_ = e.Run(t.Context(), func(yield func(Job) bool) {
			for i, job := range jobs {
				if i == 1 && drained {
					close(draining)
				}
				if !yield(job) {
					return
				}
			}
		}, func(*Result) {})
		if complete == drained {
			t.Errorf("drained: %v, complete: %v", drained, complete)
		}
	}
}
