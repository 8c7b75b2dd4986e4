package ui

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/transfer"
)

// WriteText writes the report for people, grouped by entry: what changed, what did not work
// with its cause and the next step, what was left as it is and why; then the sums. Many
// that were skipped by one rule are one line with the first names, unless all is set.
func (r *Report) WriteText(w io.Writer, all bool) error {
	out := bufio.NewWriter(w) // keeps the first error for Flush
	hinted := hinting{}
	for items := range chunks(r.Items, func(a, b ReportItem) bool { return a.Entry == b.Entry }) {
		section := reportSection{all: all, hinted: hinted}
		section.add(items)
		section.write(out, items[0].Entry)
	}
	r.writeSums(out)
	if all && r.LimitedBy != "" {
		fmt.Fprintf(out, "limited by: %s\n", Clean(r.LimitedBy))
	}
	return out.Flush()
}

// chunks yields the runs of neighbours that belong together.
func chunks[T any](items []T, together func(a, b T) bool) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for start, i := 0, 1; start < len(items); i++ {
			if i == len(items) || !together(items[start], items[i]) {
				if !yield(items[start:i]) {
					return
				}
				start = i
			}
		}
	}
}

// reportSection is what is told of one entry.
type reportSection struct {
	all    bool
	hinted hinting
	lines  []reportLine
	widest int
}

// reportLine is a word, what it is about, and what is to be said of that.
type reportLine struct {
	word, about, text string
	// more are lines below it.
	more []string
}

func (s *reportSection) add(items []ReportItem) {
	left := newGroups(s.all)
	for _, item := range items {
		for i := range item.Destinations {
			s.destination(&item.Destinations[i], left)
		}
		for _, text := range item.Warnings {
			s.lines = append(s.lines, reportLine{word: "warning", about: item.familiar + ": " + text})
		}
	}
	for _, group := range left.list {
		s.lines = append(s.lines, reportLine{word: group.word, about: group.text()})
	}
}

func (s *reportSection) destination(to *ReportDestination, left *groups) {
	switch {
	case to.between == "":
	case to.Status == StatusFailed:
		s.lines = append(s.lines, reportLine{word: string(to.Status), about: to.between, more: s.cause(to.Error)})
	case to.Status == StatusSkipped || to.Status == StatusDeferred:
		left.add(string(to.Status), to.rule, to.Reason, to.between)
	default:
		s.widest = max(s.widest, width(to.between))
		s.lines = append(s.lines, reportLine{word: verb(to.Status, to.Action, to.Referrers), about: to.between, text: to.change()})
	}
}

// cause is the cause of a failure and, for the first one that it helps, the next step.
func (s *reportSection) cause(problem *Problem) []string {
	lines := []string{problem.cause()}
	if hint := s.hinted.first(problem); hint != "" {
		lines = append(lines, "hint: "+hint)
	}
	return lines
}

// wordColumn is as wide as the longest word, with a blank.
const wordColumn = len(StatusUnchanged) + 1

func (s *reportSection) write(out *bufio.Writer, entry string) {
	if len(s.lines) == 0 {
		return
	}
	indent := ""
	if entry != "" {
		fmt.Fprintf(out, "%s:\n", entry)
		indent = "  "
	}
	for _, line := range s.lines {
		text := line.about
		if line.text != "" {
			text = padRight(line.about, s.widest) + "  " + line.text
		}
		fmt.Fprintln(out, indent+padRight(line.word, wordColumn)+text)
		for _, text := range line.more {
			fmt.Fprintln(out, indent+padRight("", wordColumn)+text)
		}
	}
}

// change is what a tag points at now, and what came with it.
func (d *ReportDestination) change() string {
	text := shortDigest(digest.Digest(d.Digest))
	if d.Action == transfer.ActionMove && d.Previous != "" {
		text = shortDigest(digest.Digest(d.Previous)) + arrow + text
	}
	if d.Referrers > 0 {
		text += " with " + Referrers(d.Referrers)
	}
	return text
}

// cause is the message, after the side where the message does not begin with it.
func (p *Problem) cause() string {
	if p.Side == "" || strings.HasPrefix(p.Message, string(p.Side)) {
		return p.Message
	}
	return fmt.Sprintf("%s: %s", p.Side, p.Message)
}

func (r *Report) writeSums(out *bufio.Writer) {
	c := r.Counts
	fmt.Fprintf(out, "%s, %s", counted(c.Tags, "tag"), counted(c.Images, "image"))
	separator := ": "
	for _, part := range []struct {
		n    int
		what string
	}{
		{c.Copied, string(StatusCopied)}, {c.Unchanged, string(StatusUnchanged) + notAsked(c.NotAsked, c.Trusted, c.Unchanged)},
		{c.Skipped, string(StatusSkipped)}, {c.Deferred, string(StatusDeferred)}, {c.Failed, string(StatusFailed)},
	} {
		if part.n > 0 {
			fmt.Fprintf(out, "%s%d %s", separator, part.n, part.what)
			separator = ", "
		}
	}
	if c.Referrers > 0 {
		fmt.Fprint(out, separator, Referrers(c.Referrers), " copied")
		separator = ", "
	}
	if c.Refused > 0 {
		fmt.Fprint(out, separator, notAccepted(c.Refused))
	}
	fmt.Fprintf(out, " in %s\n", elapsed(r.Run.Ended.Sub(r.Run.Started)))
	if r.NotBegun != nil {
		fmt.Fprintln(out, r.NotBegun)
	}
	r.writeBytes(out)
	r.writeRequests(out)
}

// String tells what was left out: "stopped early: 120 tags of 3 entries were not begun".
func (n ReportRest) String() string {
	entries := counted(n.Entries, "entry")
	if n.Entries != 1 {
		entries = fmt.Sprintf("%d entries", n.Entries)
	}
	switch n.Tags {
	case 0:
		return "stopped early: not all repositories of " + entries + " were listed"
	case 1:
		return "stopped early: 1 tag of " + entries + " was not begun" + n.more()
	default:
		return fmt.Sprintf("stopped early: %d tags of %s were not begun%s", n.Tags, entries, n.more())
	}
}

func (n ReportRest) more() string {
	if n.Unlisted {
		return ", and not all repositories were listed"
	}
	return ""
}

func (r *Report) writeBytes(out *bufio.Writer) {
	b := r.Bytes
	if b == (ReportBytes{}) {
		return
	}
	fmt.Fprintf(out, "%s read", HumanSize(b.Read))
	if b.Reread > 0 {
		fmt.Fprintf(out, " (%s of it twice)", HumanSize(b.Reread))
	}
	fmt.Fprintf(out, ", %s sent", HumanSize(b.Sent))
	if b.Resent > 0 {
		fmt.Fprintf(out, " (%s of it twice)", HumanSize(b.Resent))
	}
	if saved := b.Mounted + b.Skipped; saved > 0 {
		fmt.Fprintf(out, ", %s saved (%s mounted, %s there already)",
			HumanSize(saved), HumanSize(b.Mounted), HumanSize(b.Skipped))
	}
	fmt.Fprintln(out)
}

func (r *Report) writeRequests(out *bufio.Writer) {
	if len(r.Requests) == 0 {
		return
	}
	var parts []string
	for _, host := range slices.Sorted(maps.Keys(r.Requests)) {
		parts = append(parts, fmt.Sprintf("%s %d", Clean(host), r.Requests[host]))
	}
	fmt.Fprintf(out, "requests: %s\n", strings.Join(parts, ", "))
}
