package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/regsync/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/mirror"
)

// failed is what --failed-only leaves to be done; nil is everything.
func (s *syncing) failed() (mirror.Retry, error) {
	if s.failedOnly == "" {
		return nil, nil
	}
	file, err := os.Open(s.failedOnly)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--failed-only: %w", err)}
	}
	defer file.Close()
	undone, err := ui.ReadUndone(file)
	if err != nil {
		var errs []error
		for _, err := range flatten(err) {
			errs = append(errs, &usageError{fmt.Errorf("--failed-only %s: %w", s.failedOnly, err)})
		}
		return nil, errors.Join(errs...)
	}
	if undone.NotBegun != nil {
		s.app.warn("%s: %s; only a whole run does those", s.failedOnly, undone.NotBegun)
	}
	failed, what := s.wanted(undone.Failed)
	if len(failed) == 0 && !s.app.flags.quiet && !s.app.flags.json() {
		err = s.app.printLine("%s failed in %s", what, s.failedOnly)
	}
	return failed, err
}

// wanted are those of the entries that --only names, and what to say where there are none.
func (s *syncing) wanted(failed mirror.Retry) (wanted mirror.Retry, none string) {
	if len(s.only) == 0 {
		return failed, "nothing"
	}
	return slices.DeleteFunc(failed, func(f mirror.Failed) bool {
		return !slices.ContainsFunc(s.only, func(name string) bool { return ui.Clean(name) == f.Entry })
	}), "nothing of " + strings.Join(s.only, ", ")
}
