package ui

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// Detail is how much a report for people says of tags without problems.
type Detail int

// The details.
const (
	Summary    Detail = iota // how many there are
	Changes                  // what changed or, in a plan, would change
	Everything               // also each tag that has its rule, its cause or its warning in common with others
)

// WriteReport writes a report for people: for each entry what changed, what was left as it is and why, and warnings; then
// what failed, by cause; then the sums. listed is that of [Failures].
func WriteReport(w io.Writer, r *report.Report, detail Detail, listed string) error {
	out := bufio.NewWriter(w) // keeps the first error for Flush
	t := &reportText{report: r, changes: detail >= Changes, all: detail == Everything}
	for entry, items := range byEntry(r) {
		t.section(entry, items)
		t.write(out, entry.Name)
	}
	t.lines = nil
	for _, f := range Failures(r, t.all, listed) {
		line := reportLine{word: t.word(string(f.Status), "!"), about: f.Text}
		if f.Names != "" {
			line.more = append(line.more, f.Names)
		}
		if f.Hint != "" {
			line.more = append(line.more, "hint: "+f.Hint)
		}
		t.lines = append(t.lines, line)
	}
	t.write(out, "")
	if r.IsPlan() {
		fmt.Fprintln(out, planSums(r))
	} else {
		writeSums(out, r)
	}
	if t.all && r.LimitedBy != "" {
		fmt.Fprintf(out, "limited by: %s\n", safe.Clean(r.LimitedBy))
	}
	return out.Flush()
}

// byEntry yields the items of each entry; those of no entry come last.
func byEntry(r *report.Report) iter.Seq2[report.Entry, []*report.Item] {
	return func(yield func(report.Entry, []*report.Item) bool) {
		items := map[string][]*report.Item{}
		for i := range r.Items {
			items[r.Items[i].Entry] = append(items[r.Items[i].Entry], &r.Items[i])
		}
		for _, entry := range append(slices.Clone(r.Entries), report.Entry{}) {
			if entry.Name == "" && len(r.Entries) == 0 {
				entry.Counts = r.Counts
			}
			if !yield(entry, items[entry.Name]) {
				return
			}
		}
	}
}

// reportText collects the lines of one section after the other.
type reportText struct {
	report       *report.Report
	changes, all bool
	lines        []reportLine
	widest       int
}

// reportLine is a word, what it is about, and what there is to say about that.
type reportLine struct {
	word, about, text string
	more              []string // lines below it
}

// section collects the lines of one entry: what changed, what a rule left as it is, and warnings.
func (t *reportText) section(entry report.Entry, items []*report.Item) {
	t.lines, t.widest = nil, 0
	skipped := groups{apart: t.all, index: map[groupKey]*group{}}
	var warned warnings
	unchanged := entry.Counts.Unchanged // without a line
	for _, item := range items {
		for n := range item.Destinations {
			if t.destination(item, &item.Destinations[n]) && item.Destinations[n].Status == report.StatusUnchanged {
				unchanged--
			}
		}
		for _, m := range membersOf(item) {
			if m.status == report.StatusSkipped {
				skipped.add(m)
			}
		}
		for _, w := range item.Warnings {
			warned.add(safe.Clean(item.Image.Familiar()), w.Data, safe.Clean(w.Text), t.all)
		}
	}
	if t.report.IsPlan() && unchanged > 0 {
		t.lines = append(t.lines, reportLine{
			word: "=", about: fmt.Sprintf("%d unchanged", unchanged) + notChecked(entry.Counts.Immutable, 0, unchanged),
		})
	}
	for _, g := range skipped.list {
		t.lines = append(t.lines, reportLine{word: t.word("skipped", "! skipped"), about: t.skipped(g)})
	}
	for _, g := range warned.list {
		t.lines = append(t.lines, reportLine{word: t.word("warning", "! warning:"), about: g.text()})
	}
}

// word returns the word in the report of a run, or the sign for it in a plan.
func (t *reportText) word(word, sign string) string {
	if t.report.IsPlan() {
		return sign
	}
	return word
}

