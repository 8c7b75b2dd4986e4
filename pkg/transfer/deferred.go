package transfer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/limit"
)

// ErrDeferred marks work that is left to the next run: because the run ended first (interrupted,
// ending or timed out), or because a registry accepts no more requests until later. It is not a
// failure.
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

// TimeoutError ends the jobs of an entry whose [Job].Timeout is over. It is an
// [ErrDeferred].
type TimeoutError struct {
	Entry   string
	Timeout time.Duration
}

func (e *TimeoutError) Error() string {
	// 30m, where Duration says 30m0s.
	timeout := e.Timeout.String()
	if short, whole := strings.CutSuffix(timeout, "m0s"); whole {
		timeout = short + "m"
	}
	if short, whole := strings.CutSuffix(timeout, "h0m"); whole {
		timeout = short + "h"
	}
	if e.Entry == "" {
		return "the copy has had its timeout of " + timeout
	}
	return "the entry " + e.Entry + " has had its timeout of " + timeout
}

// Is makes it an ErrDeferred.
func (e *TimeoutError) Is(target error) bool { return target == ErrDeferred }

// deadlines records when the first job of each entry began. The zero value is ready.
type deadlines struct {
	mu     sync.Mutex
	starts map[string]time.Time // by entry
}

// of returns a context that ends with ctx, or when the time of the job's entry is up. The caller must
// call stop. All times are monotonic: setting the wall clock has no effect.
func (d *deadlines) of(ctx context.Context, job Job) (of context.Context, stop func()) {
	if job.Timeout <= 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	end := func() { cancel(&TimeoutError{job.Entry, job.Timeout}) }
	left := job.Timeout - time.Since(d.start(job.Entry))
	if left <= 0 {
		end()
	}
	timer := time.AfterFunc(left, end)
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// start returns when the first job of an entry began.
func (d *deadlines) start(entry string) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	start, begun := d.starts[entry]
	if !begun {
		if d.starts == nil {
			d.starts = map[string]time.Time{}
		}
		start = time.Now()
		d.starts[entry] = start
	}
	return start
}
