package ui

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// told is the story as a report and as a plan.
func told(t *testing.T) (*Report, *Plan) {
	t.Helper()
	plan := NewPlan(PlanOptions{Hints: hintFor})
	var report *Report
	synctest.Test(t, func(t *testing.T) {
		report = NewReport("01HX", time.Now(), ReportOptions{Hints: hintFor})
		s := &story{t: t, observe: func(e transfer.Event) {
			if p, ok := e.(transfer.Planned); ok {
				plan.Add(p.Plan, nil)
			}
		}}
		s.tell()
		for _, r := range s.results {
			report.Add(r)
		}
		var counters transfer.Counters
		counters.Read.Store(52_347_178)
		counters.Reread.Store(12_345_678)
		counters.Sent.Store(52_347_178)
		counters.Mounted.Store(3_401_500)
		counters.Skipped.Store(600)
		report.Finish(time.Now(), 3, &counters, map[string]int64{"harbor.corp:5443": 40, "docker.io": 12})
		report.LimitedBy = "docker.io: 429"
	})
	return report, plan
}

func TestReportText(t *testing.T) {
	report, _ := told(t)
	checkGolden(t, "report", reportText(t, report, false))
}

func reportText(t *testing.T, r *Report, all bool) string {
	t.Helper()
	var out strings.Builder
	if err := r.WriteText(&out, all); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestReportJSON(t *testing.T) {
	report, _ := told(t)
	var out strings.Builder
	if err := report.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "report.json", out.String())
}

func TestReportCounts(t *testing.T) {
	report := NewReport("", time.Time{}, ReportOptions{})
	s := &story{t: t}
	job := s.job("nginx:1.25", "localhost:5000/nginx:1.25")
	add := func(n int, action transfer.Action, err error) {
		r := transfer.DestinationResult{Reference: job.Destinations[0], Action: action, Err: err}
		if err == nil {
			r.Digest = manifest(n).Digest
		}
		report.Add(&transfer.Result{Job: job, Digest: manifest(n).Digest, Destinations: []transfer.DestinationResult{r}})
	}
	add(1, transfer.ActionAdd, nil)
	add(1, transfer.ActionMove, nil) // the same image under another tag
	add(2, transfer.ActionUnchanged, nil)
	add(3, transfer.ActionAdd, errReset)
	add(4, transfer.ActionAdd, &transfer.Error{Side: transfer.SideSource, Err: fmt.Errorf("read: %w", context.Canceled)})
	report.Add(&transfer.Result{Job: job, Destinations: []transfer.DestinationResult{
		{Reference: job.Destinations[0], Action: transfer.ActionUnchanged, Digest: manifest(2).Digest, Rule: transfer.Rule{Kind: transfer.RuleCopied}},
		{Reference: job.Destinations[0], Action: transfer.ActionAdd, Err: errReset, Referrers: 3}, // put before it failed
		// Its tag was written, and a referrer failed.
		{Reference: job.Destinations[0], Action: transfer.ActionAdd, Err: errReset, Digest: manifest(5).Digest, Refused: 2},
	}})
	report.Add(&transfer.Result{Job: job, Destinations: []transfer.DestinationResult{
		{Reference: job.Destinations[0], Action: transfer.ActionUnchanged, Digest: manifest(2).Digest, Rule: transfer.Rule{Kind: transfer.RuleSeen}},
	}})
	want := ReportCounts{Tags: 9, Images: 3, Copied: 2, Unchanged: 3, NotAsked: 1, Trusted: 1, Deferred: 1, Failed: 3, Referrers: 3, Refused: 2}
	if report.Counts != want {
		t.Errorf("got %+v, want %+v", report.Counts, want)
	}
}

