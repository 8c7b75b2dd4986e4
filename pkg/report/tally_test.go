package report_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

func TestStatusOf(t *testing.T) {
	failed := errors.New("reset")
	for _, test := range []struct {
		action        transfer.Action
		err           error
		want, planned report.Status
	}{
		{transfer.ActionAdd, nil, report.StatusCopied, report.StatusPending},
		{transfer.ActionMove, nil, report.StatusCopied, report.StatusPending},
		{transfer.ActionUnchanged, nil, report.StatusUnchanged, report.StatusUnchanged},
		{transfer.ActionKeep, nil, report.StatusKept, report.StatusKept},
		{transfer.ActionSkip, nil, report.StatusSkipped, report.StatusSkipped},
		{transfer.ActionNone, failed, report.StatusFailed, report.StatusFailed},
		{transfer.ActionAdd, failed, report.StatusFailed, report.StatusFailed},
		// What was interrupted did not fail.
		{transfer.ActionAdd, fmt.Errorf("read: %w", context.Canceled), report.StatusDeferred, report.StatusDeferred},
		{transfer.ActionNone, &transfer.DeferredError{Reason: "the run is ending", Err: failed}, report.StatusDeferred, report.StatusDeferred},
		// A timeout of one request is no end of the run.
		{transfer.ActionAdd, context.DeadlineExceeded, report.StatusFailed, report.StatusFailed},
	} {
		if got := report.StatusOf(transfer.DestinationResult{Action: test.action, Err: test.err}); got != test.want {
			t.Errorf("%s, %v: got %s, want %s", test.action, test.err, got, test.want)
		}
		if got := report.PlannedStatus(transfer.DestinationPlan{Action: test.action, Err: test.err}); got != test.planned {
			t.Errorf("%s, %v: planned: got %s, want %s", test.action, test.err, got, test.planned)
		}
	}
}

func TestCountsOfARun(t *testing.T) {
	failed := errors.New("reset")
	job := jobOf(t, "web", "nginx:1", "harbor.corp/nginx:1", "harbor.corp/nginx:2", "harbor.corp/nginx:3")
	unchanged := transfer.DestinationResult{Action: transfer.ActionUnchanged, Digest: manifest(2)}
	immutable, trusted := unchanged, unchanged
	immutable.Rule.Kind, trusted.Rule.Kind = transfer.RuleCopied, transfer.RuleSeen
	var tally report.Tally
	for _, d := range []transfer.DestinationResult{
		{Action: transfer.ActionAdd, Digest: manifest(1), WithoutAttestations: true},
		{Action: transfer.ActionMove, Digest: manifest(1)}, // the same image under another tag
		unchanged, trusted,
		{Action: transfer.ActionKeep, Digest: manifest(3)},
		{Action: transfer.ActionSkip, Digest: manifest(9)}, // another image is there
		{Action: transfer.ActionAdd, Err: failed},
		{Action: transfer.ActionAdd, Err: atSource(job.Source, fmt.Errorf("read: %w", context.Canceled))},
	} {
		tally.Add(resultOf(job, d))
	}
	other := job
	other.Entry = "other"
	tally.Add(resultOf(other,
		immutable,
		transfer.DestinationResult{Action: transfer.ActionAdd, Err: failed, Referrers: 3}, // copied before it failed
		transfer.DestinationResult{
			Action: transfer.ActionAdd, Digest: manifest(5), Refused: 2, // its tag was written, and a referrer failed
			Err: &transfer.ReferrersError{Tagged: true, Count: 1, Err: content.ErrDenied},
		},
	))
	tally.Add(&transfer.Result{}) // an image without destinations, of no entry
	web := report.Counts{
		Tags: 8, Images: 3, Copied: 2, WithoutAttestations: 1, Add: 1, Move: 1, Unchanged: 2, Trusted: 1, Kept: 1, Skipped: 1,
		Deferred: 1, Failed: 1,
	}
	rest := report.Counts{Tags: 3, Images: 2, Unchanged: 1, Immutable: 1, Failed: 2, Denied: 1, Incomplete: 1, Referrers: 3, NotAccepted: 2}
	all := report.Counts{
		Tags: 11, Images: 4, Copied: 2, WithoutAttestations: 1, Add: 1, Move: 1, Unchanged: 3, Immutable: 1, Trusted: 1, Kept: 1, Skipped: 1, Deferred: 1,
		Failed: 3, Denied: 1, Incomplete: 1, Referrers: 3, NotAccepted: 2,
	}
	if tally.Counts != all {
		t.Errorf("got %+v, want %+v", tally.Counts, all)
	}
	if len(tally.Entries) != 2 || tally.Entries[0].Counts != web || tally.Entries[1].Counts != rest {
		t.Errorf("got %+v, want %+v and %+v", tally.Entries, web, rest)
	}
	if got := tally.Counts.UpToDate(); got != 7 {
		t.Errorf("%d are up to date, want 7", got)
	}
}

