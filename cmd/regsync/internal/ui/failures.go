package ui

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// namesOfGroup is how many members of a group are named.
const namesOfGroup = 3

// member is a tag that failed, was deferred or was skipped.
type member struct {
	entry string
	// source and destination are safe to print; destination is empty if the failure concerns several.
	source, destination string
	status              report.Status
	problem             *report.Problem
	rule                *report.Rule
}

// between names the copy.
func (m *member) between() string {
	if m.destination == "" {
		return m.source
	}
	return m.source + arrow + m.destination
}

// named is between, after the entry unless it has the name of the source.
func (m *member) named() string {
	if entry := safe.Clean(m.entry); entry != m.source {
		return entry + ": " + m.between()
	}
	return m.between()
}

// isDeferred reports whether the tag was left to the next run, and the cause is only that.
func (m *member) isDeferred() bool {
	return m.status == report.StatusDeferred && !m.problem.Interrupted
}

// membersOf returns the tags of an item that were not copied, each failure once.
func membersOf(item *report.Item) []member {
	var members []member
	source := safe.Clean(item.Image.Familiar())
	if item.Error != nil {
		m := member{entry: item.Entry, source: source, status: report.StatusFailed, problem: item.Error}
		if len(item.Destinations) == 1 {
			m.destination = safe.Clean(item.Destinations[0].Reference.Familiar())
		}
		members = append(members, m)
	}
	for i := range item.Destinations {
		to := &item.Destinations[i]
		failed := to.Status == report.StatusFailed && to.Error != nil // else the item has the error
		if failed || to.Status == report.StatusDeferred || to.Status == report.StatusSkipped {
			members = append(members, member{
				entry: item.Entry, source: source, destination: safe.Clean(to.Reference.Familiar()),
				status: to.Status, problem: to.Error, rule: to.Rule,
			})
		}
	}
	return members
}

// group is the tags that have one cause or rule in common.
type group struct {
	count   int
	members []member // the first few, at least one
	entries map[string]bool
	// address and hint are those of all members; empty if they differ.
	address, hint string
}

type groupKey struct {
	status report.Status
	cause  report.Cause
	rule   transfer.RuleKind
	limit  int64
	reason string // of a deferral, and of a cause that only the text tells
}

// groups are in the order of their first members.
type groups struct {
	apart bool // each member is a group of its own
	list  []*group
	index map[groupKey]*group
}

func (g *groups) add(m member) {
	key := groupKey{status: m.status}
	switch {
	case m.rule != nil:
		key.rule, key.limit = m.rule.Kind, m.rule.Limit
	case m.problem == nil:
	case m.isDeferred():
		key.reason = deferralText(m.problem)
	default:
		key.cause = m.problem.Cause
		if key.cause.Code == "" && key.cause.Status == 0 {
			key.reason = cmp.Or(m.problem.Reason, m.problem.Message)
		}
	}
	to := g.index[key]
	if to == nil || g.apart {
		to = &group{entries: map[string]bool{}}
		if m.problem != nil {
			to.address, to.hint = m.problem.Address, m.problem.Hint
		}
		g.index[key] = to
		g.list = append(g.list, to)
	}
	if m.problem != nil && m.problem.Address != to.address {
		to.address = ""
	}
	if m.problem != nil && m.problem.Hint != to.hint {
		to.hint = ""
	}
	to.count++
	to.entries[m.entry] = true
	if len(to.members) < namesOfGroup {
		to.members = append(to.members, m)
	}
}

// deferralText is why something is left to the next run: the same for all tags of one cause.
func deferralText(p *report.Problem) string {
	if p.Code == "UNDECIDED" { // of pkg/mirror; its message names the tag
		return p.Reason
	}
	return p.Message
}

// names lists the first members, by the side that the cause is of. listed says where all of them are.
func (g *group) names(listed string) string {
	names := make([]string, len(g.members))
	for i, m := range g.members {
		names[i] = m.destination
		if m.destination == "" || m.problem != nil && m.problem.Side == transfer.SideSource {
			names[i] = m.source
		}
	}
	return firstNames(names, g.count, listed)
}

// firstNames lists the first of so many names. listed says where all of them are.
func firstNames(names []string, total int, listed string) string {
	shown := names[:min(len(names), namesOfGroup)]
	text := strings.Join(shown, ", ")
	if rest := total - len(shown); rest > 0 {
		text += fmt.Sprintf(" … and %d more", rest)
		if listed != "" {
			text += " (" + listed + ")"
		}
	}
	return text
}