// destination adds the line of a destination, if it has one of its own.
func (t *reportText) destination(item *report.Item, to *report.Destination) bool {
	if !t.changes {
		return false
	}
	line := reportLine{about: Between(item.Image, to.Reference)}
	switch to.Status {
	case report.StatusPending:
		line.word = "+"
		if to.Action == transfer.ActionMove {
			line.word = "~"
		}
		line.text = need(to)
	case report.StatusCopied, report.StatusKept:
		line.word, line.text = verb(to.Status, to.Action), change(to)
	case report.StatusUnchanged:
		switch {
		case to.Referrers > 0:
			line.word, line.text = t.word(string(to.Status), "="), t.word(change(to), need(to))
		case t.all && t.report.IsPlan():
			line.word = "="
			line.about += because(ruleText(to.Rule))
		default:
			return false
		}
	default:
		return false
	}
	if line.text != "" {
		t.widest = max(t.widest, width(line.about))
	}
	t.lines = append(t.lines, line)
	return true
}

// skipped returns the one tag with the rule, or how many there are, the rule, and the first names.
func (t *reportText) skipped(g *group) string {
	if g.count == 1 {
		return g.members[0].between() + because(ruleText(g.members[0].rule))
	}
	rule := &report.Rule{Kind: g.members[0].rule.Kind, Limit: g.members[0].rule.Limit}
	return fmt.Sprintf("%d%s: %s", g.count, because(ruleText(rule)), g.names(""))
}

