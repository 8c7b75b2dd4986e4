package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
)

type busy struct{ wait time.Duration }

func (busy) Error() string               { return "503 Service Unavailable" }
func (busy) HTTPStatus() int             { return http.StatusServiceUnavailable }
func (b busy) RetryAfter() time.Duration { return b.wait }

func delayed(what string, d time.Duration, w *wire) {
	before := w.hold
	w.hold = func(ctx context.Context, asked string, of digest.Digest) error {
		if asked == what {
			time.Sleep(d)
		}
		if before != nil {
			return before(ctx, asked, of)
		}
		return nil
	}
}

// Image 1 and 2 have a source that lost the layer; image 3's source has it.
func TestLostOriginDoesNotSpoilAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("shared", 5000)
		for i, at := range []string{"a.test/x", "a.test/x", "z.test/y"} {
			contenttest.NewImage("linux/amd64", layer, contenttest.NewLayer(fmt.Sprint(i), 100)).Push(t, w.at(at).MemoryRepository, fmt.Sprint(i))
		}
		w.at("a.test/x").hold = loses("fetch", layer.Descriptor.Digest)
		delayed("resolve", time.Minute, w.at("z.test/y"))
		results := make([]*Result, 3)
		e := New(w, Options{Window: 1})
		jobs := []Job{job("a.test/x:0", "b.test/app:0"), job("a.test/x:1", "b.test/app:1"), job("z.test/y:2", "b.test/app:2")}
		for i, r := range run(t, e, jobs...) {
			results[i] = r
			t.Logf("%s: %v", r.Job.Source.Familiar(), r.Err())
		}
		if side, said := errors.AsType[*Error](results[1].Err()); !said || side.Side != SideSource || !errors.Is(results[1].Err(), content.ErrNotFound) {
			t.Errorf("the second image: %v, want the same cause as the first", results[1].Err())
		}
		ok(t, results[2])
	})
}

// A pause of the source is a deferral for later images, too.
func TestPausedOriginDefersLaterImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("shared", 5000)
		for i := range 2 {
			contenttest.NewImage("linux/amd64", layer, contenttest.NewLayer(fmt.Sprint(i), 100)).Push(t, w.at("a.test/x").MemoryRepository, fmt.Sprint(i))
		}
		until := time.Now().Add(time.Hour)
		w.at("a.test/x").hold = func(_ context.Context, what string, d digest.Digest) error {
			if what == "fetch" && d == layer.Descriptor.Digest {
				return &limit.PauseError{Registry: "a.test", Class: limit.Read, Until: until}
			}
			return nil
		}
		for _, r := range run(t, New(w, Options{Window: 1}), job("a.test/x:0", "b.test/app:0"), job("a.test/x:1", "b.test/app:1")) {
			t.Logf("%s: %v", r.Job.Source.Familiar(), r.Err())
			if !errors.Is(r.Err(), ErrDeferred) {
				t.Errorf("%s: %v, want a deferral", r.Job.Source.Familiar(), r.Err())
			}
		}
	})
}

// What a source could not give while it was paused, or given up, it may give later.
func TestOriginComesBack(t *testing.T) {
	for name, err := range map[string]error{
		"paused":   &limit.PauseError{Registry: "a.test", Class: limit.Read, Until: time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)},
		"given up": &limit.DownError{Registry: "a.test", GivenUp: true, Err: errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				layer, start := contenttest.NewLayer("shared", 5000), time.Now()
				for i := range 2 {
					contenttest.NewImage("linux/amd64", layer, contenttest.NewLayer(fmt.Sprint(i), 100)).Push(t, w.at("a.test/x").MemoryRepository, fmt.Sprint(i))
				}
				w.at("a.test/x").hold = func(_ context.Context, what string, d digest.Digest) error {
					if what == "fetch" && d == layer.Descriptor.Digest && time.Since(start) < time.Hour {
						return err
					}
					return nil
				}
				w.at("a.test/x").onResolve = func(ref string) error {
					if ref == "1" {
						time.Sleep(2 * time.Hour)
					}
					return nil
				}
				e := New(w, Options{Window: 1})
				e.moveCheck = 100 * time.Hour
				ok(t, run(t, e, job("a.test/x:0", "b.test/app:0"), job("a.test/x:1", "b.test/app:1"))[1])
			})
		})
	}
}

