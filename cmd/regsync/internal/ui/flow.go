package ui

import (
	"math"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// flow is what a run has done and has yet to do, as far as its events say. Its size grows with what is in progress,
// not with the run.
type flow struct {
	// images is the number of images of the run; at least those that are known.
	images int
	// known and ended count images.
	known, ended int
	// places counts the destinations of the images that are known, and planned those of which
	// it is known what they need.
	places, planned int
	// counts are those of the images that have ended.
	counts report.Tally

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

// imageUnderWay counts the destinations of an image that has not ended, as flow does.
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

func newFlow(images int) *flow {
	return &flow{
		images: images, underWay: map[imageKey]*imageUnderWay{},
		arriving: map[reference.Reference]*arriving{}, moving: map[blobKey]*moving{},
	}
}

// observe takes note of an event. Of a blob or a destination that has ended, it returns what that was.
func (f *flow) observe(at time.Time, e transfer.Event) (blob *moving, to *arriving) {
	switch e := e.(type) {
	case transfer.Planned:
		f.plan(at, e.Plan)
	case transfer.BlobStarted:
		f.start(at, e)
	case transfer.BlobRetrying:
		f.retry(at, e)
	case transfer.BlobDone:
		return f.blob(e), nil
	case transfer.DestinationDone:
		return nil, f.destination(e.Result)
	case transfer.JobDone:
		f.job(e.Result)
	}
	return nil, nil
}

func keyOf(destination reference.Reference, d content.Descriptor) blobKey {
	return blobKey{destination.Name(), d.Digest}
}

// image finds what is known of an image, which may be that it exists.
func (f *flow) image(job transfer.Job) *imageUnderWay {
	key := imageKey{job.Entry, job.Source}
	im := f.underWay[key]
	if im == nil {
		im = &imageUnderWay{places: len(job.Destinations)}
		f.underWay[key] = im
		f.known++
		f.places += im.places
	}
	return im
}

// plan takes note of what destinations of an image need. One that is planned once more,
// because it is tried again, needs what it needs now.
func (f *flow) plan(at time.Time, p *transfer.Plan) {
	im := f.image(p.Job)
	for _, to := range p.Destinations {
		known := f.arriving[to.Reference]
		if known == nil {
			im.planned++
			f.planned++
			known = &arriving{since: at}
			f.arriving[to.Reference] = known
		}
		f.wanted += to.Bytes() - known.rest
		known.rest = to.Bytes()
	}
}

func (f *flow) start(at time.Time, e transfer.BlobStarted) {
	f.started++
	m := &moving{order: f.started, since: at, destination: e.Destination, descriptor: e.Descriptor, progress: e.Progress}
	m.meter.measure(at, e.Progress.Done())
	f.moving[keyOf(e.Destination, e.Descriptor)] = m
}

func (f *flow) retry(at time.Time, e transfer.BlobRetrying) {
	if m := f.moving[keyOf(e.Destination, e.Descriptor)]; m != nil {
		m.retryAt = at.Add(e.Wait)
	}
}

// blob takes note of a blob's end and returns what it was while it moved, or nil.
func (f *flow) blob(e transfer.BlobDone) *moving {
	key := keyOf(e.Destination, e.Descriptor)
	m := f.moving[key]
	if m != nil && e.Outcome == transfer.BlobExists {
		m.over = true
	} else {
		delete(f.moving, key)
	}
	if e.Outcome == transfer.BlobSent {
		f.sent += e.Descriptor.Size
	}
	to := f.arriving[e.Destination]
	if to == nil || e.Outcome == transfer.BlobFailed {
		return m
	}
	to.settle(e)
	settled := min(e.Descriptor.Size, to.rest)
	to.rest -= settled
	f.settled += settled
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
func (f *flow) destination(r transfer.DestinationResult) *arriving {
	to := f.arriving[r.Reference]
	if to != nil {
		if report.StatusOf(r) != report.StatusDeferred { // else it did not come to an end
			f.settled += to.rest
		}
		delete(f.arriving, r.Reference)
	}
	return to
}

// job takes note of an image's end. What was not planned by then never will be.
func (f *flow) job(r *transfer.Result) {
	f.counts.Add(r)
	im := f.image(r.Job)
	f.planned += im.places - im.planned
	delete(f.underWay, imageKey{r.Job.Entry, r.Job.Source})
	if !allDeferred(r) {
		f.ended++
	}
}

// allDeferred reports whether an image is left to the next run.
func allDeferred(r *transfer.Result) bool {
	for _, to := range r.Destinations {
		if report.StatusOf(to) != report.StatusDeferred {
			return false
		}
	}
	return len(r.Destinations) > 0
}

// movingBlobs are the blobs that move, the oldest first.
func (f *flow) movingBlobs() []*moving {
	var all []*moving
	for _, m := range f.moving {
		if !m.over {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *moving) int { return a.order - b.order })
	return all
}

// measure brings the speeds up to date.
func (f *flow) measure(now time.Time) {
	for _, m := range f.moving {
		if !m.retryAt.IsZero() && !now.Before(m.retryAt) {
			m.retryAt = time.Time{}
		}
		m.meter.measure(now, m.progress.Done())
	}
	f.sending.measure(now, f.sentSoFar())
	f.settling.measure(now, f.done())
}

// sentSoFar is the bytes that have gone out, those of unfinished blobs too.
func (f *flow) sentSoFar() int64 {
	sent := f.sent
	for _, m := range f.moving {
		sent += m.progress.Done()
	}
	return sent
}

// done is the bytes that are settled or on their way.
func (f *flow) done() int64 {
	done := f.settled
	for _, m := range f.moving {
		if to := f.arriving[m.destination]; to != nil && !m.over {
			done += min(m.progress.Done(), to.rest)
		}
	}
	return min(done, f.wanted)
}

// total is how many images there are, and how many bytes they may need: those that are yet
// to be planned are taken to be like the others.
func (f *flow) total() (images int, bytes int64) {
	images = max(f.images, f.known)
	if f.planned == 0 {
		return images, 0
	}
	return images, int64(float64(f.wanted) / float64(f.planned) * float64(f.places) / float64(f.known) * float64(images))
}

// estimated reports whether the bytes of total are a guess.
func (f *flow) estimated() bool { return f.planned < f.places || f.known < f.images }

// left is how long the run will take from now; false if nobody knows.
func (f *flow) left() (time.Duration, bool) {
	_, bytes := f.total()
	return f.settling.left(bytes - f.done())
}

const (
	// meterEvery is the shortest span that a speed is taken from.
	meterEvery = 250 * time.Millisecond
	// meterMemory is the span over which speeds are averaged.
	meterMemory = 5 * time.Second
)

// meter turns a growing number into a speed, smooth enough to read. The zero value is
// ready.
type meter struct {
	at    time.Time
	count int64
	speed float64
}

// measure takes note of the count at a time. A count that falls, because an attempt was
// taken back, counts as standing still.
func (m *meter) measure(now time.Time, count int64) {
	if m.at.IsZero() {
		m.at, m.count = now, count
		return
	}
	span := now.Sub(m.at)
	if span < meterEvery {
		return
	}
	speed := float64(max(count-m.count, 0)) / span.Seconds()
	if m.speed == 0 { // it has just begun to move
		m.speed = speed
	} else {
		m.speed += (speed - m.speed) * (1 - math.Exp(-span.Seconds()/meterMemory.Seconds()))
	}
	m.at, m.count = now, count
}

// left is how long the rest will take at the present speed; false if nobody knows.
func (m *meter) left(rest int64) (time.Duration, bool) {
	if m.speed < 1 || rest < 0 {
		return 0, false
	}
	seconds := float64(rest) / m.speed
	if seconds > 365*24*3600 {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}
