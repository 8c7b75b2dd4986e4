package ui

import (
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// tally is what a run has done and has yet to do, as far as its events tell. Its size
// grows with what is under way, not with the run.
type tally struct {
	// images is the number of images of the run; at least those that are known.
	images int
	// known and ended count images.
	known, ended int
	// places counts the destinations of the images that are known, and planned those of which
	// it is known what they need.
	places, planned int
	// failed counts destinations that are not right.
	failed int

	// wanted and settled are bytes: planned, and there, at all destinations.
	wanted, settled int64
	// sent is the bytes of blobs that were sent.
	sent int64

	underWay map[imageKey]*imageUnderWay
	arriving map[reference.Reference]*arriving
	moving   map[blobKey]*moving
	started  int

	sending, settling meter
}

// imageKey is an image of an entry.
type imageKey struct {
	entry  string
	source reference.Reference
}

// imageUnderWay counts the destinations of an image that has not ended, as tally does.
type imageUnderWay struct{ places, planned int }

// arriving is a destination that is under way.
type arriving struct {
	since time.Time
	// rest is the bytes that are not settled.
	rest                  int64
	sent, mounted, exists int
	sentBytes             int64
}

// blobKey is a blob in a repository: several images that need it there share it.
type blobKey struct {
	repository string
	digest     digest.Digest
}

// moving is a blob whose bytes are on their way.
type moving struct {
	order       int
	since       time.Time
	destination reference.Reference
	descriptor  content.Descriptor
	progress    *transfer.Progress
	meter       meter
	// retryAt is when the next attempt begins; zero while one is under way.
	retryAt time.Time
	// over: another image said that the blob is there. Its own end is yet to be told.
	over bool
}

func newTally(images int) *tally {
	return &tally{
		images: images, underWay: map[imageKey]*imageUnderWay{},
		arriving: map[reference.Reference]*arriving{}, moving: map[blobKey]*moving{},
	}
}

func keyOf(destination reference.Reference, d content.Descriptor) blobKey {
	return blobKey{destination.Name(), d.Digest}
}

// image finds what is known of an image, which may be that it exists.
func (t *tally) image(job transfer.Job) *imageUnderWay {
	key := imageKey{job.Entry, job.Source}
	im := t.underWay[key]
	if im == nil {
		im = &imageUnderWay{places: len(job.Destinations)}
		t.underWay[key] = im
		t.known++
		t.places += im.places
	}
	return im
}

// plan takes note of what destinations of an image need. One that is planned once more,
// because it is tried again, needs what it needs now.
func (t *tally) plan(at time.Time, p *transfer.Plan) {
	im := t.image(p.Job)
	for _, to := range p.Destinations {
		known := t.arriving[to.Reference]
		if known == nil {
			im.planned++
			t.planned++
			known = &arriving{since: at}
			t.arriving[to.Reference] = known
		}
		t.wanted += to.Bytes() - known.rest
		known.rest = to.Bytes()
	}
}

func (t *tally) start(at time.Time, e transfer.BlobStarted) {
	t.started++
	m := &moving{order: t.started, since: at, destination: e.Destination, descriptor: e.Descriptor, progress: e.Progress}
	m.meter.measure(at, e.Progress.Done())
	t.moving[keyOf(e.Destination, e.Descriptor)] = m
}

func (t *tally) retry(at time.Time, e transfer.BlobRetrying) {
	if m := t.moving[keyOf(e.Destination, e.Descriptor)]; m != nil {
		m.retryAt = at.Add(e.Wait)
	}
}

// blob takes note of a blob's end and returns what it was while it moved, or nil.
func (t *tally) blob(e transfer.BlobDone) *moving {
	key := keyOf(e.Destination, e.Descriptor)
	m := t.moving[key]
	if m != nil && e.Outcome == transfer.BlobExists {
		m.over = true
	} else {
		delete(t.moving, key)
	}
	if e.Outcome == transfer.BlobSent {
		t.sent += e.Descriptor.Size
	}
	to := t.arriving[e.Destination]
	if to == nil || e.Outcome == transfer.BlobFailed {
		return m
	}
	to.settle(e)
	settled := min(e.Descriptor.Size, to.rest)
	to.rest -= settled
	t.settled += settled
	return m
}

func (a *arriving) settle(e transfer.BlobDone) {
	switch e.Outcome {
	case transfer.BlobSent:
		a.sent++
		a.sentBytes += e.Descriptor.Size
	case transfer.BlobMounted:
		a.mounted++
	case transfer.BlobExists:
		a.exists++
	}
}

// destination takes note of a destination's end and returns what it was, or nil.
func (t *tally) destination(r transfer.DestinationResult) *arriving {
	if r.Err != nil {
		t.failed++
	}
	to := t.arriving[r.Reference]
	if to != nil {
		if statusOf(r) != StatusDeferred { // else it did not come to an end
			t.settled += to.rest
		}
		delete(t.arriving, r.Reference)
	}
	return to
}

// job takes note of an image's end. What was not planned by then never will be.
func (t *tally) job(r *transfer.Result) {
	im := t.image(r.Job)
	t.planned += im.places - im.planned
	delete(t.underWay, imageKey{r.Job.Entry, r.Job.Source})
	if !allDeferred(r) {
		t.ended++
	}
}

// allDeferred reports whether an image is left to the next run.
func allDeferred(r *transfer.Result) bool {
	for _, to := range r.Destinations {
		if statusOf(to) != StatusDeferred {
			return false
		}
	}
	return len(r.Destinations) > 0
}

// movingBlobs are the blobs that move, the oldest first.
func (t *tally) movingBlobs() []*moving {
	var all []*moving
	for _, m := range t.moving {
		if !m.over {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *moving) int { return a.order - b.order })
	return all
}

// measure brings the speeds up to date.
func (t *tally) measure(now time.Time) {
	for _, m := range t.moving {
		if !m.retryAt.IsZero() && !now.Before(m.retryAt) {
			m.retryAt = time.Time{}
		}
		m.meter.measure(now, m.progress.Done())
	}
	t.sending.measure(now, t.sentSoFar())
	t.settling.measure(now, t.done())
}

// sentSoFar is the bytes that have gone out, those of unfinished blobs too.
func (t *tally) sentSoFar() int64 {
	sent := t.sent
	for _, m := range t.moving {
		sent += m.progress.Done()
	}
	return sent
}

// done is the bytes that are settled or on their way.
func (t *tally) done() int64 {
	done := t.settled
	for _, m := range t.moving {
		if to := t.arriving[m.destination]; to != nil && !m.over {
			done += min(m.progress.Done(), to.rest)
		}
	}
	return min(done, t.wanted)
}

// total is how many images there are, and how many bytes they may need: those that are yet
// to be planned are taken to be like the others.
func (t *tally) total() (images int, bytes int64) {
	images = max(t.images, t.known)
	if t.planned == 0 {
		return images, 0
	}
	return images, int64(float64(t.wanted) / float64(t.planned) * float64(t.places) / float64(t.known) * float64(images))
}

// estimated reports whether the bytes of total are a guess.
func (t *tally) estimated() bool { return t.planned < t.places || t.known < t.images }

// left is how long the run will take from now; false if nobody knows.
func (t *tally) left() (time.Duration, bool) {
	_, bytes := t.total()
	return t.settling.left(bytes - t.done())
}
