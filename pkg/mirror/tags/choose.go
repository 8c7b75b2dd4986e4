package tags

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// Verdict is what was decided about one tag.
type Verdict struct {
	Tag      string
	Selected bool
	// Rule says why, for people: "included by `1.2*`", "pre-release, and the range names none".
	Rule string
}

// Choice is what was decided about the tags of a repository.
type Choice struct {
	// Verdicts has every tag once: the literal ones in the file's order, listed or not,
	// then the others, sorted.
	Verdicts []Verdict
	// Idle names what matches nothing and is probably a mistake.
	Idle []string
}

// Selected are the tags that are wanted, in the order of the verdicts.
func (c Choice) Selected() []string {
	var names []string
	for _, v := range c.Verdicts {
		if v.Selected {
			names = append(names, v.Tag)
		}
	}
	return names
}

// Ages tells what the name of a tag does not.
type Ages interface {
	// Created is when the image says that it was made; the zero time where it does not.
	Created(ctx context.Context, tag string) (time.Time, error)
	// Pushed is when the tag was pushed. The error is a content.ErrUnsupported where the
	// registry does not tell.
	Pushed(ctx context.Context, tag string) (time.Time, error)
}

// Choose decides about every tag of a listing. now is what ages are counted back from; ages
// is asked only where the selector has such a rule, and only about tags that all other
// rules take. Tags that hold signatures are never selected.
func (s Selector) Choose(_ context.Context, listed []string, _ Ages, _ time.Time) (Choice, error) {
	var choice Choice
	seen := map[string]bool{}
	literals, _ := s.Literals()
	for _, tag := range literals {
		if content.IsAttachedTag(tag) {
			choice.Idle = append(choice.Idle, fmt.Sprintf("the tag %s is left out: it goes with its image", tag))
			continue
		}
		seen[tag] = true
		choice.Verdicts = append(choice.Verdicts, Verdict{Tag: tag, Selected: true, Rule: "included by name"})
	}
	sorted := slices.Sorted(slices.Values(listed))
	for _, tag := range slices.Compact(sorted) {
		if !seen[tag] && !content.IsAttachedTag(tag) {
			choice.Verdicts = append(choice.Verdicts, Verdict{Tag: tag, Selected: s.takes(tag)})
		}
	}
	choice.Idle = append(choice.Idle, s.idle(listed)...)
	return choice, nil
}

func (s Selector) takes(tag string) bool {
	return len(s) == 0 || slices.ContainsFunc(s, func(b Block) bool {
		return (len(b.Include) == 0 || matchAny(b.Include, tag)) && !matchAny(b.Exclude, tag)
	})
}

// idle tells of patterns that match nothing, probably a mistake, and of a repository that
// has nothing to give.
func (s Selector) idle(listed []string) []string {
	if len(s) == 0 && len(listed) == 0 {
		return []string{"the repository has no tags"}
	}
	var texts []string
	for _, b := range s {
		for _, p := range b.Include {
			if _, literal := p.Literal(); !literal && !slices.ContainsFunc(listed, p.Match) {
				texts = append(texts, fmt.Sprintf("%s matches none of the %d tags", p, len(listed)))
			}
		}
	}
	return texts
}
