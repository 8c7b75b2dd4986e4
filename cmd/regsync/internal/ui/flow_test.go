package ui

import (
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/transfer"
)

// Two tags of one repository need the same blob: the engine sends it for one of them, and
// tells the other that it is there, in either order.
func TestFlowOfSharedBlob(t *testing.T) {
	for _, othersFirst := range []bool{false, true} {
		f := newFlow(0)
		s := &story{t: t}
		one, two := s.job("nginx:1", "localhost:5000/nginx:1"), s.job("nginx:2", "localhost:5000/nginx:2")
		at := time.Unix(0, 0)
		f.plan(at, s.plan(one, 1, transfer.ActionAdd, blob(1, 1000)))
		f.plan(at, s.plan(two, 2, transfer.ActionAdd, blob(1, 1000)))
		p := &transfer.Progress{Total: 1000}
		f.observe(at, transfer.BlobStarted{Destination: one.Destinations[0], Descriptor: blob(1, 1000), Progress: p})
		p.Add(600)
		f.measure(at)
		if got := f.done(); got != 600 || len(f.movingBlobs()) != 1 {
			t.Errorf("on its way: %d done, %d blobs, want 600 and 1", got, len(f.movingBlobs()))
		}
		p.Add(400)
		sent := transfer.BlobDone{Destination: one.Destinations[0], Descriptor: blob(1, 1000), Outcome: transfer.BlobSent}
		exists := transfer.BlobDone{Destination: two.Destinations[0], Descriptor: blob(1, 1000), Outcome: transfer.BlobExists}
		if othersFirst {
			f.blob(exists)
			if len(f.movingBlobs()) != 0 {
				t.Error("a blob that is there is shown as under way")
			}
			if was := f.blob(sent); was == nil {
				t.Error("when the blob was begun is forgotten")
			}
		} else {
			f.blob(sent)
			f.blob(exists)
		}
		if f.done() != 2000 || f.sentSoFar() != 1000 || len(f.moving) != 0 {
			t.Errorf("at the end: %d done, %d sent, %d moving, want 2000, 1000, 0", f.done(), f.sentSoFar(), len(f.moving))
		}
	}
}

// A destination that fails settles what it needed, or the run would never come to its end;
// blobs that nobody planned (those of referrers) do not count beyond it.
func TestFlowComesToAnEnd(t *testing.T) {
	f := newFlow(1)
	s := &story{t: t}
	job := s.job("nginx:1", "localhost:5000/nginx:1")
	to := job.Destinations[0]
	at := time.Unix(0, 0)
	f.plan(at, s.plan(job, 1, transfer.ActionAdd, blob(1, 1000), blob(2, 1000)))
	f.blob(transfer.BlobDone{Destination: to, Descriptor: blob(9, 5000), Outcome: transfer.BlobSent})
	f.blob(transfer.BlobDone{Destination: to, Descriptor: blob(1, 1000), Outcome: transfer.BlobFailed, Err: errReset})
	if got := f.done(); got > f.wanted {
		t.Errorf("%d of %d are done", got, f.wanted)
	}
	r := transfer.DestinationResult{Reference: to, Action: transfer.ActionAdd, Err: errReset}
	f.destination(r)
	f.job(&transfer.Result{Job: job, Destinations: []transfer.DestinationResult{r}})
	if f.done() != f.wanted || f.counts.Counts.Failed != 1 || len(f.arriving) != 0 {
		t.Errorf("%d of %d done, %d failed, %d arriving", f.done(), f.wanted, f.counts.Counts.Failed, len(f.arriving))
	}
}

// After Ctrl-C the bar once said that all images had arrived: what is left to the next run
// has come to no end.
func TestFlowOfDeferredImages(t *testing.T) {
	f := newFlow(2)
	s := &story{t: t}
	at := time.Unix(0, 0)
	for i, name := range []string{"nginx:1", "nginx:2"} {
		job := s.job(name, "localhost:5000/"+name)
		f.plan(at, s.plan(job, i, transfer.ActionAdd, blob(i, 1000)))
		result := transfer.DestinationResult{Reference: job.Destinations[0], Action: transfer.ActionAdd, Err: transfer.ErrDeferred}
		f.destination(result)
		f.job(&transfer.Result{Job: job, Digest: "sha256:1", Destinations: []transfer.DestinationResult{result}})
	}
	if images, bytes := f.total(); f.ended != 0 || f.done() != 0 || images != 2 || bytes != 2000 {
		t.Errorf("%d of %d images, %d of %d bytes, want 0 of 2, 0 of 2000", f.ended, images, f.done(), bytes)
	}
}

// An image is counted once, however many destinations it has, which are planned one by one.
// Until all are planned the bytes are a guess from those that are.
func TestFlowOfSeveralDestinations(t *testing.T) {
	f := newFlow(2)
	s := &story{t: t}
	job := s.job("nginx:1", "a.corp/nginx:1")
	job.Destinations = append(job.Destinations, ref(t, "b.corp/nginx:1"), ref(t, "c.corp/nginx:1"), ref(t, "a.corp/nginx:1"))
	at := time.Unix(0, 0)
	want := func(when string, ended int, bytes int64, estimated bool) {
		t.Helper()
		images, total := f.total()
		if images != 2 || f.ended != ended || total != bytes || f.estimated() != estimated {
			t.Errorf("%s: %d of %d images, %d bytes, estimated %v; want %d of 2, %d, %v",
				when, f.ended, images, total, f.estimated(), ended, bytes, estimated)
		}
	}
	plan := func(i int, blobs ...int64) {
		to := transfer.DestinationPlan{Reference: job.Destinations[i], Action: transfer.ActionAdd}
		for n, size := range blobs {
			to.Blobs = append(to.Blobs, blob(n, size))
		}
		f.plan(at, &transfer.Plan{Job: job, Image: manifest(1), Destinations: []transfer.DestinationPlan{to}})
	}
	plan(0, 900, 100)
	want("one of four is planned", 0, 8000, true)
	plan(1, 900, 100)
	plan(2, 900, 100)
	want("the fourth is the first once more", 0, 8000, true)

	f.blob(transfer.BlobDone{Destination: job.Destinations[2], Descriptor: blob(0, 900), Outcome: transfer.BlobSent})
	plan(2, 100) // it has failed and is tried again
	if f.wanted != 3000 || f.done() != 900 {
		t.Errorf("%d of %d bytes after the second plan, want 900 of 3000", f.done(), f.wanted)
	}
	result := &transfer.Result{Job: job, Digest: manifest(1).Digest}
	for _, to := range job.Destinations[:3] {
		r := transfer.DestinationResult{Reference: to, Action: transfer.ActionAdd}
		f.destination(r)
		result.Destinations = append(result.Destinations, r)
	}
	f.job(result)
	want("the first image has ended", 1, 6000, true)

	gone := s.job("gone:1", "a.corp/gone:1") // no destination of it is planned
	r := transfer.DestinationResult{Reference: gone.Destinations[0], Action: transfer.ActionNone, Err: errReset}
	f.destination(r)
	f.job(&transfer.Result{Job: gone, Destinations: []transfer.DestinationResult{r}})
	want("both have ended", 2, 3000, false)
	if f.done() != 3000 || f.counts.Counts.Failed != 1 || len(f.underWay)+len(f.arriving) != 0 {
		t.Errorf("%d bytes done, %d failed, %d images and %d destinations under way",
			f.done(), f.counts.Counts.Failed, len(f.underWay), len(f.arriving))
	}
}
