package ui

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// planStory is the story's plan, and an entry more: a second place that needs a blob of the
// same registry, which counts once, one that may not be written to, tags that rules leave as
// they are, and a repository that cannot be listed.
func planStory(t *testing.T) *Plan {
	t.Helper()
	_, plan := told(t)
	s := &story{t: t}
	second := s.plan(s.job("nginx:1.25", "harbor.corp:5443/other/web:1"), 1, transfer.ActionAdd, blob(1, 40e6))
	second.Job.Entry = "other"
	second.Destinations[0].Referrers = 1
	second.Warnings = []warning.Warning{{Kind: warning.PlatformsMissing, Missing: []string{"linux/arm64"}, Offered: []string{"linux/amd64"}}}
	second.Destinations = append(second.Destinations, transfer.DestinationPlan{
		Reference: ref(t, "localhost:5000/web:1"), Action: transfer.ActionNone,
		Err: &transfer.Error{Side: transfer.SideDestination, Reference: ref(t, "localhost:5000/web:1"), Err: errDenied},
	})
	plan.Add(second, nil)
	for i := range 5 {
		plan.Add(skippedPlan(s, fmt.Sprintf("1.%d", i), transfer.Rule{Kind: transfer.RuleNever}), nil)
	}
	plan.Add(skippedPlan(s, "big", transfer.Rule{Kind: transfer.RuleMaxSize, Limit: 5e9, Found: transfer.Found{Size: 12e9}}), nil)
	plan.Add(nil, errors.New("list tags of ghost: \x1b[2Jnot found"))
	return plan
}

func skippedPlan(s *story, tag string, rule transfer.Rule) *transfer.Plan {
	p := s.plan(s.job("nginx:"+tag, "harbor.corp:5443/other/web:"+tag), 1, transfer.ActionSkip)
	p.Job.Entry = "other"
	p.Destinations[0].Rule = rule
	return p
}

func planText(t *testing.T, p *Plan, all bool) string {
	t.Helper()
	var out strings.Builder
	if err := p.WriteText(&out, all); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPlanText(t *testing.T) {
	plan := planStory(t)
	for _, all := range []bool{false, true} {
		checkGolden(t, fmt.Sprintf("plan-all-%v", all), planText(t, plan, all))
	}
	var out strings.Builder
	if err := plan.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "plan.json", out.String())
}

// A diff is the same under its own name.
func TestDiff(t *testing.T) {
	diff := planStory(t)
	diff.Schema = DiffSchema
	checkGolden(t, "diff", planText(t, diff, false))
	var out strings.Builder
	if err := diff.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "diff.json", out.String())
}

// A signature that was made after its image was mirrored is all that a run has to do: the
// plan says so, with a line of its own, whether or not all is asked for.
func TestPlanTellsOfReferrers(t *testing.T) {
	s := &story{t: t}
	signed := s.plan(s.job("nginx:1.25", "localhost:5000/nginx:1.25"), 1, transfer.ActionUnchanged)
	signed.Destinations[0].Referrers = 2
	plan := NewPlan(PlanOptions{Schema: DiffSchema, Changes: true})
	plan.Add(signed, nil)
	plan.Add(s.plan(s.job("nginx:1.26", "localhost:5000/nginx:1.26"), 1, transfer.ActionUnchanged), nil)
	if !plan.Counts.Pending() || plan.Counts.Referrers != 2 || plan.Entries[0].Counts.Referrers != 2 {
		t.Errorf("got %+v and %+v, want 2 referrers", plan.Counts, plan.Entries[0].Counts)
	}
	const want = "web:\n  = nginx:1.25 -> localhost:5000/nginx:1.25  2 referrers to copy\n  = 1 unchanged\n" +
		"diff: 0 to add, 0 to move, 2 unchanged; 2 referrers to copy\n"
	for _, all := range []bool{false, true} {
		if got := planText(t, plan, all); got != want {
			t.Errorf("all %v: got %q, want %q", all, got, want)
		}
	}
}

