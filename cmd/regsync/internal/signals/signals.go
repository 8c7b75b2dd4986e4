// Package signals ends a process, or the run in it, at SIGINT, SIGTERM and SIGHUP. Start at [New] and [Ending.Obey].
package signals

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"
)

// Ending is how signals end the process. SIGINT cancels the run, which still writes its report. So do SIGTERM and SIGHUP,
// unless the run can be drained: then no new transfer starts, and the run is cancelled when the time for draining is over. A
// second signal of any kind ends the process at once, without a report. Where SIGHUP reloads the limits of the
// configuration, it does not end the process.
type Ending struct {
	cancel context.CancelCauseFunc
	// draining is closed to keep anything new from beginning.
	draining chan struct{}

	mu       sync.Mutex
	patience time.Duration      // how long draining may take; zero if the run cannot be drained
	onDrain  func(signal Error) // called in its own goroutine when draining begins
	signal   error              // the last one; nil if there was none
	hangUps  chan os.Signal     // receives SIGHUP, which then does not end the process; nil if there is none
}

// New returns an ending that cancels the run with cancel, whose cause is an [Error].
func New(cancel context.CancelCauseFunc) *Ending {
	return &Ending{cancel: cancel, draining: make(chan struct{})}
}

// Obey does what the signals say. It returns with the end of the process.
func (e *Ending) Obey(signals <-chan os.Signal) {
	ends := make(chan Error)
	go func() {
		for signal := range signals {
			if signal == syscall.SIGHUP && e.reload(signal) {
				continue
			}
			number, _ := signal.(syscall.Signal) // on every system that Go knows
			e.mu.Lock()
			e.signal = Error{number}
			e.mu.Unlock()
			ends <- Error{number}
		}
	}()
	first := <-ends
	timeout := make(<-chan time.Time)
	if patience := e.drain(first); patience > 0 {
		timeout = time.After(patience)
	} else {
		e.cancel(first)
	}
	for {
		select {
		case <-timeout:
			e.cancel(first)
		case second := <-ends:
			printed := make(chan struct{})
			go func() {
				defer close(printed)
				printSecondSignal(second)
			}()
			select {
			case <-printed:
			case <-time.After(lastWrite):
			}
			os.Exit(second.ExitCode())
		}
	}
}

// lastWrite is how long a process that ends at once waits for what reads its stderr.
const lastWrite = 100 * time.Millisecond

// printSecondSignal says why there is no report.
func printSecondSignal(second Error) {
	if term.IsTerminal(int(os.Stderr.Fd())) && os.Getenv("TERM") != "dumb" {
		fmt.Fprint(os.Stderr, "\r\x1b[J\x1b[?25h") // the progress stays on the screen, and has hidden the cursor
	}
	fmt.Fprintf(os.Stderr, "regsync: received a second signal (%s); exiting without a report\n", second.Name())
}

// ReloadOnHangUp returns a channel that receives SIGHUP from now on.
func (e *Ending) ReloadOnHangUp() <-chan os.Signal {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.hangUps == nil {
		e.hangUps = make(chan os.Signal, 1)
	}
	return e.hangUps
}

// reload passes SIGHUP to the channel of [Ending.ReloadOnHangUp], and reports whether there is one.
func (e *Ending) reload(signal os.Signal) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case e.hangUps <- signal:
	default: // one that was not read yet stands for both
	}
	return e.hangUps != nil
}

// drain begins to drain the run and returns how long that may take; zero if the run cannot be drained.
func (e *Ending) drain(signal Error) time.Duration {
	e.mu.Lock()
	patience, onDrain := e.patience, e.onDrain
	e.mu.Unlock()
	if signal.Signal == syscall.SIGINT || patience <= 0 {
		return 0
	}
	close(e.draining)
	go onDrain(signal) // it writes, which must not delay the next signal
	return patience
}

// Drainable lets SIGTERM and SIGHUP drain the run from now on: the returned channel is closed, onDrain is called in its own
// goroutine, and the run is cancelled after so much patience. Without patience, they cancel the run at once, as SIGINT does.
func (e *Ending) Drainable(patience time.Duration, onDrain func(signal Error)) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.patience, e.onDrain = patience, onDrain
	return e.draining
}

// Err returns the last signal that ends the run; nil if there is none.
func (e *Ending) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.signal
}

// Error is the signal that ended the run.
type Error struct{ Signal syscall.Signal }

func (e Error) Error() string {
	if e.Signal == syscall.SIGINT {
		return "interrupted"
	}
	return "received " + e.Name()
}

// Name returns its name: "SIGTERM".
func (e Error) Name() string {
	names := map[syscall.Signal]string{syscall.SIGHUP: "SIGHUP", syscall.SIGINT: "SIGINT", syscall.SIGTERM: "SIGTERM"}
	return cmp.Or(names[e.Signal], e.Signal.String())
}

// ExitCode returns the exit code of a process that it ends, as shells have it.
func (e Error) ExitCode() int { return 128 + int(e.Signal) }
