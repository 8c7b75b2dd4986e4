package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/regsync/regsync/cmd/regsync/internal/signals"
	"github.com/regsync/regsync/pkg/content"
)

func TestExitCode(t *testing.T) {
	var (
		failed   = errors.New("refused")
		noLogin  = fmt.Errorf("pull: %w", content.ErrUnauthorized)
		noRights = fmt.Errorf("push: %w", content.ErrDenied)
	)
	several := func(fine int, errs ...error) error {
		f := &failures{items: "images"}
		for range fine {
			f.add(nil)
		}
		for _, err := range errs {
			f.add(err)
		}
		return f.err()
	}
	for _, test := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing failed", nil, exitDone},
		{"no item failed", several(3), exitDone},
		{"one thing failed", failed, exitFailed},
		{"all failed", several(0, failed, noLogin), exitFailed},
		{"some failed", several(1, noLogin), exitPartly},
		{"all were refused", several(0, noLogin, noRights), exitDenied},
		{"refused", noRights, exitDenied},
		{"usage", fmt.Errorf("copy: %w", usagef("too few")), exitUsage},
		{"diff found something", errDifferent, exitFound},
		{"diff found something, and the store did not close", errors.Join(errDifferent, failed), exitFailed},
		{"SIGINT wins", errors.Join(several(1, failed), signals.Error{Signal: syscall.SIGINT}), 130},
		{"SIGTERM", signals.Error{Signal: syscall.SIGTERM}, 143},
	} {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

func TestInterruptedLeavesOutWhatFollows(t *testing.T) {
	lost := errors.New("disk full")
	err := interrupted(&failures{errs: []error{
		fmt.Errorf("read: %w", context.Canceled), lost, fmt.Errorf("wait: %w", signals.Error{Signal: syscall.SIGINT}),
	}}, signals.Error{Signal: syscall.SIGINT})
	if got, want := err.Error(), "interrupted\ndisk full"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := exitCode(err); got != 130 {
		t.Errorf("exit code %d, want 130", got)
	}
}
