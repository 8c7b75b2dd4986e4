package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// cutBody gives some bytes and then breaks. Each reading takes some time.
type cutBody struct {
	io.Reader
	takes time.Duration
}

func cutAfter(body io.Reader, n int64, takes time.Duration) cutBody {
	return cutBody{io.LimitReader(body, n), takes}
}

func (b cutBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil {
		return n, errBroken
	}
	time.Sleep(b.takes)
	return n, nil
}

func (b cutBody) Close() error { return nil }

// A connection that breaks is continued where it broke: no byte is read or sent twice.
func TestBrokenSourceCostsNoBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, breaks = 2 << 20, 3
		w := newWorld()
		layer := contenttest.NewLayer("x", size)
		image := contenttest.NewImage("linux/amd64", layer)
		image.Push(t, w.at("a.test/app").MemoryRepository, "1")
		var broken atomic.Int32
		cut := func(d content.Descriptor, offset int64, body io.ReadCloser) (io.ReadCloser, error) {
			if d.Digest != layer.Descriptor.Digest || broken.Add(1) > breaks {
				return body, nil
			}
			return cutAfter(body, (size-offset)*9/10, 0), nil
		}
		w.at("a.test/app").onRange = cut
		w.at("a.test/app").onFetch = func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
			return cut(d, 0, body)
		}
		e := New(w, Options{})
		ok(t, run(t, e, job("a.test/app:1", "b.test/app:1"))...)
		image.Check(t, w.at("b.test/app").MemoryRepository)
		if got := broken.Load(); got != breaks+1 {
			t.Errorf("the source was opened %d times, want %d", got, breaks+1)
		}
		total := int64(0)
		for _, blob := range image.Blobs {
			total += blob.Descriptor.Size
		}
		read, sent := e.Counters.Read.Load(), e.Counters.Sent.Load()
		t.Logf("%d bytes of blobs, %d read, %d sent", total, read, sent)
		if read > total*101/100 || sent > total*101/100 {
			t.Errorf("%d bytes read and %d sent, want at most 1.01 times the %d of the blobs", read, sent, total)
		}
		requireCounts(t, "destination", w.at("b.test/app"), map[string]int{"commit": 2, "cancel": 0})
	})
}

// A source that gives one byte a connection makes no progress that counts: its image fails
// by that cause, within the budget of an item.
func TestSourceThatGivesAByteAConnection(t *testing.T) {
	const (
		span = 45 * time.Second // of an item's attempts after the first
		long = 9 * time.Second  // and yet no silence
	)
	for name, test := range map[string]struct {
		takes        time.Duration // a byte
		destinations []string
	}{
		"at once, streamed": {0, []string{"b.test/app:1"}},
		"slowly, streamed":  {long, []string{"b.test/app:1"}},
		"at once, spooled":  {0, []string{"b.test/app:1", "c.test/app:1"}},
		"slowly, spooled":   {long, []string{"b.test/app:1", "c.test/app:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				layer := contenttest.NewLayer("x", 2<<20)
				contenttest.NewImage("linux/amd64", layer).Push(t, w.at("a.test/app").MemoryRepository, "1")
				var opened atomic.Int32
				trickle := func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
					if d.Digest != layer.Descriptor.Digest {
						return body, nil
					}
					opened.Add(1)
					return cutAfter(body, 1, test.takes), nil
				}
				w.at("a.test/app").onFetch = trickle
				w.at("a.test/app").onRange = func(d content.Descriptor, _ int64, body io.ReadCloser) (io.ReadCloser, error) {
					return trickle(d, body)
				}
				e := New(w, Options{})
				start := time.Now()
				result := run(t, e, job("a.test/app:1", test.destinations...))[0]
				took := time.Since(start)
				t.Logf("%d connections in %v: %v", opened.Load(), took, result.Err())
				// The first attempt, and the end of the one that uses the span up, and a last one for
				// each destination when all else has ended.
				if most := span + time.Duration(2+len(test.destinations))*test.takes; took > most {
					t.Errorf("it took %v, want at most %v", took, most)
				}
				if got, most := int(opened.Load()), 8+len(test.destinations); got > most {
					t.Errorf("the source was asked %d times, want at most %d: an item's 8 attempts, and a last one for each destination", got, most)
				}
				for _, d := range result.Destinations {
					if side, said := errors.AsType[*Error](d.Err); !said || side.Side != SideSource || !errors.Is(d.Err, errBroken) {
						t.Errorf("%s: %v does not say that the source broke", d.Reference.Familiar(), d.Err)
					}
				}
				nothingIsKept(t, e)
				noSessions(t, w)
			})
		})
	}
}

