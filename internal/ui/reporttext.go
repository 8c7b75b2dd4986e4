package ui

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteText writes the report for people: what changed and what did not work, each with
// its cause and the next step, then the sums.
func (r *Report) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w) // keeps the first error for Flush
	r.writeItems(out)
	r.writeSums(out)
	return out.Flush()
}

func (r *Report) writeItems(out *bufio.Writer) {
	entry := ""
	hinted := map[string]bool{}
	for _, item := range r.Items {
		var told strings.Builder
		for _, to := range item.Destinations {
			if to.line == "" {
				continue
			}
			told.WriteString(to.line + "\n")
			if to.Error != nil {
				told.WriteString("  " + to.Error.cause() + "\n")
				if hint := to.Error.Hint; hint != "" && !hinted[hint] {
					hinted[hint] = true
					told.WriteString("  hint: " + hint + "\n")
				}
			}
		}
		for _, text := range item.Warnings {
			told.WriteString("warning: " + item.familiar + ": " + text + "\n")
		}
		if told.Len() > 0 && item.Entry != entry {
			entry = item.Entry
			fmt.Fprintf(out, "%s:\n", entry)
		}
		fmt.Fprint(out, told.String())
	}
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
		what Status
	}{
		{c.Copied, StatusCopied}, {c.Unchanged, StatusUnchanged}, {c.Skipped, StatusSkipped},
		{c.Deferred, StatusDeferred}, {c.Failed, StatusFailed},
	} {
		if part.n > 0 {
			fmt.Fprintf(out, "%s%d %s", separator, part.n, part.what)
			separator = ", "
		}
	}
	fmt.Fprintf(out, " in %s\n", elapsed(r.Run.Ended.Sub(r.Run.Started)))
	r.writeBytes(out)
	r.writeRequests(out)
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
