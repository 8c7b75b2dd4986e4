package ui

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// WriteExplanation writes an explanation for people. files are the configuration.
func WriteExplanation(w io.Writer, e *report.Explanation, files string) error {
	out := bufio.NewWriter(w) // keeps the first error for Flush
	ref := safe.Clean(e.Ref.Familiar())
	if len(e.Findings) == 0 {
		fmt.Fprintf(out, "%s is not copied: no entry of %s matches it\n", ref, safe.Clean(files))
	}
	for _, n := range e.Near {
		fmt.Fprintf(out, "  %s: %s names %s, which %s\n", safe.Clean(n.At), safe.Clean(n.Entry), safe.Clean(n.From.Familiar()), nearText(n.Kind))
	}
	at := ""
	for _, f := range e.Findings {
		head := fmt.Sprintf("%s (%s at %s):\n", safe.Clean(f.Entry), safe.Clean(f.From.Familiar()), safe.Clean(f.At))
		if !e.Whole || head != at {
			at = head
			fmt.Fprint(out, head)
		}
		writeFinding(out, &f, e.Whole)
	}
	return out.Flush()
}

// nearText says how a source differs from the subject of the explanation.
func nearText(kind report.NearKind) string {
	switch kind {
	case report.NearTag:
		return "is another tag of the repository"
	case report.NearRegistry:
		return "is at another registry"
	default:
		return "has the same name in another repository path"
	}
}

// writeFinding writes a finding; whole: it is one of all tags of a repository, and neither side was checked.
func writeFinding(out *bufio.Writer, f *report.Finding, whole bool) {
	image := safe.Clean(f.Image.Familiar())
	switch {
	case f.Error != nil:
		fmt.Fprintf(out, "  error: %s\n", safe.Clean(f.Error.Message))
		if f.Error.Hint != "" {
			fmt.Fprintf(out, "  hint: %s\n", safe.Clean(f.Error.Hint))
		}
		return
	case f.Selected:
		fmt.Fprintf(out, "  %s is selected: %s\n", image, safe.Clean(f.Rule))
	default:
		fmt.Fprintf(out, "  %s is not selected: %s\n", image, safe.Clean(f.Rule))
	}
	if whole {
		for i := range f.Copies {
			if reason := leftReason(&f.Copies[i]); reason != "" {
				fmt.Fprintf(out, "    not written to %s: %s\n", safe.Clean(f.Copies[i].Reference.Familiar()), reason)
			}
		}
		return
	}
	widest := width(image)
	for _, to := range f.Copies {
		widest = max(widest, width(safe.Clean(to.Reference.Familiar())))
	}
	fmt.Fprintf(out, "  source       %s  %s\n", padRight(image, widest), holdingText(f.Source))
	for i := range f.Copies {
		to := &f.Copies[i]
		fmt.Fprintf(out, "  destination  %s  %s%s\n", padRight(safe.Clean(to.Reference.Familiar()), widest), holdingText(to.Holding), because(nextText(to)))
	}
	for _, w := range f.Warnings {
		fmt.Fprintf(out, "  warning: %s\n", safe.Clean(w.Text))
	}
	for _, hint := range hintsOf(f) {
		fmt.Fprintf(out, "  hint: %s\n", hint)
	}
}

// hintsOf returns the next steps where a side cannot be checked, each once.
func hintsOf(f *report.Finding) []string {
	var hints []string
	add := func(p *report.Problem) {
		if p == nil || p.Hint == "" {
			return
		}
		if hint := safe.Clean(p.Hint); !slices.Contains(hints, hint) {
			hints = append(hints, hint)
		}
	}
	add(f.Source.Error)
	for i := range f.Copies {
		add(f.Copies[i].Error)
	}
	return hints
}

// leftReason is why a run does not write an image to a destination; empty if it may.
func leftReason(to *report.CopyFinding) string {
	switch {
	case to.Undecided != nil:
		return fmt.Sprintf("deferred: %s (entry %s) has precedence and could not be listed", safe.Clean(to.Undecided.Source.Familiar()), safe.Clean(to.Undecided.Entry))
	case to.First != nil:
		return fmt.Sprintf("entry %s writes %s to this tag", safe.Clean(to.First.Entry), safe.Clean(to.First.Source.Familiar()))
	default:
		return ""
	}
}

// nextText is what a run would do at a destination; empty if that is not known.
func nextText(to *report.CopyFinding) string {
	switch reason := leftReason(to); {
	case reason != "":
		return reason
	case to.Rule != nil && to.Rule.Kind == transfer.RuleCopied:
		return "immutable, copied in an earlier run: would be checked only with --recheck"
	case to.Action == transfer.ActionAdd:
		return "would be added (" + shortDigest(to.Image) + ")"
	case to.Action == transfer.ActionMove:
		return "would be moved to " + shortDigest(to.Image)
	case to.Action == transfer.ActionSkip:
		return "would be skipped: " + ruleText(to.Rule)
	case to.Action == transfer.ActionUnchanged:
		return "up to date"
	case to.Action == transfer.ActionKeep:
		return "not found at the source: would be kept"
	default:
		return ""
	}
}

// holdingText returns what a side has.
func holdingText(h report.Holding) string {
	switch {
	case h.Error != nil && h.Error.Status != http.StatusNotFound:
		return causeText(h.Error)
	case h.Digest == "":
		return "not found"
	default:
		return shortDigest(h.Digest)
	}
}
