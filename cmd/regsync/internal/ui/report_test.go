package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

func newReport(command string, entries ...string) *report.Report {
	r := report.New(command, time.Unix(0, 0), report.Options{Hints: hintFor, Text: WarningText, Entries: entries})
	r.Run.ID = "1"
	return r
}

func textOf(t *testing.T, r *report.Report, detail Detail) string {
	t.Helper()
	var out strings.Builder
	if err := WriteReport(&out, r, detail, "all with --verbose"); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// storyReports are the story as the reports of a run and of a plan.
func storyReports(t *testing.T) (run, plan *report.Report) {
	t.Helper()
	plan = newReport("plan", "web", "other")
	synctest.Test(t, func(t *testing.T) {
		run = report.New("sync", time.Now(), report.Options{Hints: hintFor, Text: WarningText})
		run.Run.ID = "01HX"
		s := &story{t: t, observe: func(e transfer.Event) {
			if p, ok := e.(transfer.Planned); ok {
				plan.AddPlan(p.Plan, nil)
			}
		}}
		s.tell()
		for _, r := range s.results {
			run.Add(r)
		}
		var counters transfer.Counters
		counters.Read.Store(52_347_178)
		counters.Reread.Store(12_345_678)
		counters.Sent.Store(52_347_178)
		counters.Mounted.Store(3_401_500)
		counters.Skipped.Store(600)
		run.Finish(time.Now(), &counters, map[string]int64{"harbor.corp:5443": 40, "docker.io": 12})
		run.Run.ExitCode = 3
		run.LimitedBy = "docker.io: 429"
	})
	return run, plan
}

// policyReport is a run in which rules leave tags as they are, and which ends early.
func policyReport(t *testing.T, options report.Options) *report.Report {
	t.Helper()
	options.Hints, options.Text = hintFor, WarningText
	r := report.New("sync", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), options)
	r.Run.ID = "20000101T000000Z-0a1b2c"
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
	add("web", "old", transfer.DestinationResult{Action: transfer.ActionKeep, Digest: manifest(4).Digest})
	add("app", "1", transfer.DestinationResult{Action: transfer.ActionUnchanged, Digest: manifest(3).Digest})
	for _, tag := range []string{"3", "2"} {
		interrupted := &transfer.DeferredError{Reason: "interrupted", Err: context.Canceled}
		add("app", tag, transfer.DestinationResult{Action: transfer.ActionAdd, Err: interrupted})
	}
	add("app", "evil", transfer.DestinationResult{
		Action: transfer.ActionNone, Err: &transfer.Error{Side: transfer.SideDestination, Reference: ref(t, "harbor.corp:5443/x:1"), Err: errDenied},
	})
	gone := s.job("nginx:gone", "harbor.corp:5443/web/nginx:gone")
	gone.Entry = "app"
	failed := transfer.DestinationResult{Err: &transfer.Error{Side: transfer.SideSource, Reference: gone.Source, Err: content.ErrNotFound}}
	result := &transfer.Result{Job: gone, Elapsed: 1500 * time.Millisecond}
	for _, to := range []reference.Reference{gone.Destinations[0], ref(t, "quay.io/web/nginx:gone")} {
		failed.Reference = to
		result.Destinations = append(result.Destinations, failed)
	}
	r.Add(result)
	r.NotStarted = &report.NotStarted{Tags: 120, Entries: 3}
	var counters transfer.Counters
	counters.Read.Store(1e6)
	counters.Sent.Store(1e6)
	r.Finish(r.Run.Started.Add(3*time.Second), &counters, map[string]int64{"harbor.corp:5443": 40})
	r.Run.ExitCode = 3
	r.LimitedBy = "harbor.corp:5443: maxConnections"
	return r
}

