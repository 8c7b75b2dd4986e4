package ui

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// line is a simulated run: how fast images are planned and blobs are sent, in steps of 50 ms.
type line struct {
	images    [][]content.Descriptor
	listEvery int                                 // steps between two images that become known
	planEvery int                                 // steps between two plans
	latency   int                                 // steps before the first byte of a blob
	streams   int                                 // at a time
	rate      func(elapsed time.Duration) float64 // bytes a second, of all streams together
	present   func(n int) bool                    // blobs that the destination has, by their order in the run
}

const step = 50 * time.Millisecond

// estimate is what was shown at a time.
type estimate struct{ at, left time.Duration }

// stream is a blob on its way.
type stream struct {
	to      reference.Reference
	blob    content.Descriptor
	wait    int
	sent    float64
	present bool
	moves   *transfer.Progress
}

// run simulates the line, and returns the estimates that were shown and how long it took.
func (l *line) run(t *testing.T) (shown []estimate, took time.Duration) {
	t.Helper()
	f := newFlow(0)
	s := &story{t: t}
	start := time.Unix(0, 0)
	var queue, open []*stream
	queued := map[string]bool{}
	listed, planned := 0, 0
	rest := make([]int, len(l.images))
	for n := 0; ; n++ {
		at := start.Add(time.Duration(n) * step)
		if listed < len(l.images) && n%l.listEvery == 0 {
			listed++
			f.observe(at, transfer.Queued{Jobs: listed, Complete: listed == len(l.images)})
		}
		if planned < listed && n%l.planEvery == 0 {
			job := s.job(fmt.Sprint("app:", planned), fmt.Sprint("b.corp/app:", planned))
			f.observe(at, transfer.Planned{Plan: s.plan(job, planned, transfer.ActionAdd, l.images[planned]...)})
			rest[planned] = len(l.images[planned])
			for _, d := range l.images[planned] {
				if key := d.Digest.String(); !queued[key] {
					queue = append(queue, &stream{to: job.Destinations[0], blob: d, wait: l.latency, present: l.present != nil && l.present(len(queued))})
					queued[key] = true
				}
			}
			planned++
		}
		for len(open) < l.streams && len(queue) > 0 {
			open, queue = append(open, queue[0]), queue[1:]
		}
		moving := 0
		for _, o := range open {
			if o.wait > 0 {
				o.wait--
			} else if !o.present {
				moving++
			}
		}
		share := l.rate(time.Duration(n)*step) * step.Seconds() / math.Max(float64(moving), 1)
		var still []*stream
		for _, o := range open {
			switch {
			case o.wait > 0:
			case o.present:
				f.observe(at, transfer.BlobDone{Destination: o.to, Descriptor: o.blob, Outcome: transfer.BlobExists})
				continue
			case o.moves == nil:
				o.moves = &transfer.Progress{Total: o.blob.Size}
				f.observe(at, transfer.BlobStarted{Destination: o.to, Descriptor: o.blob, Progress: o.moves})
			default:
				o.sent = math.Min(o.sent+share, float64(o.blob.Size))
				o.moves.Add(int64(o.sent) - o.moves.Done())
				if o.moves.Done() == o.blob.Size {
					f.observe(at, transfer.BlobDone{Destination: o.to, Descriptor: o.blob, Outcome: transfer.BlobSent})
					continue
				}
			}
			still = append(still, o)
		}
		open = still
		if n%2 == 0 { // as often as it is drawn
			f.measure(at)
			if left, ok := f.left(); ok {
				shown = append(shown, estimate{at.Sub(start), left})
			}
		}
		if planned == len(l.images) && len(queue)+len(open) == 0 {
			return shown, at.Sub(start)
		}
	}
}

// images makes images of which each has own blobs and shares others.
func images(n int, own, shared []int64) (all [][]content.Descriptor) {
	next := 0
	add := func(sizes []int64) (blobs []content.Descriptor) {
		for _, size := range sizes {
			blobs = append(blobs, blob(next, size))
			next++
		}
		return blobs
	}
	base := add(shared)
	for range n {
		all = append(all, append(add(own), base...))
	}
	return all
}

func steadily(bytesPerSecond float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return bytesPerSecond }
}

// Every time left that is shown on a slow line is within a factor of three of how long the rest really takes, or within the
// second that it is rounded to; and it is shown for most of the run.
func TestEstimates(t *testing.T) {
	many := func(n int, size int64) []int64 {
		sizes := make([]int64, n)
		for i := range sizes {
			sizes[i] = size * int64(1+i%7) / 4
		}
		return sizes
	}
	for name, l := range map[string]line{
		"many small blobs":      {images: images(58, many(20, 50_000), nil), rate: steadily(1e6)},
		"few large blobs":       {images: images(3, []int64{40e6, 25e6, 2000}, nil), rate: steadily(2e6)},
		"large and small blobs": {images: images(20, []int64{8e6, 30_000, 20_000, 1e6, 2000}, nil), rate: steadily(2e6)},
		"mostly shared blobs":   {images: images(58, []int64{300_000, 2000}, []int64{30e6, 25e6, 10e6}), rate: steadily(1e6)},
		"mostly present blobs":  {images: images(58, many(10, 400_000), nil), rate: steadily(1e6), present: func(n int) bool { return n%4 != 0 }},
		"slow start": {images: images(58, []int64{1e6, 200_000, 2000}, nil), rate: func(d time.Duration) float64 {
			return 1e6 * math.Min(1, 0.05+d.Seconds()/10)
		}},
		"fast start": {images: images(58, []int64{1e6, 200_000, 2000}, nil), rate: func(d time.Duration) float64 {
			if d < 500*time.Millisecond {
				return 20e6
			}
			return 1e6
		}},
		"line that becomes slower": {images: images(58, []int64{1e6, 200_000, 2000}, nil), rate: func(d time.Duration) float64 {
			if d < 15*time.Second {
				return 1.5e6
			}
			return 1e6
		}},
		"plans that take long": {images: images(58, []int64{1e6, 200_000, 2000}, nil), rate: steadily(1e6), planEvery: 20},
		"long listing":         {images: images(58, []int64{1e6, 200_000, 2000}, nil), rate: steadily(1e6), listEvery: 10},
	} {
		t.Run(name, func(t *testing.T) {
			l.listEvery, l.planEvery, l.latency, l.streams = max(l.listEvery, 1), max(l.planEvery, 2), 4, 12
			shown, took := l.run(t)
			if len(shown) == 0 {
				t.Fatalf("nothing was shown in %v", took)
			}
			worst := 1.0
			for _, e := range shown {
				rest := took - e.at
				if (e.left - rest).Abs() <= time.Second {
					continue
				}
				worst = max(worst, e.left.Seconds()/rest.Seconds(), rest.Seconds()/e.left.Seconds())
			}
			first := shown[0]
			part := float64(len(shown)) * 2 * step.Seconds() / took.Seconds()
			t.Logf("%v: first after %v: %.0f s, in truth %.0f s; shown %.0f %% of the time; worst factor %.2f",
				took, first.at, first.left.Seconds(), (took - first.at).Seconds(), 100*part, worst)
			if worst > 3 {
				t.Errorf("the worst estimate is wrong by a factor of %.2f, want at most 3", worst)
			}
			if part < 0.4 {
				t.Errorf("an estimate is shown %.0f %% of the time, want at least 40 %%", 100*part)
			}
		})
	}
}
