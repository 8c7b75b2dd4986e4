package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/retry"
)

// crowd is a run of 2,000 images in which one place may hang for ever.
type crowd struct {
	world *world
	jobs  []Job
	// healthy deliveries are those to wait for.
	healthy func(DestinationResult, Job) bool
}

const crowdImages = 2000

var errHealthyDone = errors.New("all healthy deliveries are done")

// newCrowd has 2,000 images in the repositories of some source registries, in turns. All that
// is asked takes a round trip.
func newCrowd(t *testing.T, sources, destinations []string, roundTrip time.Duration) *crowd {
	t.Helper()
	c := &crowd{world: newWorld()}
	for n := range crowdImages {
		from := sources[n%len(sources)]
		image := contenttest.NewManifest(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest},
			contenttest.NewBlob(ocispec.MediaTypeImageConfig, fmt.Sprint(n), 400)) // one blob
		image.Push(t, c.world.at(from+"/app").MemoryRepository, fmt.Sprint(n))
		j := job(fmt.Sprintf("%s/app:%d", from, n))
		for _, to := range destinations {
			j.Destinations = append(j.Destinations, ref(fmt.Sprintf("%s/app:%d", to, n)))
		}
		c.jobs = append(c.jobs, j)
	}
	for _, name := range slices.Concat(sources, destinations) {
		c.world.at(name + "/app").hold = func(ctx context.Context, what string, _ digest.Digest) error {
			return retry.Sleep(ctx, roundTrip)
		}
	}
	return c
}

// hangs lets what is asked of a place hang until its context ends.
func (c *crowd) hangs(place, what string) {
	at := c.world.at(place + "/app")
	answers := at.hold
	at.hold = func(ctx context.Context, asked string, d digest.Digest) error {
		if asked == what {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return answers(ctx, asked, d)
	}
}

// hangingBody gives some bytes and then none, until its request ends.
type hangingBody struct {
	io.Reader
	ctx context.Context
}

func (b hangingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == nil {
		return n, nil
	}
	<-b.ctx.Done()
	return 0, context.Cause(b.ctx)
}

func (b hangingBody) Close() error { return nil }

// took is the time until the last healthy delivery was done. The run ends then.
func (c *crowd) took(t *testing.T) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	want := 0
	for _, j := range c.jobs {
		for _, d := range j.Destinations {
			if c.healthy(DestinationResult{Reference: d}, j) {
				want++
			}
		}
	}
	var mu sync.Mutex
	var last time.Duration
	arrived, start := 0, time.Now()
	e := New(c.world, Options{Observe: func(event Event) {
		done, is := event.(DestinationDone)
		if !is || !c.healthy(done.Result, done.Job) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if err := done.Result.Err; err != nil {
			if !errors.Is(err, ErrDeferred) {
				t.Errorf("%s: %v", done.Result.Reference.Familiar(), err)
			}
			return
		}
		last = time.Since(start)
		if arrived++; arrived == want {
			cancel(errHealthyDone)
		}
	}})
	e.moveCheck = 1000 * time.Hour
	time.AfterFunc(24*time.Hour, func() { cancel(errors.New("a day has passed")) })
	err := e.Run(ctx, slices.Values(c.jobs), func(*Result) {})
	mu.Lock()
	defer mu.Unlock()
	if arrived != want {
		t.Errorf("%d of %d healthy deliveries are done: %v", arrived, want, err)
	}
	return last
}

// One of three destinations hangs for ever: the others are served as if it were not there.
func TestHangingDestinationDelaysNoOther(t *testing.T) {
	t.Parallel()
	healthy := func(d DestinationResult, _ Job) bool { return d.Reference.Registry != "hang.test" }
	measure := func(t *testing.T, destinations []string, what string) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, []string{"a.test"}, destinations, 100*time.Millisecond)
			c.healthy = healthy
			if what != "" {
				c.hangs("hang.test", what)
			}
			took = c.took(t)
		})
		return took
	}
	alone := measure(t, []string{"b.test", "c.test"}, "")
	for _, what := range []string{"resolve", "commit"} {
		t.Run(what, func(t *testing.T) {
			took := measure(t, []string{"hang.test", "b.test", "c.test"}, what)
			if took > alone*11/10 {
				t.Errorf("the others took %v, want at most 1.1 times the %v without it", took, alone)
			}
		})
	}
}

// One of two sources hangs for ever: the images of the other arrive as if it did not. It may
// take half of the destination's write slots, as it does when it works.
func TestHangingSourceDelaysNoOther(t *testing.T) {
	t.Parallel()
	healthy := func(_ DestinationResult, j Job) bool { return j.Source.Registry != "hang.test" }
	measure := func(t *testing.T, hang func(*crowd)) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, []string{"hang.test", "a.test"}, []string{"b.test"}, 3*time.Second)
			c.healthy = healthy
			hang(c)
			took = c.took(t)
		})
		return took
	}
	both := measure(t, func(*crowd) {})
	for name, hang := range map[string]func(*crowd){
		"resolve": func(c *crowd) { c.hangs("hang.test", "resolve") },
		"body": func(c *crowd) {
			c.world.at("hang.test/app").onBody = func(ctx context.Context, offset int64, body io.ReadCloser) io.ReadCloser {
				return hangingBody{io.LimitReader(body, 200-offset), ctx}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Which goroutine comes first differs from run to run, and with it a round or two.
			took := min(measure(t, hang), measure(t, hang))
			if took > both*11/10 {
				t.Errorf("the other took %v, want at most 1.1 times the %v of a run in which neither hangs", took, both)
			}
		})
	}
}