func (t *reportText) write(out *bufio.Writer, entry string) {
	if len(t.lines) == 0 {
		return
	}
	indent := ""
	if entry != "" {
		fmt.Fprintf(out, "%s:\n", safe.Clean(entry))
		indent = "  "
	}
	column := len("unchanged ") // the longest word
	if t.report.IsPlan() {
		column = len("+ ")
	}
	for _, line := range t.lines {
		text := line.about
		if line.text != "" {
			text = padRight(line.about, t.widest) + "  " + line.text
		}
		word := padRight(line.word, column)
		if !strings.HasSuffix(word, " ") {
			word += " "
		}
		fmt.Fprintln(out, indent+word+text)
		for _, text := range line.more {
			fmt.Fprintln(out, indent+padRight("", column)+text)
		}
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// change returns what a tag points at now, and what was copied with it.
func change(to *report.Destination) string {
	text := shortDigest(digest.Digest(to.Digest))
	if to.Action == transfer.ActionMove && to.Previous != "" {
		text = shortDigest(digest.Digest(to.Previous)) + arrow + text
	}
	return text + withReferrers(to.Status, to.Referrers)
}

// withReferrers names the referrers that were copied: with the image, or although the image was up to date.
func withReferrers(status report.Status, n int) string {
	switch {
	case n == 0:
		return ""
	case status == report.StatusUnchanged:
		return " (" + Referrers(n) + " copied)"
	default:
		return " with " + Referrers(n)
	}
}

// need returns what an image needs at its destination.
func need(to *report.Destination) string {
	var parts []string
	if to.Action == transfer.ActionMove {
		parts = append(parts, shortDigest(digest.Digest(to.Previous))+arrow+shortDigest(digest.Digest(to.Digest)))
	}
	pending := to.Status == report.StatusPending
	switch {
	case to.Blobs > 0:
		parts = append(parts, counted(to.Blobs, "blob"), "up to "+HumanSize(to.Bytes.Planned))
	case pending:
		parts = append(parts, "no blobs")
	}
	switch {
	case to.Referrers > 0 && pending:
		parts = append(parts, Referrers(to.Referrers))
	case to.Referrers > 0:
		parts = append(parts, Referrers(to.Referrers)+" to copy")
	}
	return strings.Join(parts, ", ")
}

func planSums(r *report.Report) string {
	c := r.Counts
	parts := append([]string{
		fmt.Sprintf("%d to add", c.Add), fmt.Sprintf("%d to move", c.Move),
		fmt.Sprintf("%d unchanged", c.Unchanged) + notChecked(c.Immutable, 0, c.Unchanged),
	}, notCopied(c)...)
	text := r.Command + ": " + strings.Join(parts, ", ")
	if c.Referrers > 0 {
		text += "; " + Referrers(c.Referrers) + " to copy"
	}
	if c.NotAccepted > 0 {
		text += "; " + notAccepted(c.NotAccepted)
	}
	if r.Bytes.Planned > 0 {
		text += fmt.Sprintf("; up to %s to upload", HumanSize(r.Bytes.Planned))
	}
	if r.NotStarted != nil {
		text += "\nstopped early: the plan is incomplete"
	}
	return text
}

// count is a number and the word for what it counts.
type count struct {
	n    int
	what string
}

// counts returns the texts of the numbers that are not zero: "3 failed".
func counts(all ...count) (texts []string) {
	for _, c := range all {
		if c.n > 0 {
			texts = append(texts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return texts
}

// notCopied returns the numbers of tags that were neither copied nor up to date.
func notCopied(c report.Counts) []string {
	return counts(count{c.Kept, "kept"}, count{c.Skipped, "skipped"}, count{c.Deferred, "deferred"}, count{c.Failed, "failed"})
}

func writeSums(out *bufio.Writer, r *report.Report) {
	c := r.Counts
	copied := "copied"
	if c.WithoutAttestations > 0 {
		copied += fmt.Sprintf(" (%d without attestations)", c.WithoutAttestations)
	}
	parts := counts(count{c.Copied, copied}, count{c.Unchanged, "unchanged" + notChecked(c.Immutable, c.Trusted, c.Unchanged)})
	parts = append(parts, notCopied(c)...)
	if c.Referrers > 0 {
		parts = append(parts, Referrers(c.Referrers)+" copied")
	}
	if c.NotAccepted > 0 {
		parts = append(parts, notAccepted(c.NotAccepted))
	}
	fmt.Fprintf(out, "%s, %s", counted(c.Tags, "tag"), counted(c.Images, "image"))
	if len(parts) > 0 {
		fmt.Fprint(out, ": ", strings.Join(parts, ", "))
	}
	fmt.Fprintf(out, " in %s\n", elapsed(r.Run.Ended.Sub(r.Run.Started)))
	if r.NotStarted != nil {
		fmt.Fprintln(out, NotStarted(*r.NotStarted))
	}
	writeBytes(out, r.Bytes)
	if len(r.Requests) > 0 {
		var parts []string
		for _, host := range slices.Sorted(maps.Keys(r.Requests)) {
			parts = append(parts, fmt.Sprintf("%s %d", safe.Clean(host), r.Requests[host]))
		}
		fmt.Fprintf(out, "requests: %s\n", strings.Join(parts, ", "))
	}
}

// NotStarted returns what a run left out: "stopped early: 120 tags of 3 entries were not started".
func NotStarted(n report.NotStarted) string {
	entries := "1 entry"
	if n.Entries != 1 {
		entries = fmt.Sprintf("%d entries", n.Entries)
	}
	if n.Tags == 0 {
		return "stopped early: not all repositories of " + entries + " were listed"
	}
	were := "were"
	if n.Tags == 1 {
		were = "was"
	}
	text := fmt.Sprintf("stopped early: %s of %s %s not started", counted(n.Tags, "tag"), entries, were)
	if n.Unlisted {
		text += ", and not all repositories were listed"
	}
	return text
}

func writeBytes(out *bufio.Writer, b report.Bytes) {
	if b == (report.Bytes{}) {
		return
	}
	repeated := func(bytes int64, what string) string {
		if bytes == 0 {
			return ""
		}
		return fmt.Sprintf(" (%s %s)", HumanSize(bytes), what)
	}
	fmt.Fprintf(out, "%s read%s, %s sent%s", HumanSize(b.Read), repeated(b.Reread, "reread"), HumanSize(b.Sent), repeated(b.Resent, "resent"))
	if shared := b.Mounted + b.Skipped; shared > 0 {
		fmt.Fprintf(out, "; shared layers: %s not sent again", HumanSize(shared))
	}
	fmt.Fprintln(out)
}

// verb returns the first word of the line for a destination.
func verb(status report.Status, action transfer.Action) string {
	switch {
	case status == report.StatusCopied && action == transfer.ActionMove:
		return "moved"
	case status == report.StatusCopied:
		return "added"
	default:
		return string(status)
	}
}

// notChecked says how many of the unchanged tags were not checked: immutable ones at neither side, trusted ones not at the
// destination: " (4 immutable, not checked; 90 not checked at the destination, verify: sampled)".
func notChecked(immutable, trusted, unchanged int) string {
	const ofImmutable, ofTrusted = "immutable, not checked", "not checked at the destination, verify: sampled"
	switch {
	case immutable+trusted == 0:
		return ""
	case immutable == unchanged:
		return " (" + ofImmutable + ")"
	case trusted == unchanged:
		return " (" + ofTrusted + ")"
	}
	return " (" + strings.Join(counts(count{immutable, ofImmutable}, count{trusted, ofTrusted}), "; ") + ")"
}
