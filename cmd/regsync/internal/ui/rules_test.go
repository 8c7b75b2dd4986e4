package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

func TestRuleText(t *testing.T) {
	at := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	noon := at("2025-12-01T14:00:00+02:00")
	var texts strings.Builder
	for _, rule := range []transfer.Rule{
		{Kind: transfer.RuleImmutable},
		{Kind: transfer.RuleSeen},
		{Kind: transfer.RuleSourceUndated},
		{Kind: transfer.RuleDestinationUndated},
		{Kind: transfer.RuleNewer, Found: transfer.Found{SourceCreated: noon, DestinationCreated: at("2026-01-02T00:00:00Z")}},
		{Kind: transfer.RuleNewer, Found: transfer.Found{SourceCreated: noon, DestinationCreated: noon.Add(time.Second)}},
		{Kind: transfer.RuleSameAge, Found: transfer.Found{SourceCreated: noon, DestinationCreated: noon}},
		{Kind: transfer.RuleMaxSize, Limit: 5_000_000_000, Found: transfer.Found{Size: 5_200_000_000}},
		{Kind: transfer.RuleMaxSize, Limit: 5_000_000_000, Found: transfer.Found{Size: 5_000_000_001}},
	} {
		text := ruleText(report.RuleOf(rule))
		rule.Found = transfer.Found{}
		fmt.Fprintf(&texts, "%s: %s\n", rule.Kind, text)
		if general := ruleText(report.RuleOf(rule)); general != text {
			fmt.Fprintf(&texts, "  without what was found: %s\n", general)
		}
	}
	golden.File(t, "rules", texts.String())
	if got := ruleText(nil); got != "" {
		t.Errorf("of no rule: %q", got)
	}
}