// A commit that is not answered in time, and comes true a minute later.
func lateCommit(t *testing.T, w *world, at string, layer contenttest.Blob, after time.Duration) {
	to := w.at(at)
	to.onCommit = func(d content.Descriptor, r io.Reader) (io.Reader, error) {
		if d.Digest != layer.Descriptor.Digest {
			return r, nil
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		time.AfterFunc(after, func() {
			u, err := to.MemoryRepository.StartUpload(context.Background(), d)
			if err == nil {
				err = u.Commit(context.Background(), content.NewStream(strings.NewReader(string(raw)), d))
			}
			if err != nil {
				t.Error(err)
			}
		})
		return nil, fmt.Errorf("no answer: %w", content.ErrUnconfirmed)
	}
}

func TestUnconfirmedIsNotCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("late", 5000)
		contenttest.NewImage("linux/amd64", layer).Push(t, w.at("a.test/x").MemoryRepository, "1")
		lateCommit(t, w, "b.test/x", layer, time.Minute)
		ok(t, run(t, New(w, Options{}), job("a.test/x:1", "b.test/x:1"))...)
		requireCounts(t, "destination", w.at("b.test/x"), map[string]int{"cancel": 0})
	})
}

func TestUnconfirmedKeepsTheLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("late", 5000)
		contenttest.NewImage("linux/amd64", layer, contenttest.NewLayer("x", 100)).Push(t, w.at("a.test/x").MemoryRepository, "1")
		contenttest.NewImage("linux/amd64", layer, contenttest.NewLayer("y", 100)).Push(t, w.at("a.test/y").MemoryRepository, "1")
		delayed("resolve", 5*time.Second, w.at("a.test/x"))
		lateCommit(t, w, "b.test/y", layer, time.Minute)
		ok(t, run(t, New(w, Options{}), job("a.test/x:1", "b.test/x:1"), job("a.test/y:1", "b.test/y:1"))...)
		fetched := w.at("a.test/x").times("fetch "+layer.Descriptor.Digest.String()) + w.at("a.test/y").times("fetch "+layer.Descriptor.Digest.String())
		if fetched != 1 {
			t.Errorf("the layer was read %d times, want once: x mounts it from y", fetched)
		}
	})
}

// Three registries share a spool with wrong bytes; the second reading is right.
func TestWrongBytesInASpoolOfThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("x", 5000)
		contenttest.NewImage("linux/amd64", layer).Push(t, w.at("a.test/app").MemoryRepository, "1")
		var read atomic.Int32
		w.at("a.test/app").onFetch = func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
			if d.Digest == layer.Descriptor.Digest {
				time.Sleep(time.Second)
				if read.Add(1) == 1 {
					return io.NopCloser(strings.NewReader(strings.Repeat("x", 5000))), nil
				}
			}
			return body, nil
		}
		ok(t, run(t, New(w, Options{FailFast: true}), job("a.test/app:1", "b.test/app:1", "c.test/app:1", "d.test/app:1"))...)
	})
}

// What waits for its next attempt moves no byte: a drain ends it at once.
func TestDrainEndsABackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := pushed(t, w, "app")
		w.at("b.test/app").onCommit = func(d content.Descriptor, r io.Reader) (io.Reader, error) {
			if d.Size != 5000 {
				return r, nil
			}
			_, _ = io.Copy(io.Discard, r)
			return nil, busy{50 * time.Second}
		}
		_, _ = drained(t, w, 10*time.Second, Options{}, j)
		if got := w.at("b.test/app").times("opened"); got > 2 {
			t.Errorf("%d uploads were opened, want 2: one of the config, and one of the layer before the drain", got)
		}
	})
}

