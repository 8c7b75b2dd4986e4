package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in one file.
type Problem struct {
	Position
	// Message says what is wrong; Suggestion, where there is one, what to write instead.
	Message, Suggestion string
	// Excerpt is the line and, under it, a caret; secrets in it are masked. It is empty
	// where there is no line to show.
	Excerpt string
}

// String is the problem as a person reads it, in up to four lines.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", p.Position, p.Message)
	if p.Suggestion != "" {
		fmt.Fprintf(&b, "; %s", p.Suggestion)
	}
	if p.Excerpt != "" {
		b.WriteString("\n" + p.Excerpt)
	}
	return b.String()
}

// Errors are all mistakes of all files, in the order of files and lines. It is never empty.
type Errors struct {
	Problems []Problem
	// More is how many there are besides; they are counted only.
	More int
}

// Error gives all of them, one after the other.
func (e *Errors) Error() string {
	texts := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		texts = append(texts, p.String())
	}
	if e.More > 0 {
		texts = append(texts, fmt.Sprintf("and %d more mistakes", e.More))
	}
	return strings.Join(texts, "\n")
}

// maxProblems is how many are told in full; nobody reads more.
const maxProblems = 1000

// problems collects mistakes; the same one at the same place counts once.
type problems struct {
	list []Problem
	seen map[string]bool
	// files has each file's rank, for the order.
	files map[string]int
	more  int // those past maxProblems
	// tried counts all that were added, also again: it grows while something wrong is read.
	tried int
}

func newProblems() *problems {
	return &problems{seen: map[string]bool{}, files: map[string]int{}}
}

// add records a mistake. src may be nil where there is no text to show.
func (p *problems) add(src *source, at Position, message, suggestion string) {
	p.tried++
	problem := Problem{Position: at, Message: message, Suggestion: suggestion}
	key := at.String() + "\x00" + message
	if p.seen[key] {
		return
	}
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.seen[key] = true
	if _, known := p.files[at.File]; !known {
		p.files[at.File] = len(p.files)
	}
	if src != nil && at.Line > 0 && len(src.line(at.Line)) <= longLine {
		if suggestion == "" {
			problem.Suggestion = lookalikes(src, at.Line)
		}
		problem.Excerpt = excerpt(src, at)
	}
	p.list = append(p.list, problem)
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(p.files[a.File], p.files[b.File]),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
	return &Errors{Problems: p.list, More: p.more}
}

var _ error = (*Errors)(nil)
