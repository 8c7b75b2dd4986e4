package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/regsync/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

// reportError tells why the command failed: in words, or under --progress json as events.
// That a difference was found is no failure.
func (a *app) reportError(err error) {
	if found(err) {
		return
	}
	if !a.events() {
		reportError(a.stderr, err)
		return
	}
	for _, err := range flatten(err) {
		a.aside().Error(err)
	}
}

// reportError prints every independent error, and right below it what may help. A hint is
// given with the first error that it is for.
func reportError(w io.Writer, err error) {
	hinted := map[string]bool{}
	for _, err := range flatten(err) {
		fmt.Fprintf(w, "regsync: error: %s\n", printable(err.Error(), err))
		if hint := ui.Clean(hintFor(err)); hint != "" && !hinted[hint] {
			hinted[hint] = true
			fmt.Fprintf(w, "regsync: hint: %s\n", hint)
		}
	}
}

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

// flatten takes joined errors and the failures of a run apart; equal ones are told once.
func flatten(err error) []error {
	var flat []error
	told := map[string]bool{}
	var visit func(error)
	visit = func(err error) {
		if err == nil {
			return
		}
		if joined := joinedIn(err); joined != nil {
			for _, err := range joined {
				visit(err)
			}
			return
		}
		if text := err.Error(); !told[text] {
			told[text] = true
			flat = append(flat, err)
		}
	}
	visit(err)
	return flat
}

// joinedIn are the errors that err is nothing but a list of; nil if it is more, as an
// fmt.Errorf with two %w is, whose own words must not be lost.
func joinedIn(err error) []error {
	list, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var lines []string
	for _, err := range list.Unwrap() {
		lines = append(lines, err.Error())
	}
	if err.Error() != strings.Join(lines, "\n") {
		return nil
	}
	return list.Unwrap()
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

// entryError is a failure with the entry of the configuration and the places that it is of.
type entryError struct {
	entry, copy string
	err         error
}

func (e *entryError) Error() string { return e.entry + ": " + e.copy + ": " + e.err.Error() }
func (e *entryError) Unwrap() error { return e.err }

func (e *entryError) entryName() string { return e.entry }

// ofEntry says which copy of which entry err is of; it is err where there is no entry.
func ofEntry(entry string, source, destination reference.Reference, err error) error {
	if err == nil || entry == "" {
		return err
	}
	return &entryError{entry, ui.Between(source, destination), err}
}

// interrupted is err with all that merely follows from the signal left out.
func interrupted(err error, signal signalError) error {
	kept := []error{signal}
	for _, err := range flatten(err) {
		_, isSignal := errors.AsType[signalError](err)
		if !isSignal && !errors.Is(err, context.Canceled) {
			kept = append(kept, err)
		}
	}
	return errors.Join(kept...)
}
