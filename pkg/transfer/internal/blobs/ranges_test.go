package blobs

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
)

// farSource is a registry at the end of a line with a round trip, a rate for each connection, and one for all of them.
type farSource struct {
	*counted
	trip            time.Duration
	perBody, perAll float64 // bytes a second
	// answer is called with each range that is requested; the whole blob is one of length 0.
	answer func(offset, length int64) error
	wrong  bool // bytes of ranges

	mu             sync.Mutex
	open, mostOpen int
	free           time.Time // of the line
	sent           int64
	ranges         int
}

func (f *farSource) FetchBlob(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	return f.fetch(ctx, d, 0, 0)
}

func (f *farSource) FetchBlobRange(ctx context.Context, d content.Descriptor, offset, length int64) (io.ReadCloser, error) {
	return f.fetch(ctx, d, offset, length)
}

func (f *farSource) fetch(ctx context.Context, d content.Descriptor, offset, length int64) (io.ReadCloser, error) {
	select {
	case <-time.After(f.trip):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	f.mu.Lock()
	f.ranges++
	f.mu.Unlock()
	if f.answer != nil {
		if err := f.answer(offset, length); err != nil {
			return nil, err
		}
	}
	part := length > 0
	if !part {
		length = d.Size
	}
	body, err := f.MemoryRepository.FetchBlobRange(ctx, d, offset, length)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open++
	f.mostOpen = max(f.mostOpen, f.open)
	return &farBody{body, f, ctx, part}, nil
}

type farBody struct {
	io.ReadCloser
	from *farSource
	ctx  context.Context
	part bool
}

func (b *farBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 64<<10)])
	f := b.from
	if f.wrong && b.part && n > 0 {
		p[0]++
	}
	f.mu.Lock()
	now := time.Now()
	if f.free.Before(now) {
		f.free = now
	}
	f.free = f.free.Add(time.Duration(float64(n) / f.perAll * 1e9))
	wait := max(f.free.Sub(now), time.Duration(float64(n)/f.perBody*1e9))
	f.sent += int64(n)
	f.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-b.ctx.Done():
		return 0, context.Cause(b.ctx)
	}
	return n, err
}

func (b *farBody) Close() error {
	b.from.mu.Lock()
	defer b.from.mu.Unlock()
	b.from.open--
	return b.ReadCloser.Close()
}

// copyFar copies a blob of the given size from a far source.
func copyFar(t *testing.T, b *bench, f *farSource, mebibytes int) (took time.Duration, err error) {
	t.Helper()
	blob := contenttest.NewLayer(fmt.Sprint("far", b.orders), mebibytes<<20)
	f.counted = b.at(t, "a.example", "team/app", blob)
	to := b.at(t, "b.example", "team/app")
	b.options.Limiter.Report(limit.Answer{Peer: limit.Peer{Registry: "a.example"}, Class: limit.Small, Status: 200, RoundTrip: f.trip})
	began := time.Now()
	d := b.delivery(f.counted, to)
	d.origin.Source = f
	defer d.Release(true, false)
	d.Need(blob.Descriptor)
	_, err = d.Wait(t.Context(), blob.Descriptor)
	took = time.Since(began)
	if there, err2 := to.HasBlob(t.Context(), blob.Descriptor); err == nil && (err2 != nil || !there) {
		t.Errorf("the blob did not arrive: %v", err2)
	}
	return took, err
}

// One connection carries 5 MB/s, the line 40. A blob of 64 MiB takes 13 s with one request, and 1.7 s at the rate of
// the line.
func TestRangesUseTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		f := &farSource{trip: 100 * time.Millisecond, perBody: 5e6, perAll: 40e6}
		took, err := copyFar(t, b, f, 64)
		if err != nil {
			t.Fatal(err)
		}
		limit := time.Duration(float64(64<<20) / 40e6 * 1e9)
		t.Logf("%v, limit %v; %d requests, %d at a time, %d bytes", took, limit, f.ranges, f.mostOpen, f.sent)
		if took > limit+3*time.Second || f.sent != 64<<20 || f.mostOpen > maxRanges || f.open != 0 {
			t.Errorf("took %v, want about %v; sent %d; open %d, at most %d", took, limit, f.sent, f.open, f.mostOpen)
		}
		b.Close()
	})
}

// If one connection carries what the line does, further requests bring nothing.
func TestNoRangesWithoutGain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		f := &farSource{trip: 50 * time.Millisecond, perBody: 6e6, perAll: 6e6}
		if _, err := copyFar(t, b, f, 64); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d requests, %d at a time", f.ranges, f.mostOpen)
		if f.mostOpen > firstRanges || f.ranges > 60 || f.sent != 64<<20 {
			t.Errorf("%d requests, %d at a time, %d bytes", f.ranges, f.mostOpen, f.sent)
		}
		b.Close()
	})
}

