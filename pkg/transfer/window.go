package transfer

import "context"

// maxWaiting is how many jobs, besides those in the window, may wait for destinations that
// do not answer. Each costs a few kilobytes.
const maxWaiting = 4096

// window bounds the jobs that are planned or under way, so that memory stays flat. A job
// that merely waits for a destination to answer gives its slot back: one that hangs keeps
// no other image from its turn.
type window struct {
	slots chan struct{} // those planned or under way
	open  chan struct{} // these, and those that wait
}

func newWindow(size int) *window {
	return &window{slots: make(chan struct{}, size), open: make(chan struct{}, size+maxWaiting)}
}

// enter waits for a place for a new job, with its slot. It reports whether there is one:
// not where ctx ends or the engine is draining.
func (w *window) enter(ctx context.Context, draining <-chan struct{}) bool {
	for _, place := range []chan struct{}{w.open, w.slots} {
		select {
		case place <- struct{}{}:
		case <-ctx.Done():
			return false
		case <-draining:
			return false
		}
	}
	return true
}

// exit ends a job, which has no slot any more.
func (w *window) exit() { <-w.open }

// acquire waits for a slot.
func (w *window) acquire(ctx context.Context) error {
	select {
	case w.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *window) release() { <-w.slots }
