package main

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"
)

// ending is how signals end the process. SIGINT cancels the run, which still reports. So
// does SIGTERM, unless the run can be drained: then nothing new begins, and the run is
// cancelled by a second signal, or when its patience is at an end. One signal more ends the
// process.
type ending struct {
	cancel context.CancelCauseFunc
	// draining is closed to keep anything new from beginning.
	draining chan struct{}

	mu       sync.Mutex
	patience time.Duration // zero: the run is not to be drained
	signal   error         // the last one; nil if there was none
}

func newEnding(cancel context.CancelCauseFunc) *ending {
	return &ending{cancel: cancel, draining: make(chan struct{})}
}

// obey does what the signals say. It returns with the end of the process.
func (e *ending) obey(signals <-chan os.Signal) {
	first := nextSignal(signals)
	if patience := e.note(first); first.signal == syscall.SIGTERM && patience > 0 {
		close(e.draining)
		select {
		case <-time.After(patience):
		case next := <-signals:
			first = signalErrorOf(next)
			e.note(first)
		}
	}
	e.cancel(first)
	os.Exit(nextSignal(signals).exitCode())
}

// drainable gives what is closed at a SIGTERM from now on. The run has so much time then;
// with none it is cancelled as by SIGINT.
func (e *ending) drainable(patience time.Duration) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.patience = patience
	return e.draining
}

// note remembers the signal, and tells how long the run may be drained.
func (e *ending) note(signal signalError) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.signal = signal
	return e.patience
}

// err is the signal that has ended the run, or ends it now; nil if there is none.
func (e *ending) err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.signal
}

func nextSignal(signals <-chan os.Signal) signalError { return signalErrorOf(<-signals) }

func signalErrorOf(signal os.Signal) signalError {
	number, _ := signal.(syscall.Signal) // on every system that Go knows
	return signalError{number}
}
