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
// is right already and only counted unless all is set, "!" is in the way.
func (p *Plan) WriteText(w io.Writer, all bool) error {
	out := bufio.NewWriter(w) // keeps the first error for Flush
	for _, e := range p.Entries {
		e.write(out, all)
	}
	fmt.Fprintf(out, "plan: %d to add, %d to move, %d unchanged", p.Counts.Add, p.Counts.Move, p.Counts.Unchanged)
	if p.Counts.Failed > 0 {
		fmt.Fprintf(out, ", %d failed", p.Counts.Failed)
	}
	if p.Counts.Referrers > 0 {
		fmt.Fprintf(out, "; %s", whereMissing(p.Counts.Referrers))
	}
	if p.Bytes > 0 {
		fmt.Fprintf(out, "; at most %s (mount, else send)", HumanSize(p.Bytes))
	}
	fmt.Fprintln(out)
	return out.Flush()
}

func (e *PlanEntry) write(out *bufio.Writer, all bool) {
	indent := ""
	if e.Name != "" {
		fmt.Fprintf(out, "%s:\n", e.Name)
		indent = "  "
	}
	widest, along := 0, 0
	for _, item := range e.Items {
		switch {
		case item.pending():
			widest = max(widest, width(item.copy))
		case item.Error == nil:
			along += item.Referrers
		}
	}
	for _, item := range e.Items {
		if item.pending() || item.Error != nil || all {
			fmt.Fprintln(out, indent+item.text(widest))
		}
	}
	if !all && e.Counts.Unchanged > 0 {
		fmt.Fprintf(out, "%s= %d unchanged", indent, e.Counts.Unchanged)
		if along > 0 {
			fmt.Fprintf(out, ", %s", whereMissing(along))
		}
		fmt.Fprintln(out)
	}
	for _, problem := range e.Errors {
		fmt.Fprintln(out, indent+"! "+problem.text())
	}
	for _, text := range e.Warnings {
		fmt.Fprintln(out, indent+"! warning: "+text)
	}
}

func (i *PlanItem) pending() bool {
	return i.Error == nil && (i.Action == transfer.ActionAdd || i.Action == transfer.ActionMove)
}

func (i *PlanItem) text(widest int) string {
	switch {
	case i.Error != nil:
		return "! " + i.copy + ": " + i.Error.text()
	case !i.pending() && i.Referrers > 0:
		return "= " + i.copy + "  " + whereMissing(i.Referrers)
	case !i.pending():
		return "= " + i.copy
	}
	sign, what := "+ ", need(i.Blobs, i.Bytes)
	if i.Action == transfer.ActionMove {
		sign = "~ "
		what = shortDigest(digest.Digest(i.Previous)) + arrow + shortDigest(digest.Digest(i.Digest)) + ", " + what
	}
	if i.Referrers > 0 {
		what += ", " + counted(i.Referrers, "referrer")
	}
	return sign + padRight(i.copy, widest) + "  " + what
}

// need is what an image may need at a place.
func need(blobs int, bytes int64) string {
	if blobs == 0 {
		return "no blobs"
	}
	return counted(blobs, "blob") + ", at most " + HumanSize(bytes)
}

// whereMissing tells of signatures and other referrers. Whether a destination has them is
// asked when they are brought.
func whereMissing(referrers int) string { return counted(referrers, "referrer") + " where missing" }

// text is the cause and, where it is known, the next step.
func (p *Problem) text() string {
	if p.Hint == "" {
		return p.cause()
	}
	return strings.TrimSuffix(p.cause(), ".") + " (" + p.Hint + ")"
}
