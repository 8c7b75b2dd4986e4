package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// readEvents reads the lines of --progress json, each of which is one document that is safe to print.
func readEvents(t *testing.T, lines string) []report.Event {
	t.Helper()
	var events []report.Event
	for line := range strings.Lines(lines) {
		var e report.Event
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if at, err := time.Parse(time.RFC3339, e.Time); err != nil || at.IsZero() || e.Event == "" {
			t.Errorf("%s: event %q at %q, %v", line, e.Event, e.Time, err)
		}
		if line = strings.TrimSuffix(line, "\n"); line != safe.Clean(line) {
			t.Errorf("a terminal would obey %q", line)
		}
		events = append(events, e)
	}
	return events
}

func TestEvents(t *testing.T) {
	lines := show(t, JSON, Options{Images: 5, Hints: hintFor})
	golden.File(t, "events", lines)
	ended := map[string]int{}
	for _, e := range readEvents(t, lines) {
		if e.Event == "destination-done" {
			ended[e.Source+arrow+e.Destination]++
		}
	}
	for between, n := range ended {
		if n != 1 {
			t.Errorf("%s ends %d times", between, n)
		}
	}
	if len(ended) != 5 {
		t.Errorf("%d destinations end, want 5", len(ended))
	}
}

// What a rule leaves as it is has its reason in both events that tell of it.
func TestEventsTellTheRule(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(JSON, &out, Options{})
	s := &story{t: t, observe: p.Observe}
	plan := skippedPlan(s, "1.0", transfer.Rule{Kind: transfer.RuleNever})
	p.Observe(transfer.Planned{Plan: plan})
	r := transfer.DestinationResult{
		Reference: plan.Destinations[0].Reference, Action: transfer.ActionSkip, Rule: plan.Destinations[0].Rule,
	}
	p.Observe(transfer.DestinationDone{Job: plan.Job, Result: r})
	p.Close()
	want := ruleText(report.RuleOf(r.Rule))
	told := map[string]int{}
	for _, e := range readEvents(t, out.String()) {
		for _, to := range e.Destinations {
			e.Rule, e.Reason = to.Rule, to.Reason
		}
		if e.Rule != nil && e.Rule.Kind == transfer.RuleNever && e.Reason == want {
			told[e.Event]++
		}
	}
	if len(told) != 2 || told["planned"] != 1 || told["destination-done"] != 1 {
		t.Errorf("the rule is in %v", told)
	}
}

// A reader of stderr finds nothing but documents, also of commands without progress.
func TestAsideWritesEvents(t *testing.T) {
	var out strings.Builder
	aside := Aside{Out: &out}
	const evil = "it\nfailed\x1b[2J"
	aside.Warning(evil)
	aside.Error(report.NewProblem(errors.New(evil), func(error) string { return "do this" }))
	if _, err := aside.Write([]byte("one\ntwo\n")); err != nil {
		t.Fatal(err)
	}
	aside.Paused(Pause{Registry: "harbor.corp", Until: time.Now().Add(time.Minute), Status: 429})
	got := readEvents(t, out.String())
	var names []string
	for _, e := range got {
		names = append(names, e.Event)
		if e.Schema != report.EventSchema {
			t.Errorf("%s: schema %q", e.Event, e.Schema)
		}
	}
	if want := "warning error log log pause"; strings.Join(names, " ") != want {
		t.Fatalf("got %v, want %s", names, want)
	}
	// The texts are whole: who reads the documents gets what was said.
	if got[0].Text != evil || got[1].Error.Message != evil || got[1].Error.Hint != "do this" || got[3].Text != "two" {
		t.Errorf("got %q, %+v, %q", got[0].Text, got[1].Error, got[3].Text)
	}
	if got[4].Registry != "harbor.corp" || got[4].Code != 429 {
		t.Errorf("got %+v", got[4])
	}
}