// Failure is a cause for which tags failed or were deferred, in words.
type Failure struct {
	Status report.Status
	// Text names the cause and how many tags there are or, of a single one, the copy and its error.
	Text string
	// Names lists the first tags; empty for a single one, which Text names or, of a deferral, counts.
	Names string
	Hint  string
	// Problem is that of the first tag.
	Problem *report.Problem
}

// Failures returns what failed and what was deferred, each cause once; hints are given once, too. With apart, each tag
// is printed. listed says where all tags are listed, as "all in the report"; empty if nowhere.
func Failures(r *report.Report, apart bool, listed string) []Failure {
	all := groups{apart: apart, index: map[groupKey]*group{}}
	for i := range r.Items {
		for _, m := range membersOf(&r.Items[i]) {
			if m.status != report.StatusSkipped {
				all.add(m)
			}
		}
	}
	var failures []Failure
	hinted := map[string]bool{}
	for _, g := range all.list {
		f := Failure{Status: g.members[0].status, Problem: g.members[0].problem}
		if hint := safe.Clean(g.hint); hint != "" && !hinted[hint] {
			hinted[hint], f.Hint = true, hint
		}
		if f.Text = g.cause(); g.count > 1 || apart && f.Status == report.StatusDeferred {
			f.Names = g.names(listed)
		}
		failures = append(failures, f)
	}
	return failures
}

// cause is what a group of failures or deferrals has in common.
func (g *group) cause() string {
	first := g.members[0]
	message, tags := safe.Clean(first.problem.Message), counted(g.count, "tag")
	deferred := first.isDeferred()
	if deferred && g.count > 1 {
		message = safe.Clean(deferralText(first.problem))
	}
	switch {
	case g.count == 1 && first.entry == "":
		return message
	case deferred && first.entry == "":
		return fmt.Sprintf("%s (%s not copied)", message, tags)
	case deferred && len(g.entries) > 1:
		return fmt.Sprintf("%s of %d entries: %s", tags, len(g.entries), message)
	case deferred:
		return fmt.Sprintf("%s: %s: %s", safe.Clean(first.entry), tags, message)
	case g.count == 1:
		// The line names both images already.
		for _, name := range []string{first.source, first.destination} {
			message = strings.Replace(message, " "+name+": ", ": ", 1)
		}
		return first.named() + ": " + message
	}
	reason, host := causeText(first.problem), safe.Clean(first.problem.Host)
	if first.problem.Code == report.CodeNoPlatform { // of the images, and no fault of their registry
		host = ""
	}
	if host != "" && g.address != "" && g.address != host {
		reason = host + " (" + safe.Clean(g.address) + "): " + reason
	} else if host != "" {
		reason = host + ": " + reason
	}
	return fmt.Sprintf("%s (%s not copied)", reason, tags)
}

// Cause returns the cause of an error in few words: "connection refused".
func Cause(err error) string { return causeText(report.NewProblem(err, nil)) }

// causeText puts a cause into words, without the image and the URL.
func causeText(p *report.Problem) string {
	text := map[string]string{
		report.CodeConnectionRefused: "connection refused",
		report.CodeConnectionClosed:  "connection closed",
		report.CodeUnreachable:       "no route to the host",
		report.CodeUnknownHost:       "no such host",
		report.CodeTimeout:           "timeout",
		report.CodeCertificate:       "the certificate is not trusted",
		report.CodeNotTLS:            "the server does not use TLS",
		report.CodeNoSpace:           "no space left on the disk",
		report.CodeReadOnly:          "read-only, or permission denied, on this machine",
		report.CodeNotFound:          "not found",
		report.CodeUnauthorized:      "not logged in",
		report.CodeDenied:            "permission denied",
		report.CodeMismatch:          "the content does not match its digest",
		report.CodeInvalid:           "invalid content",
		report.CodeNoPlatform:        "platform not found",
		report.CodeUnsupported:       "not supported",
	}[p.Code]
	if p.Status == 0 && text != "" {
		return text
	}
	return cmp.Or(safe.Clean(p.Reason), text, safe.Clean(strings.TrimSpace(p.StatusText()+" "+p.Code)), safe.Clean(p.Message))
}

// Outcome is the last line about a run that failed: "13 of 16 tags failed, 2 deferred to the next run"; empty if nothing did.
func Outcome(c report.Counts) string {
	switch {
	case c.Failed == 0 && c.Deferred == 0:
		return ""
	case c.Failed == 0:
		return fmt.Sprintf("%d of %d tags deferred to the next run", c.Deferred, c.Tags)
	case c.Deferred == 0:
		return fmt.Sprintf("%d of %d tags failed", c.Failed, c.Tags)
	default:
		return fmt.Sprintf("%d of %d tags failed, %d deferred to the next run", c.Failed, c.Tags, c.Deferred)
	}
}
