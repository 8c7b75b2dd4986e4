package transfer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
)

// ErrDeferred marks work that is left to the next run: because the run ended first (interrupted, ending or timed out), or
// because a registry accepts no more requests until later. It is not a failure.
var ErrDeferred = errors.New("deferred")

// DeferredError says why something was left to the next run; it is an [ErrDeferred]. As the
// cause of a context it ends a run's jobs with that reason.
type DeferredError struct {
	// Reason is shown to the user: "the run is ending".
	Reason string
	// Err is the cause; nil if there is none.
	Err error
}

func (e *DeferredError) Error() string { return e.Reason }

// Unwrap returns Err.
func (e *DeferredError) Unwrap() error { return e.Err }

// Is makes it an ErrDeferred.
func (e *DeferredError) Is(target error) bool { return target == ErrDeferred }

// deferral returns err or, if ctx caused it, the cause of ctx as an [ErrDeferred]. A
// [limit.PauseError] becomes one in any case.
func deferral(ctx context.Context, err error) error {
	if interrupted := notRetried(ctx, err); interrupted != nil {
		return interrupted
	}
	if err == nil || ctx.Err() == nil {
		return Paused(err)
	}
	cause := context.Cause(ctx)
	switch ended := errors.Is(err, cause) || errors.Is(err, ctx.Err()); {
	case ended && errors.Is(cause, ErrDeferred):
		return cause // without the request that it ended, which net/http puts around it
	case ended && !errors.Is(err, ErrDeferred):
		return &DeferredError{Reason: "interrupted", Err: err}
	default:
		return Paused(err)
	}
}

// Paused returns err or, if err wraps a [limit.PauseError], a [*DeferredError]. Its reason names
// only the registry and the time, and so is the same for all affected images.
func Paused(err error) error {
	if pause, ok := errors.AsType[*limit.PauseError](err); ok && !errors.Is(err, ErrDeferred) {
		return &DeferredError{Reason: pause.Error(), Err: err}
	}
	return err
}

// InterruptedError says why something had not succeeded yet when the run ended; it is an [ErrDeferred].
type InterruptedError struct {
	// Err is the cause: the failure of the last attempt, or that of a registry that it needs and that is down.
	Err *Error
	// Ended is what ended the run.
	Ended error
}

func (e *InterruptedError) Error() string { return e.Err.Error() }

// Unwrap returns Err and Ended.
func (e *InterruptedError) Unwrap() []error { return []error{e.Err, e.Ended} }

// withCause adds to the error of a delivery that the run did not wait for that a registry which it needs is down.
func (e *Engine) withCause(source reference.Reference, result DestinationResult) error {
	ended, ok := errors.AsType[*DeferredError](result.Err)
	if !ok || is[*limit.PauseError](ended) || is[*InterruptedError](result.Err) {
		return result.Err
	}
	for _, at := range []Error{{Side: SideSource, Reference: source}, {Side: SideDestination, Reference: result.Reference}} {
		if down := e.options.Limiter.Failure(at.Reference.Registry); down != nil {
			at.Err = down
			return &InterruptedError{Err: &at, Ended: ended}
		}
	}
	return result.Err
}

// notRetried returns the last failure if the end of the run, but not a timeout, has prevented another attempt;
// otherwise nil.
func notRetried(ctx context.Context, err error) error {
	at, known := errors.AsType[*Error](err)
	last, ended := errors.AsType[*retry.NotRetriedError](err)
	if !known || !ended || is[*limit.PauseError](err) || is[*TimeoutError](err) {
		return nil
	}
	failed := &Error{Side: at.Side, Reference: at.Reference, Err: last.Err}
	switch {
	case errors.Is(last.Ended, ErrDeferred):
		return &InterruptedError{Err: failed, Ended: last.Ended}
	case ctx.Err() != nil:
		return &InterruptedError{Err: failed, Ended: &DeferredError{Reason: "interrupted", Err: last.Ended}}
	default:
		return nil
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// TimeoutError ends the jobs of an entry whose [Job].Timeout is over. It is an [ErrDeferred].
type TimeoutError struct {
	Entry   string
	Timeout time.Duration
}

func (e *TimeoutError) Error() string {
	timeout := strings.NewReplacer("h0m0s", "h", "m0s", "m").Replace(e.Timeout.String()) // 30m, where Duration says 30m0s
	if e.Entry == "" {
		return "the copy timed out after " + timeout
	}
	return "entry " + e.Entry + " timed out after " + timeout
}

// Is makes it an ErrDeferred.
func (e *TimeoutError) Is(target error) bool { return target == ErrDeferred }

// untilTimeout returns a context that ends with ctx, or when the time of the job's entry is up. The caller must
// call stop. All times are monotonic: setting the wall clock has no effect.
func (e *Engine) untilTimeout(ctx context.Context, job Job) (until context.Context, stop func()) {
	if job.Timeout <= 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	end := func() { cancel(&TimeoutError{job.Entry, job.Timeout}) }
	left := job.Timeout - time.Since(e.entries.KeepFirst(job.Entry, time.Now()))
	if left <= 0 {
		end()
	}
	timer := time.AfterFunc(left, end)
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

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

// drain ends the planning of deliveries and the blobs that have sent no byte. Blobs in flight
// continue, and an image whose blobs are all complete gets its manifests and its tag.
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

func (e *Engine) draining() bool {
	select {
	case <-e.options.Draining:
		return true
	default:
		return false
	}
}

// untilDrained returns a context that ends with ctx or when the run is draining. The caller must call stop.
func (e *Engine) untilDrained(ctx context.Context) (until context.Context, stop func()) {
	until, cancel := context.WithCancelCause(ctx)
	stopWatching := context.AfterFunc(e.drained, func() { cancel(errEnding) })
	return until, func() {
		stopWatching()
		cancel(nil)
	}
}
