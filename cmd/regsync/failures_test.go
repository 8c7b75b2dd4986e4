package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// resultOf is the result of an image of an entry at one destination.
func resultOf(entry, tag string, d transfer.DestinationResult) *transfer.Result {
	source := reference.Reference{Registry: "a.corp", Repository: "app", Tag: tag}
	d.Reference = reference.Reference{Registry: "b.corp", Repository: "app", Tag: tag}
	return &transfer.Result{Job: transfer.Job{Entry: entry, Source: source}, Destinations: []transfer.DestinationResult{d}}
}

// What is left to the next run may be thousands of tags for one reason: -q tells of each
// reason once, and of each failure by itself.
func TestFailuresOfImages(t *testing.T) {
	f := &failures{}
	timeout := &transfer.TimeoutError{Entry: "web", Timeout: 30 * time.Minute}
	for i := range 1000 {
		f.addImage(resultOf("web", fmt.Sprint(i), transfer.DestinationResult{Err: timeout}))
	}
	f.addImage(resultOf("db", "1", transfer.DestinationResult{Err: &transfer.DeferredError{Reason: "the run is ending"}}))
	f.addImage(resultOf("db", "2", transfer.DestinationResult{Err: content.ErrDenied}))
	f.addImage(resultOf("db", "3", transfer.DestinationResult{Action: transfer.ActionSkip}))
	f.addRest(ui.ReportRest{Tags: 7, Entries: 1})
	const want = `web: 1000 tags are left to the next run: the entry web has had its timeout of 30m
db: 1 tag is left to the next run: the run is ending
db: a.corp/app:2 -> b.corp/app:2: denied
stopped early: 7 tags of 1 entry were not begun`
	if got := f.err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := (&toldError{f}).Error(), "1 of 1010 failed, 1008 left to the next run; the causes are above"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := exitCode(&toldError{f}); got != exitPartly {
		t.Errorf("exit code %d", got)
	}
}

// A registry that allows no more holds up the images of all entries that need it: that is one
// line, after those of single entries. Another registry has another one.
func TestImagesOfAPausedRegistryAreOneLine(t *testing.T) {
	f := &failures{}
	until := time.Now().Add(48 * time.Hour)
	for i, entry := range []string{"web", "db", "web", "cache"} {
		registry := "docker.io"
		if entry == "cache" {
			registry = "quay.io"
		}
		for range 10 {
			err := transfer.Paused(fmt.Errorf("image %d: %w", i, &limit.PauseError{Registry: registry, Class: limit.Pull, Quota: registry == "docker.io", Until: until}))
			f.addImage(resultOf(entry, fmt.Sprint(i), transfer.DestinationResult{Err: err}))
		}
	}
	f.addImage(resultOf("late", "1", transfer.DestinationResult{Err: content.ErrDenied}))
	f.order([]string{"web", "db", "late", "cache"})
	at := until.Local().Format("2006-01-02 15:04")
	want := `late: a.corp/app:1 -> b.corp/app:1: denied
cache: 10 tags are left to the next run: quay.io allows no more requests until ` + at + `
30 tags of 2 entries are left to the next run: docker.io allows no more pulls until ` + at
	if got := f.err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if f.deferred != 40 || f.failed != 1 {
		t.Errorf("%d deferred and %d failed, want 40 and 1", f.deferred, f.failed)
	}
	copied := &failures{} // without entries, as by copy --all-tags
	for i := range 30 {
		err := transfer.Paused(&limit.PauseError{Registry: "docker.io", Class: limit.Pull, Quota: true, Until: until})
		copied.addResult(resultOf("", fmt.Sprint(i), transfer.DestinationResult{Err: err}))
	}
	var out strings.Builder
	reportError(&out, copied)
	told, hint, _ := strings.Cut(out.String(), "\n")
	if want := "regsync: error: docker.io allows no more pulls until " + at; told != want || !strings.HasPrefix(hint, "regsync: hint: ") {
		t.Errorf("got %q, want %q and one hint", out.String(), want)
	}
}

func TestToldErrorOfDeferredTags(t *testing.T) {
	f := &failures{fine: 2}
	f.addImage(resultOf("db", "1", transfer.DestinationResult{Err: &transfer.DeferredError{Reason: "interrupted"}}))
	if got, want := (&toldError{f}).Error(), "1 of 3 left to the next run; the reasons are above"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(f.errs[0], transfer.ErrDeferred) {
		t.Error("it does not say that it is deferred")
	}
}

// Entries run side by side; a mail from cron tells of them in the file's order all the same.
// A run that a signal ended while a repository was listed knows of no tag that it has left:
// it once said "0 of 8 left to the next run".
func TestToldErrorOfWhatWasNotListed(t *testing.T) {
	f := &failures{fine: 8}
	f.addRest(ui.ReportRest{Entries: 1, Unlisted: true})
	if got, want := (&toldError{f}).Error(), "stopped early: not all repositories of 1 entry were listed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := exitCode(&toldError{f}); got != exitPartly {
		t.Errorf("exit code %d, want %d", got, exitPartly)
	}
}

func TestFailuresInTheOrderOfTheFile(t *testing.T) {
	f := &failures{}
	f.addImage(resultOf("db", "2", transfer.DestinationResult{Err: content.ErrDenied}))
	f.addImage(resultOf("db", "1", transfer.DestinationResult{Err: content.ErrDenied}))
	f.addImage(resultOf("web", "1", transfer.DestinationResult{Err: &transfer.DeferredError{Reason: "interrupted"}}))
	f.order([]string{"web", "db"})
	const want = `web: 1 tag is left to the next run: interrupted
db: a.corp/app:1 -> b.corp/app:1: denied
db: a.corp/app:2 -> b.corp/app:2: denied`
	if got := f.err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNotBegun(t *testing.T) {
	if got := notBegun(&mirror.Outcome{Entries: []mirror.EntryOutcome{{Name: "web", Added: 1}}}); got != nil {
		t.Errorf("of a run that came to everything: %v", got)
	}
	got := notBegun(&mirror.Outcome{Entries: []mirror.EntryOutcome{
		{Name: "web", NotBegun: 3}, {Name: "fine"}, {Name: "db", NotBegun: 4, Unlisted: true},
	}})
	if want := (ui.ReportRest{Tags: 7, Entries: 2, Unlisted: true}); got == nil || *got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Errors are told without the temporary name, which helps nobody.
func TestErrorsOfReportsNameTheReport(t *testing.T) {
	_, err := checkReports([]string{"no/such/dir/out.json"})
	if err == nil || strings.Count(err.Error(), "out.json") != 1 || exitCode(err) != exitUsage {
		t.Errorf("got %v with exit code %d", err, exitCode(err))
	}
}