// planReport is the story's plan, and an entry more: a second destination that needs a blob of the same registry, which
// counts once, one that may not be written to, tags that rules leave as they are, and a repository that cannot be listed.
func planReport(t *testing.T) *report.Report {
	t.Helper()
	_, plan := storyReports(t)
	s := &story{t: t}
	second := s.plan(s.job("nginx:1.25", "harbor.corp:5443/other/web:1"), 1, transfer.ActionAdd, blob(1, 40e6))
	second.Job.Entry = "other"
	second.Destinations[0].Referrers = 1
	second.Warnings = []warning.Warning{{Kind: warning.PlatformsMissing, Missing: []string{"linux/arm64"}, Offered: []string{"linux/amd64"}}}
	second.Destinations = append(second.Destinations, transfer.DestinationPlan{
		Reference: ref(t, "localhost:5000/web:1"), Action: transfer.ActionNone,
		Err: &transfer.Error{Side: transfer.SideDestination, Reference: ref(t, "localhost:5000/web:1"), Err: errDenied},
	})
	plan.AddPlan(second, nil)
	for i := range 5 {
		plan.AddPlan(skippedPlan(s, fmt.Sprintf("1.%d", i), transfer.Rule{Kind: transfer.RuleNever}), nil)
	}
	plan.AddPlan(skippedPlan(s, "big", transfer.Rule{Kind: transfer.RuleMaxSize, Limit: 5e9, Found: transfer.Found{Size: 12e9}}), nil)
	plan.AddPlan(&transfer.Plan{}, errors.New("list tags of ghost: \x1b[2Jnot found"))
	plan.Finish(time.Unix(1, 0), nil, nil)
	return plan
}

func skippedPlan(s *story, tag string, rule transfer.Rule) *transfer.Plan {
	p := s.plan(s.job("nginx:"+tag, "harbor.corp:5443/other/web:"+tag), 1, transfer.ActionSkip)
	p.Job.Entry = "other"
	p.Destinations[0].Rule = rule
	return p
}

func TestReportText(t *testing.T) {
	run, _ := storyReports(t)
	for name, r := range map[string]*report.Report{
		"report": run, "report-rules": policyReport(t, report.Options{Entries: []string{"web", "app"}}), "plan": planReport(t),
	} {
		for detail, suffix := range []string{"summary", "changes", "everything"} {
			if !r.IsPlan() || detail > 0 {
				golden.File(t, name+"-"+suffix, textOf(t, r, Detail(detail)))
			}
		}
	}
}

// The text of a run does not depend on whether a file of --report keeps what is unchanged.
func TestTextOfChanges(t *testing.T) {
	for _, detail := range []Detail{Summary, Changes, Everything} {
		whole, changes := policyReport(t, report.Options{}), policyReport(t, report.Options{Changes: true})
		if got, want := textOf(t, changes, detail), textOf(t, whole, detail); got != want {
			t.Errorf("detail %v: got %s\nwant %s", detail, got, want)
		}
	}
}