// A signature that is copied for an image that was right already is worth a line.
func TestReportTellsOfReferrers(t *testing.T) {
	report := NewReport("", time.Unix(0, 0), ReportOptions{})
	s := &story{t: t}
	job := s.job("nginx:1.25", "localhost:5000/nginx:1.25")
	report.Add(&transfer.Result{Job: job, Digest: manifest(1).Digest, Destinations: []transfer.DestinationResult{
		{Reference: job.Destinations[0], Action: transfer.ActionUnchanged, Digest: manifest(1).Digest, Referrers: 2},
	}})
	report.Finish(time.Unix(1, 0), 0, &transfer.Counters{}, nil)
	want := "web:\n  completed nginx:1.25 -> localhost:5000/nginx:1.25  " + shortDigest(manifest(1).Digest) + " with 2 referrers\n" +
		"1 tag, 1 image: 1 unchanged, 2 referrers copied in 1.0s\n"
	if got := reportText(t, report, false); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// remembered is an immutable tag that nobody was asked about.
func remembered() transfer.DestinationResult {
	return transfer.DestinationResult{
		Action: transfer.ActionUnchanged, Digest: manifest(1).Digest, Rule: transfer.Rule{Kind: transfer.RuleCopied},
	}
}

const reasonNotAsked = "is immutable and was copied before: not asked"

// Immutable tags that are remembered were told as if they had been asked for.
func TestReportTellsWhatWasNotAsked(t *testing.T) {
	s := &story{t: t}
	for asked, want := range []string{
		"2 tags, 1 image: 2 unchanged (immutable, not asked) in 1.0s\n",
		"3 tags, 1 image: 3 unchanged (2 of them immutable, not asked) in 1.0s\n",
	} {
		report := NewReport("", time.Unix(0, 0), ReportOptions{})
		for i := range 2 + asked {
			d := remembered()
			if i >= 2 {
				d = transfer.DestinationResult{Action: transfer.ActionUnchanged, Digest: manifest(1).Digest}
			}
			job := s.job("nginx:1.25", fmt.Sprintf("localhost:5000/nginx:%d", i))
			d.Reference = job.Destinations[0]
			report.Add(&transfer.Result{Job: job, Destinations: []transfer.DestinationResult{d}})
		}
		report.Finish(time.Unix(1, 0), 0, &transfer.Counters{}, nil)
		if got := reportText(t, report, false); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := report.Items[0].Destinations[0].Reason; got != reasonNotAsked {
			t.Errorf("the document says %q, want %q", got, reasonNotAsked)
		}
	}
}

// Tags that were not asked for at the destination are told apart from those that were, and from immutable ones.
func TestNotAsked(t *testing.T) {
	for _, test := range []struct {
		immutable, trusted, unchanged int
		want                          string
	}{
		{0, 0, 3, ""},
		{0, 3, 3, " (trusted, not checked at the destination)"},
		{0, 2, 3, " (2 of them trusted, not checked at the destination)"},
		{1, 2, 3, " (1 of them immutable, not asked; 2 trusted, not checked at the destination)"},
	} {
		if got := notAsked(test.immutable, test.trusted, test.unchanged); got != test.want {
			t.Errorf("%+v: got %q", test, got)
		}
	}
}

// While a run goes on, too: a signature completes an image that was right but for that.
func TestOutcomeOfUnchanged(t *testing.T) {
	s := &story{t: t}
	job := s.job("nginx:1.25", "localhost:5000/nginx:1.25")
	digest := shortDigest(manifest(1).Digest)
	completed := transfer.DestinationResult{Action: transfer.ActionUnchanged, Digest: manifest(1).Digest, Referrers: 1}
	for want, d := range map[string]transfer.DestinationResult{
		"unchanged nginx:1.25 -> localhost:5000/nginx:1.25 " + digest + " (" + reasonNotAsked + ")": remembered(),
		"completed nginx:1.25 -> localhost:5000/nginx:1.25 " + digest + " with 1 referrer":          completed,
	} {
		d.Reference = job.Destinations[0]
		if got := outcome(job, d, false); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestDockerResults(t *testing.T) {
	var out strings.Builder
	pushed := ref(t, "registry.cn-hangzhou.aliyuncs.com/ns/app:1.1")
	for _, err := range []error{
		WritePushed(&out, pushed, manifest(1)),
		WritePulled(&out, ref(t, "nginx:1.25"), manifest(1), true),
		WritePulled(&out, ref(t, "nginx:1.25"), manifest(1), false),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	checkGolden(t, "docker", out.String())
}

func TestProblem(t *testing.T) {
	if got := NewProblem(nil, hintFor); got != nil {
		t.Errorf("of no error: %v", got)
	}
	side := &transfer.Error{
		Side: transfer.SideSource, Reference: reference.Reference{Registry: "docker.io", Repository: "library/x"}, Err: errReset,
	}
	got := NewProblem(fmt.Errorf("copy: %w", side), nil)
	want := Problem{Side: transfer.SideSource, Host: "docker.io", Message: "copy: source " + side.Reference.Familiar() + ": " + errReset.Error()}
	if *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	if got := NewProblem(errDenied, hintFor); got.Status != 403 || got.Code != "DENIED" || got.Host != "harbor.corp:5443" || got.Hint == "" {
		t.Errorf("got %+v", got)
	}
}
