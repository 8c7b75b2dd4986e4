package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxProblems is how many are described; a reader does not need more.
const maxProblems = 1000

// Problem is one mistake in one file.
type Problem struct {
	Position
	// Message says what is wrong; Suggestion, if there is one, what to write instead.
	Message, Suggestion string
	// Excerpt is the line and, under it, a caret; secrets in it are masked. It is empty
	// where there is no line to show.
	Excerpt string
}

// String is the problem in up to four lines.
func (p Problem) String() string {
	text := fmt.Sprintf("%s: %s", p.Position, p.Message)
	if p.Suggestion != "" {
		text += "; " + p.Suggestion
	}
	if p.Excerpt != "" {
		text += "\n" + p.Excerpt
	}
	return text
}

// Errors are all mistakes of all files, in the order of files and lines. It is never empty.
type Errors struct {
	Problems []Problem
	// More is how many there are beyond the first thousand; they are only counted.
	More int
}

var _ error = (*Errors)(nil)

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

// Problems collects problems. The zero value is ready to use.
type Problems struct {
	list  []Problem
	seen  map[Problem]bool
	files []string // in their order
	more  int
	added int
}

// Add adds a problem. The same message at the same place counts once.
func (p *Problems) Add(src *Source, at Position, message, suggestion string) {
	p.added++
	key := Problem{Position: at, Message: message}
	switch {
	case p.seen[key]:
		return
	case len(p.list) == maxProblems:
		p.more++
		return
	case p.seen == nil:
		p.seen = map[Problem]bool{}
	}
	p.seen[key] = true
	if !slices.Contains(p.files, at.File) {
		p.files = append(p.files, at.File)
	}
	problem := Problem{Position: at, Message: message, Suggestion: suggestion}
	if len(src.line(at.Line)) <= longLine {
		problem.Suggestion = cmp.Or(suggestion, src.Lookalike(at.Line))
		problem.Excerpt = src.excerpt(at)
	}
	p.list = append(p.list, problem)
}

// Added is how many problems were added so far, repeated ones included: it grows while
// something wrong is read.
func (p *Problems) Added() int { return p.added }

// Err is an [*Errors], or nil if there is no problem.
func (p *Problems) Err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(slices.Index(p.files, a.File), slices.Index(p.files, b.File)),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
		)
	})
	return &Errors{Problems: p.list, More: p.more}
}
