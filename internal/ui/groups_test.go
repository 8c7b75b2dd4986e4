package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/transfer"
)

// A rule is told once, also where what it found at each tag is another: `overwrite: newer`
// has two dates for each, and filled a report with hundreds of lines every night.
func TestOneRuleIsToldOnce(t *testing.T) {
	s := &story{t: t}
	report, plan := NewReport("1", time.Now(), ReportOptions{}), NewPlan(PlanOptions{})
	for i := 1; i <= 4; i++ {
		job := s.job(fmt.Sprintf("nginx:1.%d", i), fmt.Sprintf("a.corp/nginx:1.%d", i))
		rule := transfer.Rule{Kind: transfer.RuleNewer, Found: transfer.Found{
			SourceCreated: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), DestinationCreated: time.Date(2025, 1, i, 0, 0, 0, 0, time.UTC),
		}}
		report.Add(&transfer.Result{Job: job, Destinations: []transfer.DestinationResult{{
			Reference: job.Destinations[0], Action: transfer.ActionSkip, Rule: rule,
		}}})
		plan.Add(&transfer.Plan{Job: job, Destinations: []transfer.DestinationPlan{{
			Reference: job.Destinations[0], Action: transfer.ActionSkip, Rule: rule,
		}}}, nil)
	}
	grouped := "4: the destination's image is newer, and overwrite is newer (a.corp/nginx:1.1, a.corp/nginx:1.2, a.corp/nginx:1.3 and 1 more)\n"
	apart := "nginx:1.2 -> a.corp/nginx:1.2: the destination's image is newer (created 2025-01-02, the source's 2024-01-01), and overwrite is newer\n"
	for what, text := range map[string]func(all bool) string{
		"report": func(all bool) string { return reportText(t, report, all) },
		"plan":   func(all bool) string { return planText(t, plan, all) },
	} {
		if got := text(false); !strings.Contains(got, grouped) || strings.Contains(got, "created") {
			t.Errorf("%s: got\n%swant in it\n%s", what, got, grouped)
		}
		if got := text(true); !strings.Contains(got, apart) || strings.Contains(got, grouped) {
			t.Errorf("%s: got\n%swant in it\n%s", what, got, apart)
		}
	}
}
