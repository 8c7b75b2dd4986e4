package tags

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// Verdict is what was decided about one tag.
type Verdict struct {
	Tag      string
	Selected bool
	// Rule says why, for people: "included by `1.2*`", "pre-release, and the range names
	// none". Of several blocks that all leave a tag out, it is the rule of the one that came
	// closest to taking it.
	Rule string
}

// Choice is what was decided about the tags of a repository.
type Choice struct {
	// Verdicts has every tag once: the literal ones in the file's order, listed or not,
	// then the others, sorted.
	Verdicts []Verdict
	// Idle names what matches nothing and is probably a mistake.
	Idle []string
	// ByAge is how many tags only their age keeps out: that passes, and is no mistake.
	ByAge int
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

// Choose decides about every tag of a listing. now is what ages are counted back from; ages
// is asked only where the selector has such a rule ([Selector.NeedsCreated],
// [Selector.NeedsPushed]), about no more tags than decide, of those that all other rules
// take, and once about each; it may be nil elsewhere. Its error fails the choice. Tags that
// hold signatures are never selected.
func (s Selector) Choose(ctx context.Context, listed []string, ages Ages, now time.Time) (Choice, error) {
	choice := s.named()
	candidates, attached := sift(listed, choice.Verdicts)
	answers := make([][]decision, len(s))
	asked := newInquiry(ages, now)
	for i, b := range s {
		var err error
		if answers[i], err = b.decide(ctx, candidates, asked); err != nil {
			return Choice{}, err
		}
	}
	others := attached
	for i, c := range candidates {
		closest := best(answers, i)
		if closest.at == atAge {
			choice.ByAge++
		}
		others = append(others, closest.verdict(c.tag))
	}
	slices.SortFunc(others, func(a, b Verdict) int { return strings.Compare(a.Tag, b.Tag) })
	choice.Verdicts = append(choice.Verdicts, others...)
	choice.Idle = append(choice.Idle, s.idle(listed, candidates, answers)...)
	return choice, nil
}

// named is the choice of the tags that are included by name.
func (s Selector) named() Choice {
	var choice Choice
	literals, _ := s.Literals()
	for _, tag := range literals {
		if content.IsAttachedTag(tag) {
			choice.Idle = append(choice.Idle, fmt.Sprintf("the tag %s is left out: it goes with its image", tag))
			continue
		}
		choice.Verdicts = append(choice.Verdicts, Verdict{Tag: tag, Selected: true, Rule: "included by name"})
	}
	return choice
}

// candidate is a tag that the blocks decide about.
type candidate struct {
	tag       string
	version   Version
	isVersion bool
}

// sift makes candidates of a listing, each once, of all tags that are not decided already.
// Those that belong to images are.
func sift(listed []string, decided []Verdict) (candidates []candidate, attached []Verdict) {
	seen := make(map[string]bool, len(listed))
	for _, v := range decided {
		seen[v.Tag] = true
	}
	for _, tag := range listed {
		switch {
		case seen[tag]:
			continue
		case content.IsAttachedTag(tag):
			attached = append(attached, Verdict{Tag: tag, Rule: "tag of a signature: goes with its image"})
		default:
			version, isVersion := ParseVersion(tag)
			candidates = append(candidates, candidate{tag, version, isVersion})
		}
		seen[tag] = true
	}
	return candidates, attached
}

// decision is how far a tag got in a block, and by which rule no further.
type decision struct {
	at   step
	rule string
}

// step is a step of a block's decision.
type step int

// The steps, in their order.
const (
	atInclude step = iota
	atExclude
	atSemver
	atNoAge // nobody states one
	atAge
	atNewest
	taken
)

func (d decision) verdict(tag string) Verdict {
	return Verdict{Tag: tag, Selected: d.at == taken, Rule: d.rule}
}

// best is the decision of the block that came closest to taking the i-th candidate. Without
// blocks, all are taken.
func best(answers [][]decision, i int) decision {
	if len(answers) == 0 {
		return decision{taken, "all tags are taken"}
	}
	closest := answers[0][i]
	for _, other := range answers[1:] {
		if other[i].at > closest.at {
			closest = other[i]
		}
	}
	return closest
}
