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

// flow is what a run has done and has yet to do, as its events say. It holds only what is in progress.
type flow struct {
	images          int          // of the run; 0 if that is not known
	known, ended    int          // images
	places, planned int          // destinations of the known images, and those whose blobs are known
	counts          report.Tally // of the images that have ended

	wanted, settled int64 // bytes at all destinations: planned, and there
	sent            int64 // bytes of blobs that were sent

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
	since                 time.Time
	rest                  int64 // bytes that are not settled
	sent, mounted, exists int   // blobs
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
	retryAt     time.Time // when the next attempt begins; zero while one is in progress
	exists      bool      // as another image has found; its own end is not reported yet
}

func newFlow(images int) *flow {
	return &flow{
		images: images, underWay: map[imageKey]*imageUnderWay{},
		arriving: map[reference.Reference]*arriving{}, moving: map[blobKey]*moving{},
	}
}

// observe takes note of an event. If a blob or a destination has ended, it returns what was known about it.
func (f *flow) observe(at time.Time, e transfer.Event) (blob *moving, to *arriving) {
	switch e := e.(type) {
	case transfer.Planned:
		f.plan(at, e.Plan)
	case transfer.BlobStarted:
		f.started++
		m := &moving{order: f.started, since: at, destination: e.Destination, descriptor: e.Descriptor, progress: e.Progress}
		m.meter.measure(at, e.Progress.Done())
		f.moving[keyOf(e.Destination, e.Descriptor)] = m
	case transfer.BlobRetrying:
		if m := f.moving[keyOf(e.Destination, e.Descriptor)]; m != nil {
			m.retryAt = at.Add(e.Wait)
		}
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

// image returns the counts of an image, which is known from then on.
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

// plan takes note of what destinations of an image need. The last plan of a destination counts.
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

// blob takes note of a blob's end and returns what it was while it moved, or nil.
func (f *flow) blob(e transfer.BlobDone) *moving {
	key := keyOf(e.Destination, e.Descriptor)
	m := f.moving[key]
	if m != nil && e.Outcome == transfer.BlobExists {
		m.exists = true
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
	switch e.Outcome {
	case transfer.BlobSent:
		to.sent++
		to.sentBytes += e.Descriptor.Size
	case transfer.BlobMounted:
		to.mounted++
	case transfer.BlobExists:
		to.exists++
	}
	settled := min(e.Descriptor.Size, to.rest)
	to.rest -= settled
	f.settled += settled
	return m
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

// job takes note of an image's end. An image that is left to the next run has not ended.
func (f *flow) job(r *transfer.Result) {
	f.counts.Add(r)
	im := f.image(r.Job)
	f.planned += im.places - im.planned
	delete(f.underWay, imageKey{r.Job.Entry, r.Job.Source})
	ended := func(to transfer.DestinationResult) bool { return report.StatusOf(to) != report.StatusDeferred }
	if len(r.Destinations) == 0 || slices.ContainsFunc(r.Destinations, ended) {
		f.ended++
	}
}

// movingBlobs returns the blobs whose bytes are on their way, the oldest first.
func (f *flow) movingBlobs() []*moving {
	var all []*moving
	for _, m := range f.moving {
		if !m.exists {
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

// sentSoFar returns the bytes that were sent, those of unfinished blobs included.
func (f *flow) sentSoFar() int64 {
	sent := f.sent
	for _, m := range f.moving {
		sent += m.progress.Done()
	}
	return sent
}

// done returns the bytes that have arrived.
func (f *flow) done() int64 {
	done := f.settled
	for _, m := range f.moving {
		if to := f.arriving[m.destination]; to != nil && !m.exists {
			done += min(m.progress.Done(), to.rest)
		}
	}
	return min(done, f.wanted)
}

// total returns how many images there are, and how many bytes they may need. Images that are not planned yet are assumed
// to need as much as the others.
func (f *flow) total() (images int, bytes int64) {
	images = max(f.images, f.known)
	if f.planned == 0 {
		return images, 0
	}
	return images, int64(float64(f.wanted) / float64(f.planned) * float64(f.places) / float64(f.known) * float64(images))
}

// estimated reports whether the bytes of total are an estimate.
func (f *flow) estimated() bool { return f.planned < f.places || f.known < f.images }

// left returns how long the run will take from now; false if that is not known.
func (f *flow) left() (time.Duration, bool) {
	_, bytes := f.total()
	return f.settling.left(bytes - f.done())
}

const (
	meterEvery  = 250 * time.Millisecond // the shortest span that a speed is measured over
	meterMemory = 5 * time.Second        // the span over which speeds are averaged
)

// meter turns a growing number into a speed, smooth enough to read. The zero value works.
type meter struct {
	at    time.Time
	count int64
	speed float64
}

// measure takes note of the count at a time. If it falls, because an attempt is repeated, the speed is zero.
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

// left returns how long the rest will take at this speed; false if that is not known.
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