// unavailable is an answer 503.
type unavailable struct{}

func (unavailable) Error() string   { return "503 Service Unavailable" }
func (unavailable) HTTPStatus() int { return http.StatusServiceUnavailable }

// A registry answers 503 to one layer that 120 images need: it sees the attempts of one item,
// and other images do not wait for it. Whether the registry is taken to be down, once nothing
// but that layer is asked for, makes no difference to that.
func TestLayerThatIsUnavailable(t *testing.T) {
	for _, reports := range []bool{false, true} {
		t.Run(fmt.Sprintf("reports=%v", reports), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { layerIsUnavailable(t, reports) })
		})
	}
}

func layerIsUnavailable(t *testing.T, reports bool) {
	t.Helper()
	const tags, healthy = 120, 20
	w, limiter := newWorld(), limit.New(limit.Options{})
	layer := contenttest.NewLayer("lost", 50_000)
	var jobs []Job
	for n := range tags + healthy {
		name, layers := []string{"x", "y"}[n%2], []contenttest.Blob{contenttest.NewLayer(fmt.Sprint(n), 1000)}
		if n < tags {
			layers = append(layers, layer)
		}
		contenttest.NewImage("linux/amd64", layers...).Push(t, w.at("a.test/"+name).MemoryRepository, fmt.Sprint(n))
		jobs = append(jobs, job(fmt.Sprintf("a.test/%s:%d", name, n), fmt.Sprintf("b.test/%s:%d", name, n)))
	}
	var asked atomic.Int32
	for _, name := range []string{"a.test/x", "a.test/y", "b.test/x", "b.test/y"} {
		at := w.at(name)
		at.hold = func(ctx context.Context, what string, d digest.Digest) error {
			if err := retry.Sleep(ctx, 50*time.Millisecond); err != nil {
				return err
			}
			answer := limit.Answer{Peer: limit.Peer{Registry: at.Location().Registry}, Item: d.String(), Status: http.StatusOK}
			var err error
			if what == "fetch" && d == layer.Descriptor.Digest {
				asked.Add(1)
				answer.Status, err = http.StatusServiceUnavailable, unavailable{}
			}
			if reports {
				limiter.Report(answer)
			}
			return err
		}
	}
	start := time.Now()
	var arrived, last atomic.Int64
	e := New(w, Options{Limiter: limiter, Observe: func(event Event) {
		if done, is := event.(DestinationDone); is && done.Result.Err == nil {
			arrived.Add(1)
			last.Store(int64(time.Since(start)))
		}
	}})
	e.moveCheck = time.Hour
	failed := 0
	for _, r := range run(t, e, jobs...) {
		if err := r.Err(); err != nil {
			failed++
			if side, said := errors.AsType[*Error](err); !said || side.Side != SideSource {
				t.Errorf("%s: %v does not blame the source", r.Job.Source.Familiar(), err)
			}
		}
	}
	took := time.Since(start)
	t.Logf("%d requests for the layer; healthy images in %v, all in %v", asked.Load(), time.Duration(last.Load()), took)
	if failed != tags || arrived.Load() != healthy {
		t.Errorf("%d images failed and %d arrived, want %d and %d", failed, arrived.Load(), tags, healthy)
	}
	if got := asked.Load(); got > 28 {
		t.Errorf("the layer was asked for %d times, want at most 28", got)
	}
	if got := time.Duration(last.Load()); got > 20*time.Second {
		t.Errorf("the last healthy image arrived after %v, want at most 20 s", got)
	}
	if took > 205*time.Second {
		t.Errorf("the run took %v, want at most 205 s", took)
	}
	nothingIsKept(t, e)
	noSessions(t, w)
}
