package ui

import (
	"bufio"
	"fmt"
	"io"

	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// ExplainSchema names the format of an explanation as JSON, which is kept: fields are added,
// never changed or removed.
const ExplainSchema = "regsync.explain/v1"

// Explanation is why an image is copied or not. Make it with [NewExplanation].
type Explanation struct {
	Schema   string           `json:"schema"`
	Ref      string           `json:"ref"`
	Findings []ExplainFinding `json:"findings"`
	// Near are sources that come close, where there is no finding.
	Near []ExplainNear `json:"near,omitempty"`
}

// ExplainNear is a source that comes close to an image which the configuration does not name.
type ExplainNear struct {
	Entry string `json:"entry"`
	At    string `json:"at"`
	From  string `json:"from"`
	// Kind is in what it differs.
	Kind mirror.NearKind `json:"kind"`
}

// text says in what a source differs from ref.
func (n ExplainNear) text(ref string) string {
	switch n.Kind {
	case mirror.NearTag:
		return fmt.Sprintf("%s names %s, which is another tag of the repository", n.Entry, n.From)
	case mirror.NearRegistry:
		return fmt.Sprintf("%s names %s, which is at another registry", n.Entry, n.From)
	default:
		return fmt.Sprintf("%s names %s, which ends as %s does", n.Entry, n.From, ref)
	}
}

// ExplainFinding is what one source of an entry has to do with the image.
type ExplainFinding struct {
	Entry string `json:"entry"`
	// At is where the source stands: FILE:LINE:COLUMN.
	At   string `json:"at"`
	From string `json:"from"`
	// Selected says whether the entry takes the image, and Rule why, or why not.
	Selected     bool            `json:"selected"`
	Rule         string          `json:"rule,omitempty"`
	Error        *report.Problem `json:"error,omitempty"`
	Source       ExplainSide     `json:"source"`
	Destinations []ExplainSide   `json:"destinations"`
	Warnings     []string        `json:"warnings,omitempty"`

	image, from string
	whole       bool // one of all tags of a repository: no side was asked
}

// ExplainSide is what one side has. Digest is empty where there is nothing.
type ExplainSide struct {
	Ref    string `json:"ref"`
	Digest string `json:"digest,omitempty"`
	// Image is what a destination is to get, Action what a run would do there.
	Image  string          `json:"image,omitempty"`
	Action transfer.Action `json:"action,omitempty"`
	// Reason is the rule by which it is skipped, or what is written there instead.
	Reason string          `json:"reason,omitempty"`
	Error  *report.Problem `json:"error,omitempty"`

	familiar, text string
}

// NewExplanation takes what was found about ref, as people write it. hints may be nil.
func NewExplanation(ref string, found *mirror.Explanation, hints report.Hints) *Explanation {
	e := &Explanation{Schema: ExplainSchema, Ref: Clean(ref), Findings: []ExplainFinding{}}
	for _, f := range found.Findings {
		finding := explainFinding(f, hints)
		finding.whole = found.Whole
		e.Findings = append(e.Findings, finding)
	}
	for _, n := range found.Near {
		e.Near = append(e.Near, ExplainNear{Entry: Clean(n.Entry), At: Clean(n.Position.String()), From: name(n.From), Kind: n.Kind})
	}
	return e
}

func explainFinding(f mirror.Finding, hints report.Hints) ExplainFinding {
	finding := ExplainFinding{
		Entry: Clean(f.Entry), At: Clean(f.Position.String()), From: name(f.From),
		Selected: f.Selected, Rule: Clean(f.Rule), Error: report.NewProblem(f.Err, hints),
		Source: ExplainSide{
			Ref: name(f.Image), Digest: Clean(f.Source.Digest.String()), Error: report.NewProblem(f.Source.Err, hints),
			familiar: Clean(f.Image.Familiar()), text: held(f.Source),
		},
		Destinations: []ExplainSide{},
		image:        Clean(f.Image.Familiar()), from: Clean(f.From.Familiar()),
	}
	for _, c := range f.Copies {
		finding.Destinations = append(finding.Destinations, explainCopy(c, hints))
	}
	for _, w := range f.Warnings {
		finding.Warnings = append(finding.Warnings, WarningText(w))
	}
	return finding
}

func explainCopy(c mirror.CopyFinding, hints report.Hints) ExplainSide {
	to := ExplainSide{
		Ref: name(c.Reference), Digest: Clean(c.Digest.String()), Image: Clean(c.Image.String()),
		Action: c.Action, Reason: ruleText(report.RuleOf(c.Rule)), Error: report.NewProblem(c.Err, hints),
		familiar: Clean(c.Reference.Familiar()), text: held(c.Holding),
	}
	switch {
	case c.Undecided != nil:
		to.Reason = Message(c.Undecided.Error())
		to.text += ": " + to.Reason
	case c.First != nil:
		to.Reason = fmt.Sprintf("%s is written there, by the entry %s", Clean(c.First.First.Familiar()), Clean(c.First.Entry))
		to.text += ": " + to.Reason
	case c.Rule.Kind == transfer.RuleCopied:
		to.Reason = "it is immutable and was copied before, so a run checks it only with --recheck"
		to.text += ": " + to.Reason
	case c.Action == transfer.ActionAdd:
		to.text += ": a run adds " + shortDigest(c.Image)
	case c.Action == transfer.ActionMove:
		to.text += ": a run moves it to " + shortDigest(c.Image)
	case c.Action == transfer.ActionSkip:
		to.text += ": left as it is: " + to.Reason
	case c.Action == transfer.ActionUnchanged:
		to.text += ": as it is to be"
	}
	return to
}

// held tells what a side has.
func held(h mirror.Holding) string {
	switch {
	case h.Err != nil:
		return Message(h.Err.Error())
	case h.Digest == "":
		return "nothing there"
	default:
		return shortDigest(h.Digest)
	}
}

// WriteJSON writes the explanation as one indented document.
func (e *Explanation) WriteJSON(w io.Writer) error { return WriteJSON(w, e) }

// WriteText writes the explanation for people. files are where was looked.
func (e *Explanation) WriteText(w io.Writer, files string) error {
	out := bufio.NewWriter(w) // keeps the first error for Flush
	if len(e.Findings) == 0 {
		fmt.Fprintf(out, "%s is not copied: no entry of %s names it\n", e.Ref, Clean(files))
	}
	for _, n := range e.Near {
		fmt.Fprintf(out, "  %s: %s\n", n.At, n.text(e.Ref))
	}
	at := ""
	for _, f := range e.Findings {
		if head := fmt.Sprintf("%s (%s at %s):\n", f.Entry, f.from, f.At); !f.whole || head != at {
			at = head
			fmt.Fprint(out, head)
		}
		f.write(out)
	}
	return out.Flush()
}

func (f ExplainFinding) write(out *bufio.Writer) {
	switch {
	case f.Error != nil:
		fmt.Fprintf(out, "  not known: %s\n", Clean(f.Error.Message))
		if f.Error.Hint != "" {
			fmt.Fprintf(out, "  hint: %s\n", Clean(f.Error.Hint))
		}
		return
	case f.Selected:
		fmt.Fprintf(out, "  %s is taken: %s\n", f.image, f.Rule)
	default:
		fmt.Fprintf(out, "  %s is left out: %s\n", f.image, f.Rule)
	}
	if f.whole {
		for _, to := range f.Destinations {
			if to.Reason != "" {
				fmt.Fprintf(out, "    not written to %s: %s\n", to.familiar, to.Reason)
			}
		}
		return
	}
	widest := width(f.Source.familiar)
	for _, to := range f.Destinations {
		widest = max(widest, width(to.familiar))
	}
	fmt.Fprintf(out, "  source       %s  %s\n", padRight(f.Source.familiar, widest), f.Source.text)
	for _, to := range f.Destinations {
		fmt.Fprintf(out, "  destination  %s  %s\n", padRight(to.familiar, widest), to.text)
	}
	for _, text := range f.Warnings {
		fmt.Fprintf(out, "  warning: %s\n", text)
	}
}