// An image whose source failed was told as one failure for each of its destinations: a run with 6 causes told 16.
func TestFailureOfASourceIsCountedOnce(t *testing.T) {
	// failing are the results of 16 destinations with 6 causes: images whose sources fail, which have 16 destinations
	// in all; or images that fail at their 16 destinations.
	failing := func(destinations []int, wrap func(job transfer.Job, n int, err error) error) []*transfer.Result {
		var results []*transfer.Result
		for i, n := range destinations {
			job := jobOf(t, "web", fmt.Sprint("docker.io/library/app:", i))
			var all []transfer.DestinationResult
			for k := range n {
				job.Destinations = append(job.Destinations, ref(t, fmt.Sprintf("r%d.corp/app%d:1", k, i)))
				err := &answerError{fmt.Sprintf("host%d.corp", i%6), 500 + i%6, "", "broken"}
				all = append(all, transfer.DestinationResult{Err: wrap(job, k, err)})
			}
			results = append(results, resultOf(job, all...))
		}
		return results
	}
	ofSource := func(job transfer.Job, _ int, err error) error { return atSource(job.Source, err) }
	ofDestination := func(job transfer.Job, n int, err error) error { return atDestination(job.Destinations[n], err) }
	for _, test := range []struct {
		name         string
		results      []*transfer.Result
		failed, errs int // errs are the errors of items and destinations in the document
	}{
		{"one image, 16 destinations", failing([]int{16}, ofSource), 1, 1},
		{"6 images, 16 destinations", failing([]int{1, 2, 3, 3, 3, 4}, ofSource), 6, 6},
		{"16 destinations fail for 6 causes", failing([]int{1, 2, 3, 3, 3, 4}, ofDestination), 16, 16},
	} {
		r := newReport("sync")
		for _, result := range test.results {
			r.Add(result)
		}
		var errs, destinations int
		for _, item := range r.Items {
			if item.Error != nil {
				errs++
			}
			for _, to := range item.Destinations {
				destinations++
				if to.Error != nil {
					errs++
				}
				if to.Status != report.StatusFailed {
					t.Errorf("%s: %s is %s", test.name, to.Ref, to.Status)
				}
			}
		}
		want := report.Counts{Tags: test.failed, Failed: test.failed}
		if r.Counts != want || errs != test.errs || destinations != 16 {
			t.Errorf("%s: %+v, %d errors, %d destinations; want %d failures, %d errors, 16 destinations",
				test.name, r.Counts, errs, destinations, test.failed, test.errs)
		}
	}
}

// A source that broke while its signatures were read is one failure, and what each destination got is counted.
func TestReferrersOfAFailureAreCountedAtEachDestination(t *testing.T) {
	job := jobOf(t, "web", "nginx:1", "a.corp/nginx:1", "b.corp/nginx:1")
	d := transfer.DestinationResult{
		Action: transfer.ActionAdd, Digest: manifest(1), Referrers: 2, Refused: 1,
		Err: &transfer.ReferrersError{Tagged: true, Count: 1, Err: atSource(job.Source, errors.New("reset"))},
	}
	var tally report.Tally
	tally.Add(resultOf(job, d, d))
	want := report.Counts{Tags: 1, Images: 1, Failed: 1, Incomplete: 1, Referrers: 4, NotAccepted: 2}
	if tally.Counts != want {
		t.Errorf("got %+v, want %+v", tally.Counts, want)
	}
}

