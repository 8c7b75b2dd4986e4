package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

// printable returns a message that was formatted from args, safe to print. It is one line, so that a line break in
// the text of a registry or an image cannot forge a line of regsync. Only the mistakes of a configuration keep their
// lines.
func printable(message string, args ...any) string {
	mistakes := slices.ContainsFunc(args, func(arg any) bool {
		err, _ := arg.(error)
		_, is := errors.AsType[*config.Errors](err)
		return is
	})
	if !mistakes {
		return ui.Message(message)
	}
	lines := strings.Split(message, "\n")
	for i, line := range lines {
		lines[i] = ui.Clean(line)
	}
	return strings.Join(lines, "\n")
}

// reportPanic tells of a defect of regsync.
func reportPanic(w io.Writer, reason any) {
	fmt.Fprintf(w, "regsync: internal error: %s\n\n%s\n", ui.Clean(fmt.Sprint(reason)), debug.Stack())
	fmt.Fprintf(w, "This is a defect of %v.\n", buildVersion())
	fmt.Fprintln(w, "Please report it with the text above at https://github.com/regsync/regsync/issues")
}

// usageError is a command line or a configuration that cannot be meant.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// imageError is an error about one image, where no copy takes part.
type imageError struct {
	ref reference.Reference
	err error
}

func (e *imageError) Error() string { return e.ref.Familiar() + ": " + e.err.Error() }
func (e *imageError) Unwrap() error { return e.err }

// about says which image an error is about.
func about(ref reference.Reference, err error) error { return &imageError{ref, err} }

// interrupted is err with all that merely follows from the signal left out.
func interrupted(err error, signal signalError) error {
	kept := []error{signal}
	for _, err := range flatten(err) {
		_, isSignal := errors.AsType[signalError](err)
		run, ok := errors.AsType[*runError](err)
		follows := ok && run.report.Command != "sync" && run.report.Counts.Failed == 0
		if !isSignal && !follows && !errors.Is(err, context.Canceled) {
			kept = append(kept, err)
		}
	}
	return errors.Join(kept...)
}

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
	if failed, ok := errors.AsType[counted](err); ok {
		return exitCodeOf(failed.counts())
	}
	if _, unwritten := errors.AsType[*unwrittenReport](err); unwritten {
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
