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
		if got := tally.done(); got != 600 || len(tally.underWay()) != 1 {
			t.Errorf("on its way: %d done, %d blobs, want 600 and 1", got, len(tally.underWay()))
		}
		p.Add(400)
		sent := transfer.BlobDone{Destination: one.Destinations[0], Descriptor: blob(1, 1000), Outcome: transfer.BlobSent}
		exists := transfer.BlobDone{Destination: two.Destinations[0], Descriptor: blob(1, 1000), Outcome: transfer.BlobExists}
		if othersFirst {
			tally.blob(exists)
			if len(tally.underWay()) != 0 {
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
