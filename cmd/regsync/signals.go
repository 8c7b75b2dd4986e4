package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// ending is how signals end the process. SIGINT cancels the run, which still reports. So
// do SIGTERM and SIGHUP, unless the run can be drained: then nothing new begins, and the run is
// cancelled by a second signal, or when its patience is at an end. One signal more ends the
// process. Where SIGHUP reloads the limits of the configuration, it does not end the process.
type ending struct {
	cancel context.CancelCauseFunc
	// draining is closed to keep anything new from beginning.
	draining chan struct{}

	mu       sync.Mutex
	patience time.Duration // zero: the run is not to be drained
	told     func(signal error)
	signal   error          // the last one; nil if there was none
	hangUps  chan os.Signal // receives SIGHUP, which then does not end the process; nil if there is none
}

func newEnding(cancel context.CancelCauseFunc) *ending {
	return &ending{cancel: cancel, draining: make(chan struct{})}
}

// obey does what the signals say. It returns with the end of the process.
func (e *ending) obey(signals <-chan os.Signal) {
	ends := make(chan signalError)
	go func() {
		for signal := range signals {
			if signal != syscall.SIGHUP || !e.reload(signal) {
				ends <- e.note(signal)
			}
		}
	}()
	signal := <-ends
	if patience := e.drain(signal); patience > 0 {
		select {
		case <-time.After(patience):
		case signal = <-ends:
		}
	}
	e.cancel(signal)
	signal = <-ends
	fmt.Fprintf(os.Stderr, "regsync: ended at once by another %s, without a report\n", signal.name())
	os.Exit(signal.exitCode())
}

// reloadOnHangUp returns a channel that receives SIGHUP from now on.
func (e *ending) reloadOnHangUp() <-chan os.Signal {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.hangUps == nil {
		e.hangUps = make(chan os.Signal, 1)
	}
	return e.hangUps
}

// reload passes SIGHUP on, and reports whether it is awaited.
func (e *ending) reload(signal os.Signal) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case e.hangUps <- signal:
	default: // one that was not read yet stands for both
	}
	return e.hangUps != nil
}

// drain begins the end of a run that can be drained, and gives the time it has; else none.
func (e *ending) drain(signal signalError) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if signal.signal == syscall.SIGINT || e.patience <= 0 {
		return 0
	}
	close(e.draining)
	e.told(signal)
	return e.patience
}

// drainable gives what is closed at a SIGTERM from now on, which told is told of. The run
// has so much time then; with none it is cancelled as by SIGINT.
func (e *ending) drainable(patience time.Duration, told func(signal error)) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.patience, e.told = patience, told
	return e.draining
}

// note remembers a signal.
func (e *ending) note(signal os.Signal) signalError {
	number, _ := signal.(syscall.Signal) // on every system that Go knows
	e.mu.Lock()
	defer e.mu.Unlock()
	e.signal = signalError{number}
	return signalError{number}
}

// err is the signal that has ended the run, or ends it now; nil if there is none.
func (e *ending) err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.signal
}
