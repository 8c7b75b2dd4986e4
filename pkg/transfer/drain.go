package transfer

import "context"

// errEnding ends what has not begun when Options.Draining is closed.
var errEnding error = &DeferredError{Reason: "the run is ending"}

// draining reports whether the run is to end.
func (e *Engine) draining() bool {
	select {
	case <-e.options.Draining:
		return true
	default:
		return false
	}
}

// drainedOr is what ends the taking of jobs.
func (e *Engine) drainedOr(ctx context.Context) []<-chan struct{} {
	return []<-chan struct{}{e.options.Draining, ctx.Done()}
}

// untilDrained is ctx for work that is given up when the run is to end. The caller calls stop.
func (e *Engine) untilDrained(ctx context.Context) (until context.Context, stop func()) {
	until, cancel := context.WithCancelCause(ctx)
	stopWatching := context.AfterFunc(e.drained, func() { cancel(errEnding) })
	return until, func() {
		stopWatching()
		cancel(nil)
	}
}

// drain ends the planning of deliveries and the blobs that have moved no byte. Those under
// way go on, and an image whose blobs are there gets its manifests and its tag.
func (r *execution) drain() {
	r.endPlanning(errEnding)
	r.lanes.stop()
	r.engine.blobs.Drain()
}