// Small reports, each with a story, in one file.
func TestTextsOfReports(t *testing.T) {
	var texts strings.Builder
	tell := func(story string, r *report.Report) {
		t.Helper()
		r.Finish(time.Unix(1, 0), nil, nil)
		quiet, all := textOf(t, r, Changes), textOf(t, r, Everything)
		fmt.Fprintf(&texts, "== %s\n%s", story, quiet)
		if all != quiet {
			fmt.Fprintf(&texts, "-- all\n%s", all)
		}
	}
	s := &story{t: t}
	unchanged := func(kind transfer.RuleKind) transfer.DestinationResult {
		return transfer.DestinationResult{Action: transfer.ActionUnchanged, Digest: manifest(1).Digest, Rule: transfer.Rule{Kind: kind}}
	}
	run := func(results ...transfer.DestinationResult) *report.Report {
		r := newReport("sync")
		for i, d := range results {
			job := s.job("nginx:1.25", fmt.Sprintf("localhost:5000/nginx:%d", i))
			d.Reference = job.Destinations[0]
			r.Add(&transfer.Result{Job: job, Digest: manifest(1).Digest, Destinations: []transfer.DestinationResult{d}})
		}
		return r
	}
	planned := func(command string, actions ...transfer.DestinationPlan) *report.Report {
		r := newReport(command)
		for i, to := range actions {
			p := s.plan(s.job("nginx:1.25", fmt.Sprintf("localhost:5000/nginx:%d", i)), 1, to.Action)
			p.Destinations[0].Rule, p.Destinations[0].Referrers, p.Destinations[0].Refused = to.Rule, to.Referrers, to.Refused
			r.AddPlan(p, nil)
		}
		return r
	}
	asked, remembered := transfer.DestinationPlan{Action: transfer.ActionUnchanged}, transfer.DestinationPlan{Action: transfer.ActionUnchanged}
	remembered.Rule.Kind = transfer.RuleCopied
	signed := asked
	signed.Referrers = 2

	completed := unchanged("")
	completed.Referrers = 2
	tell("a signature was copied for an image that was up to date", run(completed))
	refused := unchanged("")
	refused.Refused = 1
	tell("the destination does not accept a signature", run(refused))
	tell("immutable tags that were copied before were not checked", run(unchanged(transfer.RuleCopied), unchanged(transfer.RuleCopied)))
	tell("two of three were not checked", run(unchanged(transfer.RuleCopied), unchanged(transfer.RuleCopied), unchanged("")))
	tell("some were not checked at the destination", run(unchanged(transfer.RuleCopied), unchanged(transfer.RuleSeen), unchanged("")))
	tell("nothing was selected", run())

	warned := newReport("sync")
	for i, w := range []warning.Warning{
		{Kind: warning.GoneAtSource}, {Kind: warning.GoneAtSource}, {Kind: warning.GoneAtSource}, {Kind: warning.GoneAtSource},
		{Kind: warning.PlatformsMissing, Missing: []string{"linux/arm64"}, Offered: []string{"linux/amd64"}},
		{Kind: warning.PlatformsMissing, Missing: []string{"linux/arm64", "linux/s390x"}, Offered: []string{"linux/amd64"}},
		{Kind: warning.PlatformsMissing, Missing: []string{"linux/arm64"}, Offered: []string{"linux/386"}},
	} {
		job := s.job(fmt.Sprint("nginx:", i), fmt.Sprint("localhost:5000/nginx:", i))
		r := transfer.DestinationResult{Reference: job.Destinations[0], Action: transfer.ActionKeep, Digest: manifest(1).Digest}
		warned.Add(&transfer.Result{Job: job, Digest: manifest(1).Digest, Destinations: []transfer.DestinationResult{r}, Warnings: []warning.Warning{w}})
	}
	tell("equal warnings are one line", warned)

	tell("a signature is all that there is to copy", planned("diff", signed, asked))
	tell("a plan tells what was not checked", planned("plan", asked, remembered, remembered))
	accepted := signed
	accepted.Refused = 1
	tell("a plan leaves out what the destination does not accept", planned("plan", accepted))
	tell("a plan of nothing", newReport("plan", "web", "db"))
	order := newReport("plan", "zoo", "app") // entries that run at the same time
	for _, entry := range []string{"app", "zoo", "app"} {
		p := s.plan(s.job("nginx:1.25", "localhost:5000/nginx:1.25"), 1, transfer.ActionUnchanged)
		p.Job.Entry = entry
		order.AddPlan(p, nil)
	}
	tell("entries are in the order of the configuration", order)
	pattern := newReport("plan")
	pattern.AddPlan(&transfer.Plan{
		Job:      transfer.Job{Entry: "web", Source: reference.Reference{Registry: "a.b", Repository: "c"}},
		Warnings: []warning.Warning{{Err: errors.New("the pattern \"9.*\" fits no tag")}},
	}, nil)
	tell("a selection without a tag", pattern)
	early := planned("plan", asked)
	early.NotStart("", 0, true)
	tell("a plan that ended early", early)
	for _, rest := range []report.NotStarted{
		{Tags: 120, Entries: 3}, {Tags: 1, Entries: 1}, {Tags: 2, Entries: 1, Unlisted: true}, {Entries: 2, Unlisted: true},
	} {
		r := newReport("sync")
		r.NotStarted = &rest
		tell("a run that ended early", r)
	}
	golden.Text(t, texts.String())
}

// What is unchanged is told while a run goes on, too: why it was not checked, or which signature completed it.
func TestOutcomeOfUnchanged(t *testing.T) {
	s := &story{t: t}
	job := s.job("nginx:1.25", "localhost:5000/nginx:1.25")
	var lines strings.Builder
	for _, d := range []transfer.DestinationResult{
		{Rule: transfer.Rule{Kind: transfer.RuleCopied}}, {Rule: transfer.Rule{Kind: transfer.RuleSeen}}, {Referrers: 1}, {},
	} {
		d.Reference, d.Action, d.Digest = job.Destinations[0], transfer.ActionUnchanged, manifest(1).Digest
		lines.WriteString(outcome(job, d, false) + "\n")
	}
	golden.File(t, "outcomes", lines.String())
}