// What failed for a passing cause is tried again at the end of the run; until then it
// holds no spool.
func TestKeptDeliveryHoldsNoSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 5000)).Push(t, w.at("a.test/app").MemoryRepository, "1")
		delayed("resolve", time.Second, w.at("c.test/app"))
		w.at("c.test/app").onCommit = func(d content.Descriptor, r io.Reader) (io.Reader, error) { return nil, errBroken }
		long := pushed(t, w, "long")
		delayed("commit", time.Hour, w.at("b.test/long"))
		e := New(w, Options{Attempts: 1, SpoolBytes: 1 << 20})
		time.AfterFunc(30*time.Minute, func() {
			if free := e.spools.Free(); free != 1<<20 {
				t.Errorf("%d bytes are in spools that nothing reads", 1<<20-free)
			}
		})
		run(t, e, job("a.test/app:1", "b.test/app:1", "c.test/app:1"), long)
	})
}

// An announcement for a destination that hangs ends after ten seconds, whoever announces.
func TestSecondAnnouncementEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 5000)).Push(t, w.at("a.test/app").MemoryRepository, "1")
		w.at("b.test/app").onMount = func(string) error { return nil }
		delayed("resolve", time.Minute, w.at("c.test/app"))
		delayed("resolve", time.Hour, w.at("d.test/app"))
		e := New(w, Options{SpoolBytes: 1 << 20})
		time.AfterFunc(30*time.Minute, func() {
			if free := e.spools.Free(); free != 1<<20 {
				t.Errorf("%d bytes are in spools that nothing reads", 1<<20-free)
			}
		})
		ok(t, run(t, e, job("a.test/app:1", "b.test/app:1", "c.test/app:1", "d.test/app:1"))...)
	})
}

// The second try asks the source again.
func TestSecondTryResolvesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := pushed(t, w, "app")
		var asked atomic.Int32
		w.at("a.test/app").onResolve = func(string) error {
			if asked.Add(1) == 1 {
				return errBroken
			}
			return nil
		}
		r := run(t, New(w, Options{}), j)[0]
		t.Logf("asked %d times: %v", asked.Load(), r.Err())
		ok(t, r)
	})
}

// A registry that is up again gets its deliveries, not only when one ends.
func TestLaneOpensWhenTheRegistryIsUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, limiter := newWorld(), limit.New(limit.Options{})
		first, second := pushed(t, w, "first"), pushed(t, w, "second")
		b := limit.Peer{Registry: "b.test"}
		for i := range 5 {
			limiter.Report(limit.Answer{Peer: b, Class: limit.Small, Item: fmt.Sprint(i), Err: errBroken})
		}
		if !limiter.Down("b.test") {
			t.Fatal("not down")
		}
		w.at("b.test/first").hold = func(_ context.Context, what string, _ digest.Digest) error {
			limiter.Report(limit.Answer{Peer: b, Class: limit.Write, Item: what, Status: 200})
			if what == "commit" {
				time.Sleep(time.Hour)
			}
			return nil
		}
		start := time.Now()
		var took time.Duration
		e := New(w, Options{Limiter: limiter, Observe: func(ev Event) {
			if d, is := ev.(DestinationDone); is && d.Result.Reference.Repository == "second" {
				took = time.Since(start)
			}
		}})
		e.moveCheck = 100 * time.Hour
		ok(t, run(t, e, first, second)...)
		if took > time.Minute {
			t.Errorf("the second image took %v", took)
		}
	})
}

// A source is down for a minute; blobs go to several registries through spools.
func TestSpooledSourceComesBack(t *testing.T) {
	for _, destinations := range []int{1, 2} {
		t.Run(fmt.Sprint(destinations), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, limiter := newWorld(), limit.New(limit.Options{})
				start := time.Now()
				var jobs []Job
				a := limit.Peer{Registry: "a.test"}
				var tests atomic.Int32
				for i := range 5 {
					name := fmt.Sprintf("app%d", i)
					contenttest.NewImage("linux/amd64", contenttest.NewLayer(name, 5000)).Push(t, w.at("a.test/"+name).MemoryRepository, "1")
					j := job("a.test/"+name+":1", "b.test/"+name+":1")
					if destinations == 2 {
						j.Destinations = append(j.Destinations, ref("c.test/"+name+":1"))
					}
					jobs = append(jobs, j)
					w.at("a.test/" + name).hold = func(_ context.Context, what string, d digest.Digest) error {
						if what != "fetch" {
							return nil
						}
						if time.Since(start) < time.Minute {
							tests.Add(1)
							limiter.Report(limit.Answer{Peer: a, Class: limit.Read, Item: d.String(), Err: errBroken})
							return errBroken
						}
						limiter.Report(limit.Answer{Peer: a, Class: limit.Read, Item: d.String(), Status: 200})
						return nil
					}
				}
				e := New(w, Options{Limiter: limiter, FailFast: true})
				e.moveCheck = 100 * time.Hour
				results := run(t, e, jobs...)
				opened := 0
				for i := range 5 {
					opened += w.at(fmt.Sprintf("b.test/app%d", i)).times("opened")
				}
				t.Logf("%v, %d failed requests, %d uploads opened at b.test", time.Since(start), tests.Load(), opened)
				ok(t, results...)
			})
		})
	}
}

