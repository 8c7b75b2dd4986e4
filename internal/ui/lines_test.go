package ui

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/transfer"
)

func TestJSONLines(t *testing.T) {
	checkGolden(t, "events", show(t, JSON, Options{Images: 5, Hints: hintFor}))
}

func TestJSONLinesAreDocuments(t *testing.T) {
	for line := range strings.Lines(show(t, JSON, Options{})) {
		var document struct {
			Time  time.Time
			Event string
		}
		if err := json.Unmarshal([]byte(line), &document); err != nil || document.Event == "" || document.Time.IsZero() {
			t.Errorf("%s: event %q at %v, %v", line, document.Event, document.Time, err)
		}
	}
}

// What a rule leaves as it is has its reason in both events that tell of it.
func TestJSONLinesTellTheRule(t *testing.T) {
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
	const reason = `"reason":"already exists, and overwrite is never"`
	for line := range strings.Lines(out.String()) {
		told := strings.Contains(line, `"event":"planned"`) || strings.Contains(line, `"event":"destination-done"`)
		if got := strings.Contains(line, `"action":"skip"`) && strings.Contains(line, reason); got != told {
			t.Errorf("the rule told: %v, want %v: %s", got, told, line)
		}
	}
}
