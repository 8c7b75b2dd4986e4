package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// resultOf is the result of an image of an entry at one destination.
func resultOf(entry, tag string, d transfer.DestinationResult) *transfer.Result {
	source := reference.Reference{Registry: "a.corp", Repository: "app", Tag: tag}
	d.Reference = reference.Reference{Registry: "b.corp", Repository: "app", Tag: tag}
	return &transfer.Result{Job: transfer.Job{Entry: entry, Source: source}, Destinations: []transfer.DestinationResult{d}}
}

// errorOf is the error of a sync with some results.
func errorOf(a *app, told bool, results ...*transfer.Result) error {
	r := (&app{}).newReport("sync", []string{"web", "db", "late", "cache"}, true)
	for _, result := range results {
		r.Add(result)
	}
	r.Finish(time.Now(), nil, nil)
	return a.failed(r, told, listedInReport)
}

// A registry that allows no more holds up the images of all entries that need it: that is one cause, and so one line,
// whatever number of tags it concerns. Another registry has another one.
func TestFailuresAreToldByCause(t *testing.T) {
	until := time.Now().Add(48 * time.Hour)
	var results []*transfer.Result
	for i, entry := range []string{"web", "db", "web", "cache"} {
		registry := "docker.io"
		if entry == "cache" {
			registry = "quay.io"
		}
		for range 10 {
			err := transfer.Paused(fmt.Errorf("image %d: %w", i, &limit.PauseError{Registry: registry, Class: limit.Pull, Quota: registry == "docker.io", Until: until}))
			results = append(results, resultOf(entry, fmt.Sprint(i), transfer.DestinationResult{Err: err}))
		}
	}
	results = append(results, resultOf("late", "1", transfer.DestinationResult{Err: content.ErrDenied}))
	a := &app{}
	err := errorOf(a, false, results...)
	failures := a.failuresOf(err)
	if len(failures) != 4 { // two pauses, one failure and the sums
		t.Errorf("got %d lines:\n%v", len(failures), err)
	}
	if got := exitCode(err); got != exitFailed {
		t.Errorf("exit code %d, want %d", got, exitFailed)
	}
	if got := a.failuresOf(errorOf(a, true, results...)); len(got) != 1 {
		t.Errorf("got %d lines below a report that has the causes, want 1", len(got))
	}
}

// With -q, cron mails what is on stderr: 200 tags that one cause keeps from being copied are at most 6 lines.
func TestManyTagsOfOneCauseAreFewLines(t *testing.T) {
	var results []*transfer.Result
	for i := range 200 {
		results = append(results, resultOf("web", fmt.Sprint("v", i), transfer.DestinationResult{Err: &transfer.Error{
			Side: transfer.SideDestination, Reference: reference.Reference{Registry: "b.corp", Repository: "app", Tag: fmt.Sprint("v", i)},
			Err: content.ErrDenied,
		}}))
	}
	var stderr strings.Builder
	a := newApp(Environment{Stderr: &stderr})
	a.flags.quiet = true
	err := errorOf(a, true, results...)
	a.printError(err)
	if lines := strings.Count(stderr.String(), "\n"); lines > 6 || !strings.Contains(stderr.String(), "197") {
		t.Errorf("got %d lines:\n%s", lines, stderr.String())
	}
	if got := exitCode(err); got != exitDenied {
		t.Errorf("exit code %d, want %d", got, exitDenied)
	}
}

func TestExitCodeOfCounts(t *testing.T) {
	incomplete := &transfer.ReferrersError{Tagged: true, Count: 1, Err: content.ErrDenied}
	for _, test := range []struct {
		name string
		of   []transfer.DestinationResult
		rest bool
		want int
	}{
		{name: "all were refused", of: []transfer.DestinationResult{{Err: content.ErrDenied}, {Err: content.ErrUnauthorized}}, want: exitDenied},
		{name: "all failed", of: []transfer.DestinationResult{{Err: content.ErrDenied}, {Err: content.ErrInvalid}}, want: exitFailed},
		{name: "some failed", of: []transfer.DestinationResult{{Err: content.ErrDenied}, {Action: transfer.ActionSkip}}, want: exitPartly},
		{name: "an image without its signature", of: []transfer.DestinationResult{{Err: incomplete}}, want: exitPartly},
		{name: "all are deferred", of: []transfer.DestinationResult{{Err: context.Canceled}}, want: exitFailed},
		{name: "refused, and others were not started", of: []transfer.DestinationResult{{Err: content.ErrDenied}}, rest: true, want: exitFailed},
	} {
		r := (&app{}).newReport("sync", nil, true)
		for i, d := range test.of {
			r.Add(resultOf("web", fmt.Sprint(i), d))
		}
		if test.rest {
			r.NotStarted = &report.NotStarted{Tags: 3, Entries: 1}
		}
		if got := exitCode((&app{}).failed(r, true, "")); got != test.want {
			t.Errorf("%s: exit code %d, want %d", test.name, got, test.want)
		}
	}
}

// A run that a signal ended while a repository was listed knows of no tag that it has left: it once said "0 of 8 left to
// the next run".
func TestErrorOfWhatWasNotListed(t *testing.T) {
	r := (&app{}).newReport("sync", nil, true)
	r.Add(resultOf("web", "1", transfer.DestinationResult{Action: transfer.ActionUnchanged}))
	r.NotStarted = &report.NotStarted{Entries: 1, Unlisted: true}
	err := (&app{}).failed(r, true, "")
	if got := (&app{}).failuresOf(err); len(got) != 1 || strings.Contains(err.Error(), "0 of") {
		t.Errorf("got %v", err)
	}
	if got := exitCode(err); got != exitPartly {
		t.Errorf("exit code %d, want %d", got, exitPartly)
	}
}

// Errors are told without the temporary name, which helps nobody.
func TestErrorsOfReportsNameTheReport(t *testing.T) {
	_, err := checkReports([]string{"no/such/dir/out.json"})
	if err == nil || strings.Count(err.Error(), "out.json") != 1 || exitCode(err) != exitUsage {
		t.Errorf("got %v with exit code %d", err, exitCode(err))
	}
}
