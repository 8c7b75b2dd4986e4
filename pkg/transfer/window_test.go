package transfer

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// fullWindow are 200 images of 11 blobs in 4 repositories of a.test, and the jobs that take
// them to the same repositories of another registry. Two layers of each image are in all of
// them.
func fullWindow(t *testing.T, w *world, to string) []Job {
	t.Helper()
	shared := []contenttest.Blob{contenttest.NewLayer("base", 3000), contenttest.NewLayer("runtime", 2000)}
	var jobs []Job
	for n := range 200 {
		layers := shared
		for k := range 8 {
			layers = append(slices.Clip(layers), contenttest.NewLayer(fmt.Sprint(n, " ", k), 500+10*k))
		}
		image := contenttest.NewImage("linux/amd64", layers...)
		if len(image.Blobs) != 11 {
			t.Fatalf("an image has %d blobs, want 11", len(image.Blobs))
		}
		name := fmt.Sprintf("repository%d", n%4)
		image.Push(t, w.at("a.test/"+name).MemoryRepository, fmt.Sprint(n))
		jobs = append(jobs, job(fmt.Sprintf("a.test/%s:%d", name, n), fmt.Sprintf(to, name, n)))
	}
	return jobs
}

// most keeps the highest of the numbers that it is shown.
type most struct{ atomic.Int64 }

func (m *most) note(n int) {
	for {
		highest := m.Load()
		if int64(n) <= highest || m.CompareAndSwap(highest, int64(n)) {
			return
		}
	}
}

// connections are a limiter whose registries have so many connections each.
func connections(n int) *limit.Limiter {
	return limit.New(limit.Options{MaxConnections: func(string) int { return n }})
}

// writeSlots is how many write slots a limiter gives at a time, in a synctest bubble.
func writeSlots(t *testing.T, l *limit.Limiter) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	n := 0
	for {
		if _, err := l.Acquire(ctx, limit.Peer{Registry: "counted.test"}, limit.Write); err != nil {
			return n
		}
		n++
	}
}

// With a full window the upload sessions at a registry are bounded by its write slots, and
// the goroutines by the window: neither by the number of images or blobs.
func TestFullWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		jobs := fullWindow(t, w, "b.test/%s:%d")
		roundTrip := func(ctx context.Context, what string, _ digest.Digest) error {
			return retry.Sleep(ctx, 50*time.Millisecond)
		}
		for n := range 4 {
			name := fmt.Sprintf("repository%d", n)
			w.at("a.test/" + name).hold = roundTrip
			w.at("b.test/" + name).hold = roundTrip
			w.at("b.test/" + name).onCommit = func(_ content.Descriptor, r io.Reader) (io.Reader, error) {
				return slowReader{r, 200, 10 * time.Millisecond}, nil
			}
		}
		var goroutines most
		w.watch = func() { goroutines.note(runtime.NumGoroutine()) }
		limiter := connections(8)
		slots := writeSlots(t, limiter)
		before := runtime.NumGoroutine()
		e := New(w, Options{Limiter: limiter})
		ok(t, run(t, e, jobs...)...)
		_, sessions := w.sessionsOf("b.test").counted()
		t.Logf("at most %d sessions with %d write slots, %d goroutines", sessions, slots, goroutines.Load())
		if sessions > slots || sessions > 8 {
			t.Errorf("%d upload sessions were open at once, want at most the %d write slots", sessions, slots)
		}
		if got := goroutines.Load(); got > 1000 {
			t.Errorf("there were %d goroutines, want at most 1,000", got)
		}
		synctest.Wait()
		if left := runtime.NumGoroutine() - before; left > 0 {
			t.Errorf("%d goroutines are left", left)
		}
		nothingIsKept(t, e)
		noSessions(t, w)
	})
}