func TestRangesThatFail(t *testing.T) {
	failed := map[int64]bool{}
	for name, test := range map[string]struct {
		answer func(offset, length int64) error
		extra  int64 // bytes that may be sent again
	}{
		"each once": {func(offset, _ int64) error {
			if offset%(3<<20) != 0 || failed[offset] {
				return nil
			}
			failed[offset] = true
			return fmt.Errorf("offset %d: %w", offset, syscall.ECONNRESET)
		}, 0},
		"not served": {func(_, length int64) error {
			if length > 0 {
				return content.ErrUnsupported
			}
			return nil
		}, 0},
		"forbidden": {func(_, length int64) error {
			if length > 0 {
				return answer(http.StatusForbidden)
			}
			return nil
		}, 0},
		"not satisfiable later": {func(offset, length int64) error {
			if length > 0 && offset > 0 {
				return answer(http.StatusRequestedRangeNotSatisfiable)
			}
			return nil
		}, 12 << 20},
		"broken later": {func(offset, length int64) error {
			if length > 0 && offset > 0 {
				return answer(http.StatusInternalServerError)
			}
			return nil
		}, 12 << 20},
		"not served later": {func(offset, length int64) error {
			if length > 0 && offset >= 8<<20 {
				return content.ErrUnsupported
			}
			return nil
		}, 24 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				f := &farSource{trip: 100 * time.Millisecond, perBody: 5e6, perAll: 40e6}
				var mu sync.Mutex
				f.answer = func(offset, length int64) error {
					mu.Lock()
					defer mu.Unlock()
					return test.answer(offset, length)
				}
				took, err := copyFar(t, b, f, 40)
				t.Logf("%v; %d requests; %d bytes; %v", took, f.ranges, f.sent, err)
				if err != nil || f.sent > 40<<20+test.extra {
					t.Errorf("%d bytes were sent; %v", f.sent, err)
				}
				b.Close()
			})
		})
	}
}

// A source whose ranges have wrong bytes is read whole from then on.
func TestWrongRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		f := &farSource{trip: 100 * time.Millisecond, perBody: 5e6, perAll: 40e6, wrong: true}
		for i, want := range []int64{2 * 40 << 20, 40 << 20} {
			f.sent = 0
			if _, err := copyFar(t, b, f, 40); err != nil || f.sent > want {
				t.Errorf("blob %d: %d bytes were sent, want at most %d; %v", i, f.sent, want, err)
			}
		}
		b.Close()
	})
}

// A pull-through cache fetches a whole blob for its first range.
func TestNoRangesFromACache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		f := &farSource{trip: 100 * time.Millisecond, perBody: 5e6, perAll: 40e6}
		f.answer = func(offset, _ int64) error {
			if offset == 0 {
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		for i, most := range []int{64, 64, 1, 1} {
			f.ranges = 0
			if _, err := copyFar(t, b, f, 40); err != nil || f.ranges > most {
				t.Errorf("blob %d: %d requests, want at most %d; %v", i, f.ranges, most, err)
			}
		}
		b.Close()
	})
}

// What was received and not used counts as read, and as read again only if it is.
func TestReadBytesAreCounted(t *testing.T) {
	for name, stop := range map[string]time.Duration{"interrupted": 1500 * time.Millisecond, "to the end": time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				counts := &readCounts{failureLog: b.observer}
				b.options.Observer = counts
				f := &farSource{trip: 100 * time.Millisecond, perBody: 5e6, perAll: 40e6}
				ctx, cancel := context.WithTimeout(t.Context(), stop)
				defer cancel()
				blob := contenttest.NewLayer("counted", 40<<20)
				f.counted = b.at(t, "a.example", "team/app", blob)
				b.options.Limiter.Report(limit.Answer{Peer: limit.Peer{Registry: "a.example"}, Class: limit.Small, Status: 200, RoundTrip: f.trip})
				d := b.delivery(f.counted, b.at(t, "b.example", "team/app"))
				d.origin.Source = f
				d.Need(blob.Descriptor)
				_, err := d.Wait(ctx, blob.Descriptor)
				d.Release(err == nil, true)
				b.Close()
				if counts.again != 0 || counts.read > f.sent || f.sent-counts.read > 64<<10*maxRanges {
					t.Errorf("%d bytes were sent, %d counted, %d of them as repeated", f.sent, counts.read, counts.again)
				}
			})
		})
	}
}

// readCounts counts the bytes that were read.
type readCounts struct {
	*failureLog
	mu          sync.Mutex
	read, again int64
}

func (c *readCounts) BytesRead(n, again int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read += n
	c.again += again
}

// A blob that is there does not wait for its source.
func TestBlobThatExistsDoesNotWaitForItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		f := &farSource{trip: time.Minute, perBody: 5e6, perAll: 40e6}
		blob := contenttest.NewLayer("there", 1000)
		f.counted = b.at(t, "a.example", "team/app", blob)
		to := b.at(t, "b.example", "team/app", blob)
		d := b.delivery(f.counted, to)
		d.origin.Source = f
		d.registry.absent = enoughAbsent
		began := time.Now()
		d.Need(blob.Descriptor)
		_, err := d.Wait(t.Context(), blob.Descriptor)
		d.Release(true, false)
		b.Close()
		if took := time.Since(began); err != nil || took > time.Second {
			t.Errorf("it took %v, %v", took, err)
		}
	})
}
