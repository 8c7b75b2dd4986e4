package main

import (
	"cmp"
	"errors"
	"slices"
	"syscall"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer"
)

// The exit codes. A script may depend on them; 128 and the signal's number is added to
// them for SIGINT and SIGTERM.
const (
	exitDone   = 0 // done, or nothing to do
	exitFailed = 1 // nothing could be done
	exitUsage  = 2 // the command line or the configuration is wrong
	exitPartly = 3 // some failed or were deferred, the others were copied or were right already
	exitFound  = 4 // diff found something to do, and nothing failed
	exitDenied = 5 // nothing could be done, and every failure was a 401 or 403
)

// exitCodesHelp is what every command's help says of them.
const exitCodesHelp = `Exit codes:
  0  done, or nothing to do
  1  nothing could be done
  2  the command line or the configuration is wrong
  3  some failed or were deferred, the others were copied or were right already
  4  diff found something to do, and nothing failed
  5  nothing could be done, and every failure was a 401 or 403: not logged in, or not allowed
  129, 130, 143  ended by SIGHUP, SIGINT or SIGTERM, after the report`

// exitCode is what the process says of err.
func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	if signal, ok := errors.AsType[signalError](err); ok {
		return signal.exitCode()
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if failed, ok := errors.AsType[*failures](err); ok {
		return failed.exitCode()
	}
	if _, unwritten := errors.AsType[*unwrittenReport](err); unwritten || tagged(err) {
		return exitPartly
	}
	if denied(err) {
		return exitDenied
	}
	if found(err) {
		return exitFound
	}
	return exitFailed
}

// errDifferent is what diff returns where there is something to do. It is told by the exit
// code alone, and failures win over it.
var errDifferent = errors.New("there is something to do")

// found reports whether nothing is wrong but that a difference was found.
func found(err error) bool {
	for _, err := range flatten(err) {
		if !errors.Is(err, errDifferent) {
			return false
		}
	}
	return true
}

func (f *failures) exitCode() int {
	if f.fine > 0 || slices.ContainsFunc(f.errs, tagged) {
		return exitPartly
	}
	for _, err := range f.errs {
		if !denied(err) {
			return exitFailed
		}
	}
	return exitDenied
}

// tagged reports whether an image was copied without its signatures or other referrers.
func tagged(err error) bool {
	failed, ok := errors.AsType[*transfer.ReferrersError](err)
	return ok && failed.Tagged
}

func denied(err error) bool {
	return errors.Is(err, content.ErrUnauthorized) || errors.Is(err, content.ErrDenied)
}

// signalError is the signal that ended the run.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string {
	if e.signal == syscall.SIGINT {
		return "interrupted"
	}
	return "ended by " + e.name()
}

func (e signalError) name() string {
	names := map[syscall.Signal]string{syscall.SIGHUP: "SIGHUP", syscall.SIGINT: "SIGINT", syscall.SIGTERM: "SIGTERM"}
	return cmp.Or(names[e.signal], e.signal.String())
}

func (e signalError) exitCode() int { return 128 + int(e.signal) }
