package ui

import (
	"context"
	"errors"
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
	plan := NewPlan(hintFor)
	var report *Report
	synctest.Test(t, func(t *testing.T) {
		report = NewReport("01HX", time.Now(), hintFor)
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
	})
	return report, plan
}

func TestReportText(t *testing.T) {
	report, _ := told(t)
	var out strings.Builder
	if err := report.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "report", out.String())
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
	report := NewReport("", time.Time{}, nil)
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
	want := ReportCounts{Tags: 5, Images: 2, Copied: 2, Unchanged: 1, Deferred: 1, Failed: 1}
	if report.Counts != want {
		t.Errorf("got %+v, want %+v", report.Counts, want)
	}
}

// A signature that is brought for an image that was right already is worth a line.
func TestReportTellsOfReferrers(t *testing.T) {
	report := NewReport("", time.Unix(0, 0), nil)
	s := &story{t: t}
	job := s.job("nginx:1.25", "localhost:5000/nginx:1.25")
	report.Add(&transfer.Result{Job: job, Digest: manifest(1).Digest, Destinations: []transfer.DestinationResult{
		{Reference: job.Destinations[0], Action: transfer.ActionUnchanged, Digest: manifest(1).Digest, Referrers: 2},
	}})
	report.Finish(time.Unix(1, 0), 0, &transfer.Counters{}, nil)
	var out strings.Builder
	if err := report.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	want := "web:\nunchanged nginx:1.25 -> localhost:5000/nginx:1.25 " + shortDigest(manifest(1).Digest) + " with 2 referrers\n" +
		"1 tag, 1 image: 1 unchanged in 1.0s\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPlanText(t *testing.T) {
	_, plan := told(t)
	s := &story{t: t}
	// A second place at the same registry needs the same blob: it counts once.
	second := s.plan(s.job("nginx:1.25", "harbor.corp:5443/other/web:1"), 1, transfer.ActionAdd, blob(1, 40e6))
	second.Job.Entry = "other"
	second.Referrers = append(second.Referrers, manifest(8))
	second.Warnings = []string{"no linux/arm64 at the source"}
	second.Destinations = append(second.Destinations, transfer.DestinationPlan{
		Reference: ref(t, "localhost:5000/web:1"), Action: transfer.ActionNone,
		Err: &transfer.Error{Side: transfer.SideDestination, Reference: ref(t, "localhost:5000/web:1"), Err: errDenied},
	})
	plan.Add(second, nil)
	plan.Add(nil, errors.New("list tags of ghost: \x1b[2Jnot found"))
	for _, all := range []bool{false, true} {
		var out strings.Builder
		if err := plan.WriteText(&out, all); err != nil {
			t.Fatal(err)
		}
		checkGolden(t, fmt.Sprintf("plan-all-%v", all), out.String())
	}
	var out strings.Builder
	if err := plan.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "plan.json", out.String())
}

// A signature that was made after its image was mirrored is all that a run has to do: the
// plan says so.
func TestPlanTellsOfReferrers(t *testing.T) {
	s := &story{t: t}
	signed := s.plan(s.job("nginx:1.25", "localhost:5000/nginx:1.25"), 1, transfer.ActionUnchanged)
	signed.Referrers = append(signed.Referrers, manifest(8), manifest(9))
	plan := NewPlan(nil)
	plan.Add(signed, nil)
	if plan.Counts.Referrers != 2 || plan.Entries[0].Counts.Referrers != 2 {
		t.Errorf("got %+v and %+v, want 2 referrers", plan.Counts, plan.Entries[0].Counts)
	}
	const sum = "plan: 0 to add, 0 to move, 1 unchanged; 2 referrers where missing\n"
	for all, want := range map[bool]string{
		false: "web:\n  = 1 unchanged, 2 referrers where missing\n" + sum,
		true:  "web:\n  = nginx:1.25 -> localhost:5000/nginx:1.25  2 referrers where missing\n" + sum,
	} {
		var out strings.Builder
		if err := plan.WriteText(&out, all); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != want {
			t.Errorf("all %v: got %q, want %q", all, got, want)
		}
	}
}

func TestPlanOfNothing(t *testing.T) {
	var out strings.Builder
	if err := NewPlan(nil).WriteText(&out, false); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "plan: 0 to add, 0 to move, 0 unchanged\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
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
