package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
)

// A source is down for a minute: one request at a time tests it, and its items use
// no attempts: one more failure after it harms none.
func TestDownSourceUsesNoAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, limiter := newWorld(), limit.New(limit.Options{})
		start := time.Now()
		var jobs []Job
		a := limit.Peer{Registry: "a.test"}
		var inDown, after atomic.Int32
		var mu sync.Mutex
		once := map[digest.Digest]bool{}
		for i := range 5 {
			name := fmt.Sprintf("app%d", i)
			contenttest.NewImage("linux/amd64", contenttest.NewLayer(name, 5000)).Push(t, w.at("a.test/"+name).MemoryRepository, "1")
			jobs = append(jobs, job("a.test/"+name+":1", "b.test/"+name+":1"))
			w.at("a.test/" + name).hold = func(_ context.Context, what string, d digest.Digest) error {
				if what != "fetch" {
					return nil
				}
				if time.Since(start) < time.Minute {
					if limiter.Down("a.test") {
						inDown.Add(1)
					}
					limiter.Report(limit.Answer{Peer: a, Class: limit.Read, Item: d.String(), Err: errBroken})
					return errBroken
				}
				limiter.Report(limit.Answer{Peer: a, Class: limit.Read, Item: d.String(), Status: 200})
				mu.Lock()
				defer mu.Unlock()
				if !once[d] {
					once[d] = true
					after.Add(1)
					return errBroken
				}
				return nil
			}
		}
		e := New(w, Options{Limiter: limiter, FailFast: true})
		e.moveCheck = 100 * time.Hour
		results := run(t, e, jobs...)
		t.Logf("%d requests while it was down, %d failures after that, %v", inDown.Load(), after.Load(), time.Since(start))
		if inDown.Load() > 40 {
			t.Errorf("%d requests to a source that is down for a minute, want at most 20 in the first 20 s and 8 later", inDown.Load())
		}
		for _, r := range results {
			if r.Err() != nil {
				t.Errorf("%s: %v", r.Job.Source.Familiar(), r.Err())
			}
		}
	})
}

// A commit that is never confirmed fails after a quarter of an hour; it was asked for
// every 10 s for ever. A run that is to end does not wait for that.
func TestUnconfirmedEnds(t *testing.T) {
	for name, drain := range map[string]time.Duration{"undisturbed": 10 * time.Hour, "drained": time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				j := pushed(t, w, "app")
				w.at("b.test/app").onCommit = func(d content.Descriptor, r io.Reader) (io.Reader, error) {
					if d.Size != 5000 {
						return r, nil
					}
					_, _ = io.Copy(io.Discard, r)
					return nil, content.ErrUnconfirmed
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Hour)
				defer cancel()
				draining := make(chan struct{})
				timer := time.AfterFunc(drain, func() { close(draining) })
				defer timer.Stop()
				start := time.Now()
				_ = New(w, Options{Draining: draining}).Run(ctx, slices.Values([]Job{j}), func(r *Result) { t.Logf("%v", r.Err()) })
				t.Logf("%v, asked %d times", time.Since(start), w.at("b.test/app").times("has"))
				if took := time.Since(start); took > 40*time.Minute || drain == time.Minute && took > 2*time.Minute {
					t.Errorf("the run took %v", took)
				}
			})
		})
	}
}

// What failed, and waited for its second try, is told as it failed when the run ends.
func TestFailureIsNotToldAsDeferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		jobs := []Job{pushed(t, w, "app"), pushed(t, w, "other")}
		var puts atomic.Int32
		for _, name := range []string{"app", "other"} {
			w.at("b.test/" + name).hold = func(ctx context.Context, what string, _ digest.Digest) error {
				if what != "put" {
					return nil
				}
				if puts.Add(1) > 2 { // the second tries hang
					<-ctx.Done()
					return context.Cause(ctx)
				}
				return errBroken
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(errors.New("terminated")) })
		last := ""
		_ = New(w, Options{Window: 1}).Run(ctx, slices.Values(jobs), func(r *Result) {
			last = fmt.Sprint(r.Err())
			t.Logf("%s: %v", r.Job.Source.Familiar(), r.Err())
		})
		if last != "destination b.test/other:1: "+errBroken.Error() {
			t.Errorf("%v, want the failure of its first try", last)
		}
	})
}
