package ui

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/cmd/regsync/internal/ui/internal/meter"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// flow is what a run has done and has yet to do, as its events say. Its bytes are those that are sent: a blob counts once
// for each registry, and not at all when it turns out to be there, or to be mounted. It holds what is in progress, and
// which blobs each registry has.
type flow struct {
	images          int  // that the run has, as far as that is known
	complete        bool // there are no more
	known, ended    int  // images
	places, planned int  // destinations of the known images, and those whose blobs are known
	counts          report.Tally
	warnings        int

	waiting  int64 // bytes of the blobs that a plan needs and that have not begun
	sent     int64 // bytes of blobs that were sent
	unneeded int64 // bytes of blobs that a plan needed and that were there, mounted, or left out
	needed   map[placedBlob]blobNeed
	claimed  map[placedBlob]struct{} // blobs that have begun, and those that are there

	underWay map[imageKey]*imageUnderWay
	arriving map[reference.Reference]*arriving
	moving   map[blobKey]*moving
	started  int

	sending meter.Meter
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
	since        time.Time            // when its first blob began; zero if none did
	blobs        []content.Descriptor // of its plan
	sent, shared int64                // bytes
}

// placedBlob is a blob at a registry, or in a place that is none: its other repositories mount it.
type placedBlob struct {
	place  string
	digest digest.Digest
}

func placed(to reference.Reference, d content.Descriptor) placedBlob {
	return placedBlob{cmp.Or(to.Registry, to.Name()), d.Digest}
}

// blobNeed is the size of a blob, and how many destinations wait for it.
type blobNeed struct {
	size   int64
	places int
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
	meter       meter.Meter
	retry       retry
	exists      bool // as another image has found; its own end is not reported yet
}

// retry is when the next attempt begins, and why the last one failed. The zero value is no retry.
type retry struct {
	at    time.Time
	cause string
}

func newRetry(at time.Time, e transfer.BlobRetrying) retry {
	return retry{at.Add(e.Wait), Cause(e.Err)}
}

func newFlow(images int) *flow {
	return &flow{
		images: images, complete: images > 0,
		needed: map[placedBlob]blobNeed{}, claimed: map[placedBlob]struct{}{}, underWay: map[imageKey]*imageUnderWay{},
		arriving: map[reference.Reference]*arriving{}, moving: map[blobKey]*moving{},
	}
}

