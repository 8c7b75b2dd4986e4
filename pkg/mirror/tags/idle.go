package tags

import (
	"fmt"
	"slices"
)

// idle tells of rules that match nothing, probably a mistake, and of a repository that has
// nothing to give.
func (s Selector) idle(listed []string, candidates []candidate, answers [][]decision) []string {
	if len(listed) == 0 {
		return []string{"the repository has no tags"}
	}
	var texts []string
	for i, b := range s {
		for _, p := range b.Include {
			if _, literal := p.Literal(); !literal && !slices.ContainsFunc(listed, p.Match) {
				texts = append(texts, fmt.Sprintf("%s matches none of the %d tags", p, len(listed)))
			}
		}
		if text := b.idleRange(answers[i]); text != "" {
			texts = append(texts, text)
			continue
		}
		texts = append(texts, b.idleVariants(candidates)...)
	}
	return texts
}

// idleRange tells of a range that takes none of the tags that come to it.
func (b Block) idleRange(decisions []decision) string {
	reached := 0
	for _, d := range decisions {
		if d.at > atSemver {
			return ""
		}
		if d.at == atSemver {
			reached++
		}
	}
	if b.Semver == nil || reached == 0 {
		return ""
	}
	return fmt.Sprintf("semver %s takes none of the %d tags", b.Semver, reached)
}

// idleVariants tells of variants that no tag has.
func (b Block) idleVariants(candidates []candidate) []string {
	var texts []string
	for _, p := range b.Variants {
		if !slices.ContainsFunc(candidates, func(c candidate) bool { return isVariant(p, c.version.Suffix()) }) {
			texts = append(texts, fmt.Sprintf("no tag is of the variant %s", p))
		}
	}
	return texts
}