// What a rule holds back, or what failed, is nothing to do.
func TestPending(t *testing.T) {
	for action, want := range map[transfer.Action]bool{
		transfer.ActionAdd: true, transfer.ActionMove: true,
		transfer.ActionUnchanged: false, transfer.ActionSkip: false, transfer.ActionKeep: false, transfer.ActionNone: false,
	} {
		to := transfer.DestinationPlan{Action: action}
		switch action {
		case transfer.ActionNone:
			to.Err, to.Referrers = errDenied, 1
		case transfer.ActionSkip:
			to.Referrers = 1 // they are not copied either
		}
		var tally report.Tally
		tally.AddPlan(planOf(jobOf(t, "web", "nginx:1", "harbor.corp/nginx:1"), to), nil)
		if got := tally.Counts.Pending(); got != want || tally.Counts.Tags != 1 {
			t.Errorf("%s: pending %v, want %v; %+v", action, got, want, tally.Counts)
		}
	}
}

// An image is not up to date if nobody knows which signatures it lacks: diff once said that there was nothing to do.
func TestPlanWhoseReferrersAreUnknown(t *testing.T) {
	job := jobOf(t, "web", "nginx:1", "harbor.corp/nginx:1", "quay.io/nginx:1")
	plan := planOf(job, transfer.DestinationPlan{Action: transfer.ActionUnchanged}, transfer.DestinationPlan{Action: transfer.ActionUnchanged})
	plan.Warnings = []warning.Warning{{Kind: warning.ReferrersFailed, Err: atSource(job.Source, content.ErrDenied)}}
	r := newReport("diff")
	r.AddPlan(plan, nil)
	if want := (report.Counts{Tags: 1, Failed: 1, Denied: 1}); r.Counts != want {
		t.Errorf("got %+v, want %+v", r.Counts, want)
	}
	if e := r.Items[0].Error; e == nil || e.Side != transfer.SideSource {
		t.Errorf("the item has the error %+v", e)
	}
}

// Arguments of a command such as rmi are no copies, and counted the same way.
func TestCountsOfOtherItems(t *testing.T) {
	var tally report.Tally
	for _, err := range []error{nil, content.ErrNotFound, fmt.Errorf("delete: %w", errDenied), context.Canceled} {
		tally.AddErrors(err)
	}
	// An item of which a part is denied, and another part failed, is not denied.
	tally.AddErrors(errDenied, content.ErrNotFound)
	tally.AddErrors(errDenied, nil, errDenied)
	want := report.Counts{Tags: 6, Unchanged: 1, Deferred: 1, Failed: 4, Denied: 2}
	if tally.Counts != want || len(tally.Entries) != 0 {
		t.Errorf("got %+v and %d entries, want %+v and none", tally.Counts, len(tally.Entries), want)
	}
}

func TestNotStarted(t *testing.T) {
	var tally report.Tally
	tally.NotStart("web", 0, false) // nothing was left out
	if tally.NotStarted != nil {
		t.Errorf("got %+v, want nothing", tally.NotStarted)
	}
	tally.NotStart("web", 100, false)
	tally.NotStart("web", 1, false) // of the same entry
	tally.NotStart("db", 0, true)
	tally.NotStart("cache", 20, false)
	if want := (report.NotStarted{Tags: 121, Entries: 3, Unlisted: true}); *tally.NotStarted != want {
		t.Errorf("got %+v, want %+v", *tally.NotStarted, want)
	}
}

// A digest of another algorithm, or one that is no digest, is counted like all others.
func TestImagesAreCountedByAnyDigest(t *testing.T) {
	var tally report.Tally
	for _, d := range []digest.Digest{"sha512:1", "sha512:2", "sha512:1", "x", manifest(1), manifest(1), ""} {
		job := jobOf(t, "web", "nginx:1", "harbor.corp/nginx:1")
		tally.Add(resultOf(job, transfer.DestinationResult{Action: transfer.ActionAdd, Digest: d}))
	}
	if tally.Counts.Images != 4 {
		t.Errorf("%d images, want 4", tally.Counts.Images)
	}
}