// observe takes note of an event. If a blob or a destination has ended, it returns what was known about it.
func (f *flow) observe(at time.Time, e transfer.Event) (blob *moving, to *arriving) {
	switch e := e.(type) {
	case transfer.Queued:
		f.images, f.complete = max(f.images, e.Jobs), f.complete || e.Complete
	case transfer.Planned:
		f.plan(e.Plan)
	case transfer.BlobStarted:
		f.claim(placed(e.Destination, e.Descriptor))
		f.started++
		m := &moving{order: f.started, since: at, destination: e.Destination, descriptor: e.Descriptor, progress: e.Progress}
		m.meter.Measure(at, e.Progress.Done())
		f.moving[keyOf(e.Destination, e.Descriptor)] = m
		if to := f.arriving[e.Destination]; to != nil && to.since.IsZero() {
			to.since = at
		}
	case transfer.BlobRetrying:
		if m := f.moving[keyOf(e.Destination, e.Descriptor)]; m != nil {
			m.retry = newRetry(at, e)
		}
	case transfer.BlobDone:
		return f.blob(e), nil
	case transfer.Warned:
		f.warnings++
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
func (f *flow) plan(p *transfer.Plan) {
	im := f.image(p.Job)
	for _, to := range p.Destinations {
		known := f.arriving[to.Reference]
		if known == nil {
			im.planned++
			f.planned++
			known = &arriving{}
			f.arriving[to.Reference] = known
		}
		f.release(to.Reference, known)
		known.blobs = to.Blobs
		for _, d := range to.Blobs {
			key := placed(to.Reference, d)
			if _, claimed := f.claimed[key]; claimed {
				continue
			}
			n := f.needed[key]
			if n.places == 0 {
				f.waiting += d.Size
			}
			f.needed[key] = blobNeed{d.Size, n.places + 1}
		}
	}
}

// release takes back what the plan of a destination needs.
func (f *flow) release(at reference.Reference, to *arriving) {
	for _, d := range to.blobs {
		key := placed(at, d)
		switch n := f.needed[key]; n.places {
		case 0:
		case 1:
			f.waiting -= n.size
			delete(f.needed, key)
		default:
			f.needed[key] = blobNeed{n.size, n.places - 1}
		}
	}
}

// claim notes that a blob no longer waits, and returns its size if it did.
func (f *flow) claim(key placedBlob) int64 {
	n := f.needed[key]
	f.waiting -= n.size
	delete(f.needed, key)
	f.claimed[key] = struct{}{}
	return n.size
}

// blob takes note of a blob's end and returns what it was while it moved, or nil.
func (f *flow) blob(e transfer.BlobDone) *moving {
	key := keyOf(e.Destination, e.Descriptor)
	m := f.moving[key]
	if m != nil && e.Outcome == transfer.BlobExists && m.destination != e.Destination {
		m.exists = true
	} else {
		delete(f.moving, key)
	}
	to := f.arriving[e.Destination]
	if to == nil {
		to = &arriving{}
	}
	switch e.Outcome {
	case transfer.BlobFailed:
		delete(f.claimed, placed(e.Destination, e.Descriptor))
	case transfer.BlobSent:
		f.claim(placed(e.Destination, e.Descriptor))
		sent := e.Descriptor.Size
		if m != nil {
			sent = m.progress.Total
		}
		f.sent += sent
		to.sent += sent
	case transfer.BlobMounted, transfer.BlobExists:
		to.shared += e.Descriptor.Size
		fallthrough
	default:
		f.unneeded += f.claim(placed(e.Destination, e.Descriptor))
	}
	return m
}

// destination takes note of a destination's end and returns what it was, or nil.
func (f *flow) destination(r transfer.DestinationResult) *arriving {
	to := f.arriving[r.Reference]
	if to != nil {
		f.release(r.Reference, to)
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

// measure updates the speeds.
func (f *flow) measure(now time.Time) {
	for _, m := range f.moving {
		if !now.Before(m.retry.at) {
			m.retry = retry{}
		}
		m.meter.Measure(now, m.progress.Done())
	}
	f.sending.Measure(now, f.done())
}

// done returns the bytes that were sent, those of unfinished blobs included.
func (f *flow) done() int64 {
	done := f.sent
	for _, m := range f.moving {
		done += m.progress.Done()
	}
	return done
}

// sampleBlobs is how many blobs tell which part of the others will have to be sent, within a factor of two.
const sampleBlobs = 50

// rest returns the bounds of the bytes that are yet to be sent: what is on its way, and the part of what waits that had to
// be sent of what no longer waits; at most all of it, or twice that part if it is known from many blobs, and as much for
// each destination that is not planned as for those that are.
func (f *flow) rest() (least, most float64) {
	var total, done int64
	for _, m := range f.moving {
		total += m.progress.Total
		done += m.progress.Done()
	}
	rest, begun := float64(total-done), float64(f.sent+total)
	part := 1.0
	if f.unneeded > 0 {
		part = begun / (begun + float64(f.unneeded))
	}
	least = rest + part*float64(f.waiting)
	if len(f.claimed) >= sampleBlobs {
		part = min(2*part, 1)
	} else {
		part = 1
	}
	most = rest + part*float64(f.waiting)
	if f.planned > 0 {
		places := float64(f.places) / float64(f.known) * float64(max(f.images, f.known))
		most += (begun + part*float64(f.waiting)) / float64(f.planned) * max(0, places-float64(f.planned))
	}
	return least, most
}

// total returns how many bytes the run will send, and whether that is known well enough to be shown: the number is an
// estimate unless exact.
func (f *flow) total() (bytes int64, known, exact bool) {
	least, most := f.rest()
	done := float64(f.done())
	known = f.complete && most > 0 && done+most <= meter.KnownFactor*(done+least)
	return int64(done + math.Sqrt(least*most)), known, f.complete && least == most
}

// left returns how long the run will take from now; false if that is not known.
func (f *flow) left() (time.Duration, bool) {
	if !f.complete {
		return 0, false
	}
	return f.sending.Left(f.rest())
}

// summary returns how far a run is: "3/10 images, 120MB/400MB, 25MB/s, 12s left", without the speed if it has more than so
// many columns.
func (f *flow) summary(columns int) string {
	parts := []string{fmt.Sprintf("%d/%d images", f.ended, max(f.images, f.known))}
	total, known, exact := f.total()
	switch done := f.done(); {
	case known && exact:
		parts = append(parts, ImageSize(done)+"/"+ImageSize(total))
	case known:
		parts = append(parts, ImageSize(done)+"/~"+ImageSize(total))
	case done > 0:
		parts = append(parts, ImageSize(done)+" sent")
	}
	speedAt := len(parts)
	if speed := f.sending.Speed(); speed >= 1 {
		parts = append(parts, rate(speed))
	}
	if left, ok := f.left(); ok {
		parts = append(parts, clock(left)+" left")
	}
	parts = append(parts, counts(count{f.counts.Counts.Failed, "failed"})...)
	if f.warnings > 0 {
		parts = append(parts, counted(f.warnings, "warning"))
	}
	if text := strings.Join(parts, ", "); width(text) <= columns || speedAt >= len(parts) {
		return text
	}
	return strings.Join(slices.Delete(parts, speedAt, speedAt+1), ", ")
}
