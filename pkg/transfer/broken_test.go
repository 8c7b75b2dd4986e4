package transfer

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
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
