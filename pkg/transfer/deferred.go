package transfer

import (
	"context"
	"errors"

	"github.com/regsync/regsync/pkg/limit"
)

// ErrDeferred is in the error of what a run did not do because it ended first (it was
// interrupted, is ending, or had its time), or because a registry allows no more until later.
// Nothing is wrong with it, and the next run does it.
var ErrDeferred = errors.New("deferred")

// DeferredError says why something was left to the next run; it is an [ErrDeferred]. As the
// cause of a context it ends a run's jobs with that reason.
type DeferredError struct {
	// Reason is a sentence for people: "the run is ending".
	Reason string
	// Err is what it came of; nil if nothing.
	Err error
}

func (e *DeferredError) Error() string { return e.Reason }

// Unwrap gives what it came of.
func (e *DeferredError) Unwrap() error { return e.Err }

// Is makes it an ErrDeferred.
func (e *DeferredError) Is(target error) bool { return target == ErrDeferred }

// deferral is err or, where that came of the end of ctx, the reason of that end as an
// [ErrDeferred]. A pause is one in any case.
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

// Paused is err or, where err wraps a [limit.PauseError], that as a [*DeferredError]. The
// reason names only the registry and the time, and so is the same for all images that it
// holds up.
func Paused(err error) error {
	if pause, ok := errors.AsType[*limit.PauseError](err); ok && !errors.Is(err, ErrDeferred) {
		return &DeferredError{Reason: pause.Error(), Err: err}
	}
	return err
}

// deferredFor is why something is left to the next run, or empty.
func deferredFor(err error) string {
	if errors.Is(err, ErrDeferred) {
		return err.Error()
	}
	return ""
}
