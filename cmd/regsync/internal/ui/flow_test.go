package ui

import (
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// wantBytes compares what a flow has sent, and what it will have sent at the end, with what it should be.
func wantBytes(t *testing.T, when string, f *flow, done, total int64) {
	t.Helper()
	if gotTotal, _, _ := f.total(); f.done() != done || gotTotal != total {
		t.Errorf("%s: %d of %d bytes, want %d of %d", when, f.done(), gotTotal, done, total)
	}
}

// Two tags of one repository need the same blob: the engine sends it for one of them, and
// tells the other that it is there, in either order.
func TestFlowOfSharedBlob(t *testing.T) {
	for _, othersFirst := range []bool{false, true} {
		f := newFlow(0)
		s := &story{t: t}
		one, two := s.job("nginx:1", "localhost:5000/nginx:1"), s.job("nginx:2", "localhost:5000/nginx:2")
		at := time.Unix(0, 0)
		f.plan(s.plan(one, 1, transfer.ActionAdd, blob(1, 1000)))
		f.plan(s.plan(two, 2, transfer.ActionAdd, blob(1, 1000)))
		p := &transfer.Progress{Total: 1000}
		f.observe(at, transfer.BlobStarted{Destination: one.Destinations[0], Descriptor: blob(1, 1000), Progress: p})
		p.Add(600)
		f.measure(at)
		wantBytes(t, "on its way", f, 600, 1000)
		if len(f.movingBlobs()) != 1 {
			t.Errorf("%d blobs are on their way, want 1", len(f.movingBlobs()))
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
		f.plan(s.plan(s.job("other:1", "localhost:5000/other:1"), 3, transfer.ActionAdd, blob(1, 1000)))
		wantBytes(t, "at the end, and in another repository", f, 1000, 1000)
		if len(f.moving) != 0 {
			t.Errorf("%d blobs are on their way at the end", len(f.moving))
		}
	}
}

// A blob of which an earlier run has sent 400 of 1000 bytes counted as sent by this one, at an impossible speed.
func TestFlowOfResumedBlob(t *testing.T) {
	f := newFlow(1)
	s := &story{t: t}
	job, at := s.job("nginx:1", "localhost:5000/nginx:1"), time.Unix(0, 0)
	f.plan(s.plan(job, 1, transfer.ActionAdd, blob(1, 1000)))
	p := &transfer.Progress{Total: 600, Resumed: 400}
	f.observe(at, transfer.BlobStarted{Destination: job.Destinations[0], Descriptor: blob(1, 1000), Progress: p})
	f.measure(at)
	wantBytes(t, "at the start", f, 0, 600)
	p.Add(600)
	done := transfer.BlobDone{Destination: job.Destinations[0], Descriptor: blob(1, 1000), Outcome: transfer.BlobSent}
	at = at.Add(2 * time.Second)
	was := f.blob(done)
	wantBytes(t, "at the end", f, 600, 600)
	if to := f.arriving[job.Destinations[0]]; to.sent != 600 {
		t.Errorf("the destination got %d bytes, want 600", to.sent)
	}
	golden.File(t, "resumed", effort(at, done, was)+"\n"+withResumed("row", p, 30)+"\n"+withResumed("row", p, 10)+"\n")
}

// Blobs that turn out to be there, or are mounted, are not sent.
func TestFlowCountsWhatIsSent(t *testing.T) {
	f := newFlow(1)
	s := &story{t: t}
	job := s.job("nginx:1", "localhost:5000/nginx:1")
	to := job.Destinations[0]
	f.plan(s.plan(job, 1, transfer.ActionAdd, blob(1, 1000), blob(2, 500), blob(3, 200)))
	wantBytes(t, "planned", f, 0, 1700)
	f.blob(transfer.BlobDone{Destination: to, Descriptor: blob(1, 1000), Outcome: transfer.BlobMounted})
	f.blob(transfer.BlobDone{Destination: to, Descriptor: blob(2, 500), Outcome: transfer.BlobExists})
	if _, most := f.rest(); most != 200 {
		t.Errorf("at most %v bytes are left, want 200", most)
	}
	f.blob(transfer.BlobDone{Destination: to, Descriptor: blob(3, 200), Outcome: transfer.BlobSent})
	wantBytes(t, "at the end", f, 200, 200)
}

// The bytes of a destination that failed are not waited for. Blobs that no plan has, those of
// referrers, count too.
func TestFlowComesToAnEnd(t *testing.T) {
	f := newFlow(1)
	s := &story{t: t}
	job := s.job("nginx:1", "localhost:5000/nginx:1")
	to := job.Destinations[0]
	f.plan(s.plan(job, 1, transfer.ActionAdd, blob(1, 1000), blob(2, 1000)))
	f.blob(transfer.BlobDone{Destination: to, Descriptor: blob(9, 5000), Outcome: transfer.BlobSent})
	f.blob(transfer.BlobDone{Destination: to, Descriptor: blob(1, 1000), Outcome: transfer.BlobFailed, Err: errReset})
	wantBytes(t, "one has failed", f, 5000, 7000)
	r := transfer.DestinationResult{Reference: to, Action: transfer.ActionAdd, Err: errReset}
	f.destination(r)
	f.job(&transfer.Result{Job: job, Destinations: []transfer.DestinationResult{r}})
	wantBytes(t, "at the end", f, 5000, 5000)
	if f.counts.Counts.Failed != 1 || len(f.arriving)+len(f.needed) != 0 {
		t.Errorf("%d failed, %d arriving, %d needed", f.counts.Counts.Failed, len(f.arriving), len(f.needed))
	}
}

// After Ctrl-C the bar once said that all images had arrived: what is left to the next run has come to no end.
func TestFlowOfDeferredImages(t *testing.T) {
	f := newFlow(2)
	s := &story{t: t}
	for i, name := range []string{"nginx:1", "nginx:2"} {
		job := s.job(name, "localhost:5000/"+name)
		f.plan(s.plan(job, i, transfer.ActionAdd, blob(i, 1000)))
		result := transfer.DestinationResult{Reference: job.Destinations[0], Action: transfer.ActionAdd, Err: transfer.ErrDeferred}
		f.destination(result)
		f.job(&transfer.Result{Job: job, Digest: "sha256:1", Destinations: []transfer.DestinationResult{result}})
	}
	wantBytes(t, "at the end", f, 0, 0)
	if f.ended != 0 || f.images != 2 {
		t.Errorf("%d of %d images, want 0 of 2", f.ended, f.images)
	}
}

// An image is counted once, however many destinations it has, which are planned one by one. Until all are planned, the
// most that is left is a guess from those that are.
func TestFlowOfSeveralDestinations(t *testing.T) {
	f := newFlow(2)
	s := &story{t: t}
	job := s.job("nginx:1", "a.corp/nginx:1")
	job.Destinations = append(job.Destinations, ref(t, "b.corp/nginx:1"), ref(t, "c.corp/nginx:1"), ref(t, "a.corp/nginx:1"))
	want := func(when string, ended int, least, most float64) {
		t.Helper()
		if gotLeast, gotMost := f.rest(); f.ended != ended || gotLeast != least || gotMost != most {
			t.Errorf("%s: %d images, %v to %v bytes left; want %d, %v to %v", when, f.ended, gotLeast, gotMost, ended, least, most)
		}
	}
	plan := func(to reference.Reference, blobs ...int64) {
		d := transfer.DestinationPlan{Reference: to, Action: transfer.ActionAdd}
		for n, size := range blobs {
			d.Blobs = append(d.Blobs, blob(n, size))
		}
		f.plan(&transfer.Plan{Job: job, Image: manifest(1), Destinations: []transfer.DestinationPlan{d}})
	}
	plan(job.Destinations[0], 900, 100)
	want("one of four is planned, of one image of two", 0, 1000, 8000)
	plan(job.Destinations[1], 900, 100)
	plan(job.Destinations[2], 900, 100)
	want("the fourth is the first once more", 0, 3000, 8000)

	f.blob(transfer.BlobDone{Destination: job.Destinations[2], Descriptor: blob(0, 900), Outcome: transfer.BlobSent})
	plan(job.Destinations[2], 900, 100) // it has failed and is tried again
	want("after the second plan", 0, 2100, 7100)
	result := &transfer.Result{Job: job, Digest: manifest(1).Digest}
	for _, to := range job.Destinations[:3] {
		r := transfer.DestinationResult{Reference: to, Action: transfer.ActionAdd}
		f.destination(r)
		result.Destinations = append(result.Destinations, r)
	}
	f.job(result)

	gone := s.job("gone:1", "a.corp/gone:1") // no destination of it is planned
	r := transfer.DestinationResult{Reference: gone.Destinations[0], Action: transfer.ActionNone, Err: errReset}
	f.destination(r)
	f.job(&transfer.Result{Job: gone, Destinations: []transfer.DestinationResult{r}})
	want("both have ended", 2, 0, 0)
	if f.counts.Counts.Failed != 1 || len(f.underWay)+len(f.arriving)+len(f.needed) != 0 {
		t.Errorf("%d failed, %d images and %d destinations under way", f.counts.Counts.Failed, len(f.underWay), len(f.arriving))
	}
}
