package ui

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/transfer"
)

// WriteText writes the plan for people, grouped by entry: "+" is added, "~" is moved, "="
// is right already and only counted unless all is set or there is a referrer to copy, "!"
// is refused by a rule or cannot be done. Many that one rule refuses are one line unless all
// is set.
func (p *Plan) WriteText(w io.Writer, all bool) error {
	out := bufio.NewWriter(w) // keeps the first error for Flush
	hinted := hinting{}
	for i := range p.Entries {
		p.Entries[i].write(out, all, hinted)
	}
	fmt.Fprintln(out, p.sums())
	if p.Partial {
		fmt.Fprintln(out, "stopped early: there may be more")
	}
	return out.Flush()
}

func (p *Plan) sums() string {
	title := "plan"
	if p.Schema == DiffSchema {
		title = "diff"
	}
	c := p.Counts
	text := fmt.Sprintf("%s: %d to add, %d to move, %d unchanged", title, c.Add, c.Move, c.Unchanged) +
		notAsked(c.NotAsked, 0, c.Unchanged)
	if c.Skipped > 0 {
		text += fmt.Sprintf(", %d skipped", c.Skipped)
	}
	if c.Failed > 0 {
		text += fmt.Sprintf(", %d failed", c.Failed)
	}
	if c.Referrers > 0 {
		text += "; " + toCopy(c.Referrers)
	}
	if c.Refused > 0 {
		text += "; " + notAccepted(c.Refused)
	}
	if p.Bytes > 0 {
		text += fmt.Sprintf("; at most %s (mount, else send)", HumanSize(p.Bytes))
	}
	return text
}

func (e *PlanEntry) write(out *bufio.Writer, all bool, hinted hinting) {
	lines := e.lines(all, hinted)
	indent := ""
	if e.Name != "" && len(lines) > 0 {
		fmt.Fprintf(out, "%s:\n", e.Name)
		indent = "  "
	}
	for _, line := range lines {
		fmt.Fprintln(out, indent+line)
	}
}

func (e *PlanEntry) lines(all bool, hinted hinting) []string {
	widest := 0
	for i := range e.Items {
		if e.Items[i].need() != "" {
			widest = max(widest, width(e.Items[i].between))
		}
	}
	var lines []string
	refused := newGroups(all)
	rest := e.Counts.Unchanged
	for i := range e.Items {
		switch item := &e.Items[i]; {
		case item.skipped():
			refused.add("!", item.rule, item.Reason, item.between)
		case all || !item.kept():
			lines = append(lines, item.text(widest, hinted))
			if item.unchanged() {
				rest--
			}
		}
	}
	if rest > 0 {
		lines = append(lines, fmt.Sprintf("= %d unchanged", rest)+notAsked(e.Counts.NotAsked, 0, rest))
	}
	for _, group := range refused.list {
		lines = append(lines, "! skipped "+group.text())
	}
	for _, problem := range e.Errors {
		lines = append(lines, "! "+hinted.text(problem))
	}
	for _, text := range e.Warnings {
		lines = append(lines, "! warning: "+text)
	}
	return lines
}

func (i *PlanItem) skipped() bool { return i.Error == nil && i.Action == transfer.ActionSkip }

func (i *PlanItem) pending() bool {
	return i.Error == nil && (i.Action == transfer.ActionAdd || i.Action == transfer.ActionMove)
}

// unchanged reports whether the image is right already.
func (i *PlanItem) unchanged() bool { return i.Error == nil && !i.skipped() && !i.pending() }

// kept reports whether there is nothing to do and nothing to tell.
func (i *PlanItem) kept() bool { return i.unchanged() && i.Referrers == 0 }

func (i *PlanItem) text(widest int, hinted hinting) string {
	switch {
	case i.Error != nil:
		return "! " + i.between + ": " + hinted.text(i.Error)
	case i.kept():
		return "= " + i.between + because(i.Reason)
	}
	sign := "+ "
	switch {
	case i.unchanged():
		sign = "= "
	case i.Action == transfer.ActionMove:
		sign = "~ "
	}
	return sign + padRight(i.between, widest) + "  " + i.need()
}

// need is what an image needs at its place; empty where that is nothing.
func (i *PlanItem) need() string {
	if i.Error != nil || i.skipped() || i.kept() {
		return ""
	}
	var parts []string
	if i.Action == transfer.ActionMove {
		parts = append(parts, shortDigest(digest.Digest(i.Previous))+arrow+shortDigest(digest.Digest(i.Digest)))
	}
	switch {
	case i.Blobs > 0:
		parts = append(parts, counted(i.Blobs, "blob"), "at most "+HumanSize(i.Bytes))
	case i.pending():
		parts = append(parts, "no blobs")
	}
	switch {
	case i.Referrers > 0 && i.pending():
		parts = append(parts, Referrers(i.Referrers))
	case i.Referrers > 0:
		parts = append(parts, toCopy(i.Referrers))
	}
	return strings.Join(parts, ", ")
}

// toCopy tells of signatures and other referrers that a destination is to get.
func toCopy(referrers int) string { return Referrers(referrers) + " to copy" }

// hinting remembers the hints that were given: hundreds of tags may want the same one.
type hinting map[string]bool

// first is the hint of a problem if it was not given yet, else empty.
func (h hinting) first(p *Problem) string {
	if h[p.Hint] {
		return ""
	}
	h[p.Hint] = true
	return p.Hint
}

// text is the cause and, for the first problem that it helps, the next step.
func (h hinting) text(p *Problem) string {
	hint := h.first(p)
	if hint == "" {
		return p.cause()
	}
	return strings.TrimSuffix(p.cause(), ".") + " (" + hint + ")"
}
