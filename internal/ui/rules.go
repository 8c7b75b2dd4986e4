package ui

import (
	"fmt"
	"time"

	"github.com/regsync/regsync/pkg/transfer"
)

// ruleText returns the text of a rule, with what it was applied to if that is known; empty for no rule.
func ruleText(r transfer.Rule) string {
	switch r.Kind {
	case transfer.RuleImmutable:
		return "is immutable, and another image is there"
	case transfer.RuleCopied:
		return "is immutable and was copied before: not asked"
	case transfer.RuleSeen:
		return "was there in an earlier run, and verify is sampled: not checked at the destination"
	case transfer.RuleNever:
		return "already exists, and overwrite is never"
	case transfer.RuleNewer:
		return "the destination's image is newer" + newerText(r.Found) + ", and overwrite is newer"
	case transfer.RuleSameAge:
		return "the destination's image is just as new" + sameAgeText(r.Found) + ", and overwrite is newer"
	case transfer.RuleSourceUndated:
		return "the source's image does not say when it was created, and overwrite is newer"
	case transfer.RuleDestinationUndated:
		return "the destination's image does not say when it was created, and overwrite is newer"
	case transfer.RuleMaxSize:
		return sizeText(r.Limit, r.Found.Size)
	default:
		return Clean(string(r.Kind))
	}
}

func newerText(f transfer.Found) string {
	if f == (transfer.Found{}) {
		return ""
	}
	layout := time.DateOnly
	source, destination := f.SourceCreated.UTC(), f.DestinationCreated.UTC()
	if source.Format(layout) == destination.Format(layout) {
		layout = time.RFC3339
	}
	return fmt.Sprintf(" (created %s, the source's %s)", destination.Format(layout), source.Format(layout))
}

func sameAgeText(f transfer.Found) string {
	if f == (transfer.Found{}) {
		return ""
	}
	return fmt.Sprintf(" (created %s)", f.SourceCreated.UTC().Format(time.DateOnly))
}

// sizeText writes sizes in bytes if they would otherwise look equal.
func sizeText(limit, size int64) string {
	most, have := HumanSize(limit), HumanSize(size)
	switch {
	case size == 0:
		return "is more than maxSize " + most
	case have == most:
		return fmt.Sprintf("%dB is more than maxSize %dB", size, limit)
	default:
		return fmt.Sprintf("%s is more than maxSize %s", have, most)
	}
}
