package transfer

import (
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

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

// untilDraining is ctx for work that is given up when the run is to end, unless begin was
// called before: then it goes on. begin may be called again; it reports whether the work
// may go on. The caller calls stop.
func (e *Engine) untilDraining(ctx context.Context) (until context.Context, begin func() bool, stop func()) {
	until, cancel := context.WithCancelCause(ctx)
	stop = func() { cancel(nil) }
	if e.options.Draining == nil {
		return until, func() bool { return true }, stop
	}
	const begun, ended = 1, 2
	var state atomic.Int32
	end := func() {
		if state.CompareAndSwap(0, ended) {
			cancel(errEnding)
		}
	}
	begin = func() bool {
		if e.draining() {
			end()
		}
		state.CompareAndSwap(0, begun)
		return state.Load() == begun
	}
	if e.draining() {
		end()
		return until, begin, stop
	}
	e.running.Go(func() {
		select {
		case <-e.options.Draining:
			end()
		case <-until.Done():
		}
	})
	return until, begin, stop
}

// siblings are the blobs and children of one manifest. The first that fails cancels the
// others; one that is merely left to the next run does not, because blobs that have begun
// are to arrive.
type siblings struct {
	group *errgroup.Group
	ended atomic.Bool
}

func newSiblings(ctx context.Context) (*siblings, context.Context) {
	group, ctx := errgroup.WithContext(ctx)
	return &siblings{group: group}, ctx
}

func (s *siblings) Go(work func() error) {
	s.group.Go(func() error {
		err := work()
		if errors.Is(err, errEnding) {
			s.ended.Store(true)
			return nil
		}
		return err
	})
}

// Wait waits for all and returns the first error.
func (s *siblings) Wait() error {
	err := s.group.Wait()
	if err == nil && s.ended.Load() {
		return errEnding
	}
	return err
}
