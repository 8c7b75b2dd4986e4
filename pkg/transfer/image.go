package transfer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/internal/blobs"
	"github.com/regsync/regsync/pkg/transfer/internal/lanes"
	"github.com/regsync/regsync/pkg/transfer/internal/plan"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// announceFor is how long the announcement for a destination that does not answer lasts.
const announceFor = 10 * time.Second

// image is one job: its source side, which is planned once for all destinations, and the results of its deliveries.
type image struct {
	engine *Engine
	job    Job // destinations without a tag or digest have the source's tag

	// Set by open.
	opening      sync.Once
	source       *plan.Source
	sourceErr    error
	destinations []DestinationPlan // distinct ones, opened
	warnings     []warning.Warning

	// Set by begin.
	beginning sync.Once
	started   time.Time
	ctx       context.Context // ends when the entry's time is up
	stop      func()

	deliveries []*delivery

	mu      sync.Mutex // guards what follows, and the progress of the deliveries
	left    int        // deliveries that have not ended
	silence *time.Timer
	last    digest.Digest // what the source's tag was resolved to; empty if the last plan failed
	took    time.Duration // from the first delivery's start to the last one's end
}

func newImage(e *Engine, job Job) *image {
	im := &image{engine: e, job: job}
	im.job.Destinations = slices.Clone(job.Destinations)
	for i := range im.job.Destinations {
		ref := &im.job.Destinations[i]
		if ref.Identifier() == "" {
			ref.Tag = job.Source.Tag
		}
		im.deliveries = append(im.deliveries, &delivery{
			engine: e, image: im, ref: *ref,
			ticket: lanes.Ticket[*delivery]{From: siteOf(job.Source), To: siteOf(*ref), Entry: job.Entry},
		})
	}
	if len(im.deliveries) == 0 {
		im.deliveries = []*delivery{{engine: e, image: im, ticket: lanes.Ticket[*delivery]{From: siteOf(job.Source), Entry: job.Entry}}}
	}
	for _, d := range im.deliveries {
		d.ticket.Work = d
	}
	im.left = len(im.deliveries)
	return im
}

// siteOf is the registry of a reference, or the local path.
func siteOf(ref reference.Reference) string {
	if ref.IsRegistry() {
		return ref.Registry
	}
	return ref.WithoutIdentifier().String()
}

// begin starts the clock of the job with its first delivery.
func (im *image) begin(ctx context.Context) context.Context {
	im.beginning.Do(func() {
		started := time.Now()
		ctx, stop := im.engine.untilTimeout(ctx, im.job)
		im.mu.Lock()
		defer im.mu.Unlock()
		im.started, im.ctx, im.stop = started, ctx, stop
	})
	return im.ctx
}

func (im *image) begun() bool {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.ctx != nil
}

// open opens the source and the destinations, each distinct one once.
func (im *image) open(ctx context.Context) {
	im.opening.Do(func() {
		source, err := im.engine.opener.OpenSource(ctx, im.job.Source)
		if err != nil {
			im.sourceErr = im.atSource(err)
			return
		}
		im.source = plan.NewSource(im.engine.plans, source, im.job.Source, im.job.Resolved)
		type named struct {
			at   content.Location
			name string
		}
		opened := map[named]reference.Reference{}
		for i, ref := range im.job.Destinations {
			d := DestinationPlan{Reference: ref}
			if d.target, d.Err = im.engine.opener.OpenTarget(ctx, ref); d.Err != nil {
				d.Action, d.Err = ActionNone, onSide(SideDestination, ref, d.Err)
			} else {
				key := named{d.target.Location(), cmp.Or(ref.Tag, ref.Digest.String())}
				if first, twice := opened[key]; twice {
					im.warnings = append(im.warnings, warning.Warning{Kind: warning.SameDestination, Reference: ref.Familiar(), First: first.Familiar()})
					im.deliveries[i].duplicate = true
					continue
				}
				opened[key] = ref
			}
			im.deliveries[i].at = &d
			im.destinations = append(im.destinations, d)
		}
	})
}