// Immutable tags that are remembered are not told as if they had been asked for.
func TestPlanTellsWhatWasNotAsked(t *testing.T) {
	s := &story{t: t}
	for _, changes := range []bool{false, true} {
		plan := NewPlan(PlanOptions{Changes: changes})
		for i := range 3 {
			p := s.plan(s.job("nginx:1.25", fmt.Sprintf("localhost:5000/nginx:%d", i)), 1, transfer.ActionUnchanged)
			if i > 0 {
				p.Destinations[0].Rule = transfer.Rule{Kind: transfer.RuleCopied}
			}
			plan.Add(p, nil)
		}
		const want = "web:\n  = 3 unchanged (2 of them immutable, not asked)\n" +
			"plan: 0 to add, 0 to move, 3 unchanged (2 of them immutable, not asked)\n"
		if got := planText(t, plan, false); got != want {
			t.Errorf("changes %v: got %q, want %q", changes, got, want)
		}
		if changes {
			continue
		}
		if got := plan.Entries[0].Items[1].Reason; got != reasonNotAsked {
			t.Errorf("the document says %q, want %q", got, reasonNotAsked)
		}
		line := "  = nginx:1.25 -> localhost:5000/nginx:2: " + reasonNotAsked + "\n"
		if got := planText(t, plan, true); !strings.Contains(got, line) || strings.Contains(got, "= 1 unchanged") {
			t.Errorf("got %q, want it to have %q", got, line)
		}
	}
}

// What a rule holds back, or what failed, is nothing to do.
func TestPlanPending(t *testing.T) {
	s := &story{t: t}
	job := s.job("nginx:1.25", "localhost:5000/nginx:1.25")
	for action, want := range map[transfer.Action]bool{
		transfer.ActionAdd: true, transfer.ActionMove: true,
		transfer.ActionUnchanged: false, transfer.ActionSkip: false, transfer.ActionNone: false,
	} {
		plan := NewPlan(PlanOptions{})
		p := s.plan(job, 1, action)
		if action == transfer.ActionNone {
			p.Destinations[0].Err = errDenied
		}
		if action == transfer.ActionNone || action == transfer.ActionSkip {
			p.Destinations[0].Referrers = 1 // which are not copied either
		}
		plan.Add(p, nil)
		if got := plan.Counts.Pending(); got != want {
			t.Errorf("%s: pending %v, want %v", action, got, want)
		}
	}
}

func TestPlanOfNothing(t *testing.T) {
	plan := NewPlan(PlanOptions{Entries: []string{"web", "db"}})
	if got, want := planText(t, plan, false), "plan: 0 to add, 0 to move, 0 unchanged\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Entries that run side by side are told in the order of the configuration.
func TestPlanKeepsTheOrderOfEntries(t *testing.T) {
	s := &story{t: t}
	plan := NewPlan(PlanOptions{Entries: []string{"zoo", "app"}})
	for _, entry := range []string{"app", "zoo", "app"} {
		p := s.plan(s.job("nginx:1.25", "localhost:5000/nginx:1.25"), 1, transfer.ActionUnchanged)
		p.Job.Entry = entry
		plan.Add(p, nil)
	}
	const want = "zoo:\n  = 1 unchanged\napp:\n  = 2 unchanged\nplan: 0 to add, 0 to move, 3 unchanged\n"
	if got := planText(t, plan, false); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Of ten thousand tags that are right already a plan keeps the number.
func TestPlanOfChangesKeepsNoOthers(t *testing.T) {
	s := &story{t: t}
	plan := NewPlan(PlanOptions{Changes: true})
	for i := range 100 {
		to := s.job("nginx:1.25", fmt.Sprintf("localhost:5000/nginx:%d", i))
		plan.Add(s.plan(to, 1, transfer.ActionUnchanged), nil)
	}
	if e := plan.Entries[0]; len(e.Items) != 0 || e.Counts.Unchanged != 100 || plan.Counts.Unchanged != 100 {
		t.Errorf("%d items, %+v", len(e.Items), e.Counts)
	}
}

func TestPlanNeedsNoDestination(t *testing.T) {
	plan := NewPlan(PlanOptions{})
	plan.Add(&transfer.Plan{
		Job:      transfer.Job{Entry: "web", Source: reference.Reference{Registry: "a.b", Repository: "c"}},
		Warnings: []warning.Warning{{Err: errors.New("the pattern \"9.*\" fits no tag")}},
	}, nil)
	const want = "web:\n  ! warning: a.b/c: the pattern \"9.*\" fits no tag\nplan: 0 to add, 0 to move, 0 unchanged\n"
	if got := planText(t, plan, false); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
