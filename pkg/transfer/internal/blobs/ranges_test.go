package blobs

import (
	"context"
	"fmt"
	"io"
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
	wrong  bool          // bytes of ranges
	whole  time.Duration // to fetch the whole blob before the first answer

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
	time.Sleep(f.trip)
	f.mu.Lock()
	whole := f.whole
	f.ranges++
	f.mu.Unlock()
	time.Sleep(whole)
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
	blob := contenttest.NewLayer("far", mebibytes<<20)
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

// One connection carries 5 MB/s, the line 40. A blob of 128 MiB takes 27 s with one request, and 3.4 s at the rate of
// the line.
func TestRangesUseTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		f := &farSource{trip: 100 * time.Millisecond, perBody: 5e6, perAll: 40e6}
		took, err := copyFar(t, b, f, 128)
		if err != nil {
			t.Fatal(err)
		}
		limit := time.Duration(float64(128<<20) / 40e6 * 1e9)
		t.Logf("%v, limit %v; %d requests, %d at a time, %d bytes", took, limit, f.ranges, f.mostOpen, f.sent)
		if took > limit+3*time.Second || f.sent != 128<<20 || f.mostOpen > maxRanges || f.open != 0 {
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
		if _, err := copyFar(t, b, f, 128); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d requests, %d at a time", f.ranges, f.mostOpen)
		if f.mostOpen > firstRanges || f.ranges > 60 || f.sent != 128<<20 {
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
				took, err := copyFar(t, b, f, 64)
				t.Logf("%v; %d requests; %d bytes; %v", took, f.ranges, f.sent, err)
				if err != nil || f.sent > 64<<20+test.extra {
					t.Errorf("%d bytes were sent; %v", f.sent, err)
				}
				b.Close()
			})
		})
	}
}

// A source whose ranges have wrong bytes is read whole.
func TestWrongRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		f := &farSource{trip: 100 * time.Millisecond, perBody: 5e6, perAll: 40e6, wrong: true}
		if _, err := copyFar(t, b, f, 64); err != nil || f.sent != 2*64<<20 {
			t.Errorf("%d bytes were sent; %v", f.sent, err)
		}
		b.Close()
	})
}

// A pull-through cache fetches the whole blob for the first range.
func TestNoRangesFromACache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		f := &farSource{trip: 100 * time.Millisecond, perBody: 5e6, perAll: 40e6, whole: 10 * time.Second}
		f.answer = func(int64, int64) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.whole = 0
			return nil
		}
		if _, err := copyFar(t, b, f, 64); err != nil || f.ranges > 2 {
			t.Errorf("%d requests; %v", f.ranges, err)
		}
		b.Close()
	})
}
