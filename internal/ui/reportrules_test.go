package ui

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// policyStory is a run in which rules leave tags as they are, and which ends early.
func policyStory(t *testing.T, options ReportOptions) *Report {
	t.Helper()
	options.Hints = hintFor
	r := NewReport("20000101T000000Z-0a1b2c", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), options)
	s := &story{t: t}
	add := func(entry, tag string, d transfer.DestinationResult, warnings ...warning.Warning) {
		job := s.job("nginx:"+tag, "harbor.corp:5443/web/nginx:"+tag)
		job.Entry, d.Reference = entry, job.Destinations[0]
		r.Add(&transfer.Result{
			Job: job, Digest: manifest(1).Digest, Elapsed: 1500 * time.Millisecond, Warnings: warnings,
			Destinations: []transfer.DestinationResult{d},
		})
	}
	for i := range 5 {
		add("web", fmt.Sprintf("1.%d", i), transfer.DestinationResult{
			Action: transfer.ActionSkip, Previous: manifest(2).Digest, Rule: transfer.Rule{Kind: transfer.RuleNever},
		})
	}
	add("web", "big", transfer.DestinationResult{Action: transfer.ActionSkip, Rule: transfer.Rule{Kind: transfer.RuleMaxSize, Limit: 5e9, Found: transfer.Found{Size: 12e9}}})
	add("web", "latest", transfer.DestinationResult{Action: transfer.ActionAdd, Digest: manifest(1).Digest, Referrers: 2},
		warning.Warning{Kind: warning.PlatformsMissing, Missing: []string{"linux/arm64"}, Offered: []string{"linux/amd64"}})
	add("web", "stable", transfer.DestinationResult{
		Action: transfer.ActionMove, Digest: manifest(1).Digest, Previous: manifest(2).Digest,
	})
	add("app", "1", transfer.DestinationResult{Action: transfer.ActionUnchanged, Digest: manifest(3).Digest})
	add("app", "3", transfer.DestinationResult{Action: transfer.ActionAdd, Err: context.Canceled})
	add("app", "2", transfer.DestinationResult{Action: transfer.ActionAdd, Err: fmt.Errorf("push: %w", context.Canceled)})
	add("app", "evil", transfer.DestinationResult{
		Action: transfer.ActionNone, Err: &transfer.Error{Side: transfer.SideDestination, Reference: ref(t, "harbor.corp:5443/x:1"), Err: errDenied},
	})
	add("app", "gone", transfer.DestinationResult{
		Action: transfer.ActionNone, Err: &transfer.Error{Side: transfer.SideSource, Reference: ref(t, "nginx:gone"), Err: content.ErrNotFound},
	})
	r.NotBegun = &ReportRest{Tags: 120, Entries: 3}
	var counters transfer.Counters
	counters.Read.Store(1e6)
	counters.Sent.Store(1e6)
	r.Finish(r.Run.Started.Add(3*time.Second), 3, &counters, map[string]int64{"harbor.corp:5443": 40})
	r.LimitedBy = "harbor.corp:5443: maxConnections"
	return r
}

func TestReportTellsTheRules(t *testing.T) {
	r := policyStory(t, ReportOptions{Entries: []string{"web", "app"}})
	for _, all := range []bool{false, true} {
		checkGolden(t, fmt.Sprintf("report-rules-all-%v", all), reportText(t, r, all))
	}
	var document strings.Builder
	if err := r.WriteResult(&document, SyncSchema); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "report-rules.json", document.String())
	want := ReportCounts{Tags: 13, Images: 2, Copied: 2, Unchanged: 1, Skipped: 6, Deferred: 2, Failed: 2, Referrers: 2}
	if r.Counts != want {
		t.Errorf("got %+v, want %+v", r.Counts, want)
	}
}

// A report of changes alone tells people the same.
func TestReportOfChanges(t *testing.T) {
	all := policyStory(t, ReportOptions{})
	changes := policyStory(t, ReportOptions{Changes: true})
	if got, want := reportText(t, changes, true), reportText(t, all, true); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got, want := len(changes.Items), len(all.Items)-1; got != want {
		t.Errorf("%d items, want %d: what is unchanged is counted only", got, want)
	}
}

// Without names, as a run that nobody configured has it, entries are ordered by name.
func TestReportOrder(t *testing.T) {
	for _, test := range []struct {
		names []string
		first string
	}{{nil, "app"}, {[]string{"web", "app"}, "web"}, {[]string{"web"}, "web"}, {[]string{"x", "app"}, "app"}} {
		r := policyStory(t, ReportOptions{Entries: test.names})
		if got := r.Items[0].Entry; got != test.first {
			t.Errorf("%v: %s is first, want %s", test.names, got, test.first)
		}
		for i, item := range r.Items[1:] {
			if before := r.Items[i]; before.Entry == item.Entry && before.Source > item.Source {
				t.Errorf("%s stands before %s", before.Source, item.Source)
			}
		}
	}
}

func TestReportRest(t *testing.T) {
	for _, test := range []struct {
		rest ReportRest
		want string
	}{
		{ReportRest{Tags: 120, Entries: 3}, "stopped early: 120 tags of 3 entries were not begun"},
		{ReportRest{Tags: 1, Entries: 1}, "stopped early: 1 tag of 1 entry was not begun"},
		{ReportRest{Tags: 2, Entries: 1, Unlisted: true}, "stopped early: 2 tags of 1 entry were not begun, and not all repositories were listed"},
		{ReportRest{Entries: 2, Unlisted: true}, "stopped early: not all repositories of 2 entries were listed"},
	} {
		if got := test.rest.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// BenchmarkReportUnchanged measures what a tag with nothing to do costs a report of changes:
// B/op is bytes for each.
func BenchmarkReportUnchanged(b *testing.B) {
	for _, changes := range []bool{true, false} {
		b.Run(fmt.Sprintf("changes=%v", changes), func(b *testing.B) {
			results := make([]*transfer.Result, b.N)
			s := &story{t: b}
			for i := range results {
				job := s.job(fmt.Sprintf("nginx:1.%d", i), fmt.Sprintf("harbor.corp:5443/web/nginx:1.%d", i))
				results[i] = &transfer.Result{Job: job, Digest: manifest(i).Digest, Destinations: []transfer.DestinationResult{
					{Reference: job.Destinations[0], Action: transfer.ActionUnchanged, Digest: manifest(i).Digest},
				}}
			}
			b.ReportAllocs()
			b.ResetTimer()
			r := NewReport("", time.Time{}, ReportOptions{Changes: changes})
			for _, result := range results {
				r.Add(result)
			}
		})
	}
}
