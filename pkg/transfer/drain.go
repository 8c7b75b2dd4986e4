package transfer

import (
	"context"
	"sync"
)

// errEnding ends what has not begun when Options.Draining is closed.
var errEnding error = &DeferredError{Reason: "the run is ending"}

// drainLater calls drain when Options.Draining is closed.
func (r *execution) drainLater(ctx context.Context) (stop func()) {
	if r.engine.options.Draining == nil {
		return func() {}
	}
	ended := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-r.engine.options.Draining:
			r.drain()
		case <-ctx.Done():
		case <-ended:
		}
	})
	return func() {
		close(ended)
		watching.Wait()
	}
}

// drain ends the planning of deliveries and the blobs that have sent no byte. Blobs in flight go
// on, and an image whose blobs have all arrived gets its manifests and its tag.
func (r *execution) drain() {
	r.endPlanning(errEnding)
	r.lanes.Stop()
	r.engine.blobs.Drain()
}

// drop ends the deliveries that were not opened. Those of a job that has begun get a result. It
// reports whether there are jobs that have not begun.
func (r *execution) drop() (dropped bool) {
	err := context.Cause(r.ctx)
	if err == nil {
		err = errEnding
	}
	for _, ticket := range r.lanes.Empty() {
		d := ticket.Work
		switch {
		case d.failed != nil:
			r.finishFailed(d)
		case d.image.begun():
			r.finish(d, notDone(d.ref, deferral(r.ctx, err)))
		default:
			dropped = true
		}
	}
	return dropped
}

// draining reports whether the run is ending.
func (e *Engine) draining() bool {
	select {
	case <-e.options.Draining:
		return true
	default:
		return false
	}
}

// untilDrained returns a context that ends with ctx or when the run is draining. The caller must
// call stop.
func (e *Engine) untilDrained(ctx context.Context) (until context.Context, stop func()) {
	until, cancel := context.WithCancelCause(ctx)
	stopWatching := context.AfterFunc(e.drained, func() { cancel(errEnding) })
	return until, func() {
		stopWatching()
		cancel(nil)
	}
}