// Blobs that are there already, asked for by a mount from their own repository.
func TestPresentBlobsAreNotAskedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var layers []contenttest.Blob
		for i := range 32 {
			layers = append(layers, contenttest.NewLayer(fmt.Sprint(i), 100))
		}
		contenttest.NewImage("linux/amd64", layers...).Push(t, w.at("a.test/app").MemoryRepository, "1")
		contenttest.NewImage("linux/amd64", layers...).Push(t, w.at("b.test/app").MemoryRepository, "old")
		if err := w.at("b.test/app").Delete(t.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		delayed("probe", 100*time.Millisecond, w.at("b.test/app"))
		start := time.Now()
		ok(t, run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1"))...)
		t.Logf("%v, %d probes", time.Since(start), w.at("b.test/app").times("probe"))
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("33 blobs that are there took %v at 100 ms a request and 16 slots", took)
		}
	})
}

// A job without destinations whose source is missing.
func TestNoDestinations(t *testing.T) {
	r := run(t, New(newWorld(), Options{}), job("a.test/app:1"))[0]
	t.Logf("%v", r.Err())
}

// A child manifest that the destination does not take for a passing cause.
func TestManifestConvoy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		child := contenttest.NewImage("linux/amd64", contenttest.NewLayer("shared", 100))
		var jobs []Job
		for i := range 50 {
			contenttest.NewIndex(child, contenttest.NewImage("linux/arm64", contenttest.NewLayer(fmt.Sprint(i), 100))).Push(t, w.at("a.test/app").MemoryRepository, fmt.Sprint(i))
			jobs = append(jobs, job(fmt.Sprintf("a.test/app:%d", i), fmt.Sprintf("b.test/app:%d", i)))
		}
		var puts atomic.Int32
		w.at("b.test/app").onPushManifest = func(d content.Descriptor, _ string) error {
			if d.Digest == child.Digest() {
				puts.Add(1)
				time.Sleep(45 * time.Second) // the budget of an item
				return busy{}
			}
			return nil
		}
		start := time.Now()
		run(t, New(w, Options{FailFast: true}), jobs...)
		t.Logf("%d budgets used, one after the other: %v", puts.Load(), time.Since(start))
		if took := time.Since(start); took > 5*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// A repository in which the blob was taken, and the manifest is denied.
func TestDeniedManifestIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var jobs []Job
		var puts atomic.Int32
		for i := range 50 {
			contenttest.NewImage("linux/amd64", contenttest.NewLayer(fmt.Sprint(i), 100)).Push(t, w.at("a.test/app").MemoryRepository, fmt.Sprint(i))
			jobs = append(jobs, job(fmt.Sprintf("a.test/app:%d", i), fmt.Sprintf("b.test/app:%d", i)))
		}
		w.at("b.test/app").onPushManifest = func(d content.Descriptor, _ string) error {
			puts.Add(1)
			time.Sleep(time.Second)
			return content.ErrDenied
		}
		run(t, New(w, Options{Window: 1}), jobs...)
		t.Logf("%d manifests put, %d uploads", puts.Load(), w.at("b.test/app").times("commit"))
		if puts.Load() > 16 {
			t.Errorf("the refusal was asked for %d times", puts.Load())
		}
	})
}
