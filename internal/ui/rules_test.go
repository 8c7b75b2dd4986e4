package ui

import (
	"testing"
	"time"

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
	for _, test := range []struct {
		rule          transfer.Rule
		text, general string // general is the text without what was found
	}{
		{rule: transfer.Rule{}},
		{
			rule:    transfer.Rule{Kind: transfer.RuleImmutable},
			text:    "is immutable, and another image is there",
			general: "is immutable, and another image is there",
		},
		{
			rule:    transfer.Rule{Kind: transfer.RuleSeen},
			text:    "was there in an earlier run, and verify is sampled: not checked at the destination",
			general: "was there in an earlier run, and verify is sampled: not checked at the destination",
		},
		{
			rule:    transfer.Rule{Kind: transfer.RuleSourceUndated},
			text:    "the source's image does not say when it was created, and overwrite is newer",
			general: "the source's image does not say when it was created, and overwrite is newer",
		},
		{
			rule:    transfer.Rule{Kind: transfer.RuleDestinationUndated},
			text:    "the destination's image does not say when it was created, and overwrite is newer",
			general: "the destination's image does not say when it was created, and overwrite is newer",
		},
		{
			rule:    transfer.Rule{Kind: transfer.RuleNewer, Found: transfer.Found{SourceCreated: noon, DestinationCreated: at("2026-01-02T00:00:00Z")}},
			text:    "the destination's image is newer (created 2026-01-02, the source's 2025-12-01), and overwrite is newer",
			general: "the destination's image is newer, and overwrite is newer",
		},
		{ // on one day
			rule:    transfer.Rule{Kind: transfer.RuleNewer, Found: transfer.Found{SourceCreated: noon, DestinationCreated: noon.Add(time.Second)}},
			text:    "the destination's image is newer (created 2025-12-01T12:00:01Z, the source's 2025-12-01T12:00:00Z), and overwrite is newer",
			general: "the destination's image is newer, and overwrite is newer",
		},
		{
			rule:    transfer.Rule{Kind: transfer.RuleSameAge, Found: transfer.Found{SourceCreated: noon, DestinationCreated: noon}},
			text:    "the destination's image is just as new (created 2025-12-01), and overwrite is newer",
			general: "the destination's image is just as new, and overwrite is newer",
		},
		{
			rule:    transfer.Rule{Kind: transfer.RuleMaxSize, Limit: 5_000_000_000, Found: transfer.Found{Size: 5_200_000_000}},
			text:    "5.2GB is more than maxSize 5GB",
			general: "is more than maxSize 5GB",
		},
		{
			rule:    transfer.Rule{Kind: transfer.RuleMaxSize, Limit: 5_000_000_000, Found: transfer.Found{Size: 5_000_000_001}},
			text:    "5000000001B is more than maxSize 5000000000B",
			general: "is more than maxSize 5GB",
		},
	} {
		if got := ruleText(test.rule); got != test.text {
			t.Errorf("got %q, want %q", got, test.text)
		}
		test.rule.Found = transfer.Found{}
		if got := ruleText(test.rule); got != test.general {
			t.Errorf("without what was found: got %q, want %q", got, test.general)
		}
	}
}

// Two limits are two rules, also where they look the same.
func TestGroupsOfLimits(t *testing.T) {
	g := newGroups(false)
	for size, limit := range []int64{5_000_000_000, 5_000_000_001, 5_000_000_000} {
		rule := transfer.Rule{Kind: transfer.RuleMaxSize, Limit: limit, Found: transfer.Found{Size: 6_000_000_000 + int64(size)}}
		g.add("skipped", rule, ruleText(rule), "a -> b")
	}
	if len(g.list) != 2 || g.list[0].count != 2 || g.list[1].count != 1 {
		t.Errorf("got %d groups, want 2", len(g.list))
	}
}
