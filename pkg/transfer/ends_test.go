package transfer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/retry"
)

// Whoever follows the events of a run must see each destination of a job end once, however the run ends: a full window of
// images for several destinations, one of them named twice and one that is down, goes to its end, with second attempts for
// what failed, is drained, or is cancelled in the middle. A job that never began has no event.
func TestEachDestinationEndsOnce(t *testing.T) {
	const images, early = defaultWindow, 3
	for _, end := range []string{"complete", "drained", "cancelled"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				slow := func(ctx context.Context, what string, _ digest.Digest) error {
					return retry.Sleep(ctx, 50*time.Millisecond)
				}
				w.at("a.test/app").hold, w.at("b.test/app").hold = slow, slow
				w.at("c.test/app").hold = func(ctx context.Context, what string, d digest.Digest) error {
					return cmp.Or(slow(ctx, what, d), errBroken)
				}
				var jobs []Job
				for n := range images {
					tag := fmt.Sprint(n)
					one(tag).Push(t, w.at("a.test/app").MemoryRepository, tag)
					jobs = append(jobs, job("a.test/app:"+tag, "b.test/app:"+tag, "c.test/app:"+tag, "b.test/app:"+tag))
				}
				jobs = append(jobs, job("a.test/app:gone", "b.test/app:gone", "c.test/app:gone"))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				draining := make(chan struct{})
				var mu sync.Mutex
				ended, done := map[string]int{}, map[string]int{}
				e := New(w, Options{Attempts: 2, Draining: draining, Observe: func(event Event) {
					mu.Lock()
					defer mu.Unlock()
					switch event := event.(type) {
					case DestinationDone:
						ended[event.Job.Source.Tag+" "+event.Result.Reference.String()]++
						if len(ended) == early && end == "cancelled" {
							cancel()
						}
						if len(ended) == early && end == "drained" {
							close(draining)
						}
					case JobDone:
						done[event.Result.Job.Source.Tag]++
					}
				}})
				results := map[string]int{}
				err := e.Run(ctx, slices.Values(jobs), func(r *Result) {
					if results[r.Job.Source.Tag]++; len(r.Destinations) != 2 {
						t.Errorf("%s: %d results, want 2", r.Job.Source.Tag, len(r.Destinations))
					}
					for _, d := range r.Destinations {
						mu.Lock()
						if n := ended[r.Job.Source.Tag+" "+d.Reference.String()]; n != 1 {
							t.Errorf("%s ended %d times before its job did", d.Reference.Familiar(), n)
						}
						mu.Unlock()
					}
				})
				if wants := len(results) < len(jobs) || end == "cancelled"; (err != nil) != wants {
					t.Errorf("the run ended with %v", err)
				}
				if end == "complete" && len(results) != len(jobs) {
					t.Errorf("%d results of %d jobs", len(results), len(jobs))
				}
				if len(ended) != 2*len(results) || len(done) != len(results) {
					t.Errorf("%d destinations and %d jobs ended, want those of %d results", len(ended), len(done), len(results))
				}
				for what, n := range ended {
					if n != 1 {
						t.Errorf("%s ended %d times", what, n)
					}
				}
				nothingIsKept(t, e)
			})
		})
	}
}

// A destination that a job names twice, and that waits for its turn when the run is drained, ends once.
func TestDuplicateEndsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := pushed(t, w, "app")
		j.Destinations = append(j.Destinations, j.Destinations[0])
		draining := make(chan struct{})
		w.at(j.Destinations[0].Name()).onResolve = func(string) error {
			close(draining)
			synctest.Wait()
			return nil
		}
		ended := 0
		e := New(w, Options{Window: 1, Draining: draining, Observe: func(event Event) {
			if _, done := event.(DestinationDone); done {
				ended++
			}
		}})
		if err := e.Run(t.Context(), slices.Values([]Job{j}), func(*Result) {}); err != nil || ended != 1 {
			t.Errorf("%v, and the destination ended %d times", err, ended)
		}
	})
}