// announce announces blobs for all destinations that are not known to be up to date, before the first byte is sent. The
// announcement for a destination that does not answer ends after announceFor.
func (im *image) announce(by *delivery, all []content.Descriptor) {
	if len(im.deliveries) == 1 {
		return
	}
	opened := map[*delivery]*blobs.Delivery{}
	for _, d := range im.deliveries {
		if d != by && d.at != nil && d.at.Err == nil {
			opened[d] = d.open() // may call a memory, so without the lock
		}
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	for d, announced := range opened {
		if d.end != nil || d.answered && !d.pending {
			continue
		}
		if d.announced == nil {
			d.announced = announced
		}
		d.announced.Announce(all...)
	}
	if im.silence == nil {
		im.silence = time.AfterFunc(announceFor, im.retract)
	}
}

// retract ends the announcements for destinations that have not answered.
func (im *image) retract() {
	im.mu.Lock()
	defer im.mu.Unlock()
	for _, d := range im.deliveries {
		if !d.answered {
			d.answered = true // as far as announcements go
			d.endAnnouncement()
		}
	}
}

// answer records that a destination was planned, and whether it needs the image.
func (im *image) answer(d *delivery, plan *Plan, pending bool) {
	im.mu.Lock()
	defer im.mu.Unlock()
	d.answered, d.pending, im.last = true, pending, ""
	if plan != nil {
		im.last = plan.Source.Digest
	}
	if !pending {
		d.endAnnouncement()
	}
}

// pause withdraws the announcement for a delivery until its second attempt. If the source could not be
// resolved, the second attempt resolves it again.
func (im *image) pause(d *delivery) {
	im.mu.Lock()
	defer im.mu.Unlock()
	d.pending = false
	d.endAnnouncement()
	if im.source != nil {
		im.source.Forget()
	}
}

// ended records the result of a delivery. For the last one it returns the result of the job.
func (im *image) ended(d *delivery, result DestinationResult) *Result {
	im.mu.Lock()
	defer im.mu.Unlock()
	d.endAnnouncement()
	d.end = &result
	if im.left--; im.left > 0 {
		return nil
	}
	if im.silence != nil {
		im.silence.Stop()
	}
	r := &Result{Job: im.job, Warnings: slices.Clone(im.warnings)}
	for _, d := range im.deliveries {
		if d.plan != nil {
			r.Digest = cmp.Or(r.Digest, d.plan.Image.Digest)
			r.Warnings = warning.Add(r.Warnings, d.plan.Warnings...)
		} else if d.trusted != nil {
			r.Digest = cmp.Or(r.Digest, d.trusted.Digest)
		}
		if !d.duplicate && d.ref != (reference.Reference{}) {
			r.Destinations = append(r.Destinations, *d.end)
		}
	}
	return r
}

// worked records that a delivery has ended, for now or for good.
func (im *image) worked() {
	took := time.Since(im.started)
	im.mu.Lock()
	defer im.mu.Unlock()
	im.took = took
}

// recheckTag warns if the source's tag moved while it was copied. It checks only after a copy that took
// long, or that did not find something at the source. The copy has the planned digest.
func (im *image) recheckTag(result *Result) {
	tag, e := im.job.Source.Tag, im.engine
	im.mu.Lock()
	last, took := im.last, im.took
	im.mu.Unlock()
	if tag == "" || im.job.Source.Digest != "" || last == "" || took < e.moveCheck && !result.missed() {
		return
	}
	now, err := im.source.Source.Resolve(im.ctx, tag)
	switch {
	case errors.Is(err, content.ErrNotFound):
		result.Warnings = append(result.Warnings, warning.Warning{Kind: warning.TagDeleted, Digest: last})
	case err == nil && now.Digest != last:
		result.Warnings = append(result.Warnings, warning.Warning{Kind: warning.TagMoved, Digest: last, Now: now.Digest})
	}
}

func (r *Result) missed() bool {
	return slices.ContainsFunc(r.Destinations, func(d DestinationResult) bool {
		side, ours := errors.AsType[*Error](d.Err)
		return ours && side.Side == SideSource && errors.Is(d.Err, content.ErrNotFound)
	})
}
