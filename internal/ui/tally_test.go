package ui

import (
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/transfer"
)

// Two tags of one repository need the same blob: the engine sends it for one of them, and
// tells the other that it is there, in either order.
func TestTallyOfSharedBlob(t *testing.T) {
	for _, othersFirst := range []bool{false, true} {
		tally := newTally(0)
		s := &story{t: t}
		one, two := s.job("nginx:1", "localhost:5000/nginx:1"), s.job("nginx:2", "localhost:5000/nginx:2")
		at := time.Unix(0, 0)
		tally.plan(at, s.plan(one, 1, transfer.ActionAdd, blob(1, 1000)))
		tally.plan(at, s.plan(two, 2, transfer.ActionAdd, blob(1, 1000)))
		p := &transfer.Progress{Total: 1000}
		tally.start(at, transfer.BlobStarted{Destination: one.Destinations[0], Descriptor: blob(1, 1000), Progress: p})
		p.Add(600)
		tally.measure(at)
		if got := tally.done(); got != 600 || len(tally.movingBlobs()) != 1 {
			t.Errorf("on its way: %d done, %d blobs, want 600 and 1", got, len(tally.movingBlobs()))
		}
		p.Add(400)
		sent := transfer.BlobDone{Destination: one.Destinations[0], Descriptor: blob(1, 1000), Outcome: transfer.BlobSent}
		exists := transfer.BlobDone{Destination: two.Destinations[0], Descriptor: blob(1, 1000), Outcome: transfer.BlobExists}
		if othersFirst {
			tally.blob(exists)
			if len(tally.movingBlobs()) != 0 {
				t.Error("a blob that is there is shown as under way")
			}
			if was := tally.blob(sent); was == nil {
				t.Error("when the blob was begun is forgotten")
			}
		} else {
			tally.blob(sent)
			tally.blob(exists)
		}
		if tally.done() != 2000 || tally.sentSoFar() != 1000 || len(tally.moving) != 0 {
			t.Errorf("at the end: %d done, %d sent, %d moving, want 2000, 1000, 0", tally.done(), tally.sentSoFar(), len(tally.moving))
		}
	}
}

// A destination that fails settles what it needed, or the run would never come to its end;
// blobs that nobody planned (those of referrers) do not count beyond it.
func TestTallyComesToAnEnd(t *testing.T) {
	tally := newTally(1)
	s := &story{t: t}
	job := s.job("nginx:1", "localhost:5000/nginx:1")
	to := job.Destinations[0]
	at := time.Unix(0, 0)
	tally.plan(at, s.plan(job, 1, transfer.ActionAdd, blob(1, 1000), blob(2, 1000)))
	tally.blob(transfer.BlobDone{Destination: to, Descriptor: blob(9, 5000), Outcome: transfer.BlobSent})
	tally.blob(transfer.BlobDone{Destination: to, Descriptor: blob(1, 1000), Outcome: transfer.BlobFailed, Err: errReset})
	if got := tally.done(); got > tally.wanted {
		t.Errorf("%d of %d are done", got, tally.wanted)
	}
	tally.destination(transfer.DestinationResult{Reference: to, Action: transfer.ActionAdd, Err: errReset})
	if tally.done() != tally.wanted || tally.failed != 1 || len(tally.arriving) != 0 {
		t.Errorf("%d of %d done, %d failed, %d arriving", tally.done(), tally.wanted, tally.failed, len(tally.arriving))
	}
}

// After Ctrl-C the bar once said that all images had arrived: what is left to the next run
// has come to no end.
func TestTallyOfDeferredImages(t *testing.T) {
	tally := newTally(2)
	s := &story{t: t}
	at := time.Unix(0, 0)
	for i, name := range []string{"nginx:1", "nginx:2"} {
		job := s.job(name, "localhost:5000/"+name)
		tally.plan(at, s.plan(job, i, transfer.ActionAdd, blob(i, 1000)))
		result := transfer.DestinationResult{Reference: job.Destinations[0], Action: transfer.ActionAdd, Err: transfer.ErrDeferred}
		tally.destination(result)
		tally.job(&transfer.Result{Job: job, Digest: "sha256:1", Destinations: []transfer.DestinationResult{result}})
	}
	if images, bytes := tally.total(); tally.ended != 0 || tally.done() != 0 || images != 2 || bytes != 2000 {
		t.Errorf("%d of %d images, %d of %d bytes, want 0 of 2, 0 of 2000", tally.ended, images, tally.done(), bytes)
	}
}

// An image is counted once, however many destinations it has, which are planned one by one.
// Until all are planned the bytes are a guess from those that are.
func TestTallyOfSeveralDestinations(t *testing.T) {
	tally := newTally(2)
	s := &story{t: t}
	job := s.job("nginx:1", "a.corp/nginx:1")
	job.Destinations = append(job.Destinations, ref(t, "b.corp/nginx:1"), ref(t, "c.corp/nginx:1"), ref(t, "a.corp/nginx:1"))
	at := time.Unix(0, 0)
	want := func(when string, ended int, bytes int64, estimated bool) {
		t.Helper()
		images, total := tally.total()
		if images != 2 || tally.ended != ended || total != bytes || tally.estimated() != estimated {
			t.Errorf("%s: %d of %d images, %d bytes, estimated %v; want %d of 2, %d, %v",
				when, tally.ended, images, total, tally.estimated(), ended, bytes, estimated)
		}
	}
	plan := func(i int, blobs ...int64) {
		to := transfer.DestinationPlan{Reference: job.Destinations[i], Action: transfer.ActionAdd}
		for n, size := range blobs {
			to.Blobs = append(to.Blobs, blob(n, size))
		}
		tally.plan(at, &transfer.Plan{Job: job, Image: manifest(1), Destinations: []transfer.DestinationPlan{to}})
	}
	plan(0, 900, 100)
	want("one of four is planned", 0, 8000, true)
	plan(1, 900, 100)
	plan(2, 900, 100)
	want("the fourth is the first once more", 0, 8000, true)

	tally.blob(transfer.BlobDone{Destination: job.Destinations[2], Descriptor: blob(0, 900), Outcome: transfer.BlobSent})
	plan(2, 100) // it has failed and is tried again
	if tally.wanted != 3000 || tally.done() != 900 {
		t.Errorf("%d of %d bytes after the second plan, want 900 of 3000", tally.done(), tally.wanted)
	}
	result := &transfer.Result{Job: job, Digest: manifest(1).Digest}
	for _, to := range job.Destinations[:3] {
		r := transfer.DestinationResult{Reference: to, Action: transfer.ActionAdd}
		tally.destination(r)
		result.Destinations = append(result.Destinations, r)
	}
	tally.job(result)
	want("the first image has ended", 1, 6000, true)

	gone := s.job("gone:1", "a.corp/gone:1") // no destination of it is planned
	r := transfer.DestinationResult{Reference: gone.Destinations[0], Action: transfer.ActionNone, Err: errReset}
	tally.destination(r)
	tally.job(&transfer.Result{Job: gone, Destinations: []transfer.DestinationResult{r}})
	want("both have ended", 2, 3000, false)
	if tally.done() != 3000 || tally.failed != 1 || len(tally.underWay)+len(tally.arriving) != 0 {
		t.Errorf("%d bytes done, %d failed, %d images and %d destinations under way",
			tally.done(), tally.failed, len(tally.underWay), len(tally.arriving))
	}
}
