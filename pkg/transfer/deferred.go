package transfer

import (
	"context"
	"errors"

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
