package tags

import (
	"cmp"
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
	// Rule says why, for people: "included by `1.2*`", "pre-release (not named in the semver range)". If several blocks
	// exclude a tag, it is the rule of the block that applied the most rules before it excluded the tag.
	Rule string
	// Release is the release with which a floating tag is selected; empty for other tags.
	Release string
}

// Choice is what was decided about the tags of a repository.
type Choice struct {
	// Verdicts has every tag once: those that are included by name, in the order of the file and listed or not,
	// then the others, sorted.
	Verdicts []Verdict
	// Warnings are for people: rules that match nothing and are probably mistakes, tags that are excluded because
	// their age is not known, and integers that Newest counts separately.
	Warnings []string
	// TooOldOrYoung is how many tags are excluded only by their age.
	TooOldOrYoung int
	// AgeUnknown is how many tags are excluded because their age is not known.
	AgeUnknown int
}

// Selected returns the selected tags, in the order of the verdicts.
func (c Choice) Selected() []string {
	var names []string
	for _, v := range c.Verdicts {
		if v.Selected {
			names = append(names, v.Tag)
		}
	}
	return names
}

// Choose decides about every tag of a listing. Ages are counted back from now. Choose calls ages only for tags
// that all other rules select, as few of them as possible, and once for each; ages may be nil if no block has an
// age rule or orders by creation. An error of ages fails the choice. Signature tags are never selected.
func (s Selector) Choose(ctx context.Context, listed []string, ages Ages, now time.Time) (Choice, error) {
	var choice Choice
	literals, _ := s.Literals()
	for _, tag := range literals {
		if content.IsAttachedTag(tag) {
			choice.Warnings = append(choice.Warnings, fmt.Sprintf("the signature tag %s is ignored: it is copied with its image", tag))
			continue
		}
		choice.Verdicts = append(choice.Verdicts, Verdict{Tag: tag, Selected: true, Rule: "included by name"})
	}
	l := newListing(listed, choice.Verdicts)
	answers := make([][]decision, len(s))
	checker := &ageChecker{ages: ages, now: now, created: map[string]time.Time{}, pushed: map[string]time.Time{}}
	for i, b := range s {
		var err error
		if answers[i], err = b.decide(ctx, l, checker); err != nil {
			return Choice{}, err
		}
	}
	choice.merge(l, answers)
	if len(listed) == 0 {
		choice.Warnings = append(choice.Warnings, "the repository has no tags")
		return choice, nil
	}
	for i, b := range s {
		choice.Warnings = append(choice.Warnings, b.warnings(l, answers[i])...)
	}
	return choice, nil
}

// merge adds the verdicts about the tags of a listing. The verdict is that of a block that selects the tag or, if
// none does, of the block that applied the most rules before it excluded the tag.
func (c *Choice) merge(l *listing, answers [][]decision) {
	missing := map[fact][]string{}
	others := l.attached
	for i, candidate := range l.candidates {
		closest := decision{at: taken}
		if len(answers) > 0 {
			closest = slices.MaxFunc(answers, func(a, b []decision) int { return cmp.Compare(a[i].at, b[i].at) })[i]
		}
		if closest.rule == "" {
			closest.add("all tags are selected")
		}
		if closest.at == atAge {
			c.TooOldOrYoung++
		}
		if closest.missing != noFact {
			c.AgeUnknown++
			missing[closest.missing] = append(missing[closest.missing], candidate.tag)
		}
		others = append(others, Verdict{Tag: candidate.tag, Selected: closest.at == taken, Rule: closest.rule, Release: closest.release})
	}
	slices.SortFunc(others, func(a, b Verdict) int { return strings.Compare(a.Tag, b.Tag) })
	c.Verdicts = append(c.Verdicts, others...)
	if tags := missing[creationDate]; tags != nil {
		c.Warnings = append(c.Warnings, "not selected, because the images have no creation date: "+joinTags(tags))
	}
	if tags := missing[pushTime]; tags != nil {
		c.Warnings = append(c.Warnings, "not selected, because the registry does not report push times: "+joinTags(tags))
	}
}

// listing is the tags of a repository, as the blocks decide about them.
type listing struct {
	tags       []string
	candidates []candidate // each tag once that is not decided already
	attached   []Verdict   // about tags that belong to images
	// highest is the shortest dotted tag of the highest version: 3.22.1 of alpine. Empty if there is none.
	highest string
}

// candidate is a tag that the blocks decide about.
type candidate struct {
	tag       string
	version   Version
	isVersion bool
	// isInteger: the tag is in the family of integers; see [Newest].
	isInteger bool
}

func newListing(tags []string, decided []Verdict) *listing {
	l := &listing{tags: tags}
	isDecided, seen := map[string]bool{}, make(map[string]bool, len(tags))
	for _, v := range decided {
		isDecided[v.Tag] = true
	}
	var highest Version
	for _, tag := range tags {
		if seen[tag] {
			continue
		}
		seen[tag] = true
		if content.IsAttachedTag(tag) {
			l.attached = append(l.attached, Verdict{Tag: tag, Rule: "signature tag: copied with its image"})
			continue
		}
		version, isVersion := ParseVersion(tag)
		if isVersion && version.isDotted() && (l.highest == "" ||
			cmp.Or(version.compareWithoutSuffix(highest), cmp.Compare(len(l.highest), len(tag))) > 0) {
			l.highest, highest = tag, version
		}
		if !isDecided[tag] {
			l.candidates = append(l.candidates, candidate{tag: tag, version: version, isVersion: isVersion})
		}
	}
	for i, c := range l.candidates {
		l.candidates[i].isInteger = c.isVersion && c.version.isInteger() &&
			(l.highest == "" || c.version.numbers[0] > highest.numbers[0]+1)
	}
	return l
}

// decision is the last step that a tag reached in a block, and the rule that decided there.
type decision struct {
	at      step
	rule    string
	missing fact   // what is not known, if that excludes the tag
	release string // of a floating tag
}

// add adds a reason to select the tag.
func (d *decision) add(reason string) {
	if d.rule != "" {
		d.rule += ", "
	}
	d.rule += reason
}

// step is a step of a block's decision.
type step int

// The steps, in their order.
const (
	atInclude step = iota
	atExclude
	atSemver
	atUnknown
	atAge
	atNewest
	taken
)

// decide decides about each candidate.
func (b Block) decide(ctx context.Context, l *listing, checker *ageChecker) ([]decision, error) {
	decisions := make([]decision, len(l.candidates))
	var left []int
	for i, c := range l.candidates {
		if decisions[i] = b.byName(l, c); decisions[i].at == taken {
			left = append(left, i)
		}
	}
	if b.Newest.Count > 0 {
		n := &newestChoice{block: b, listing: l, decisions: decisions, checker: checker}
		return decisions, n.choose(ctx, left)
	}
	return decisions, checker.decide(ctx, b, l.candidates, decisions, left)
}

// byName applies the rules that need only the name of a tag.
func (b Block) byName(l *listing, c candidate) decision {
	include, included := firstMatch(b.Include, c.tag)
	if !included && len(b.Include) > 0 {
		return decision{at: atInclude, rule: "not included by " + joinPatterns(b.Include)}
	}
	if exclude, found := firstMatch(b.Exclude, c.tag); found {
		return decision{at: atExclude, rule: "excluded by `" + exclude.String() + "`"}
	}
	d := decision{at: taken}
	if included {
		d.add("included by `" + include.String() + "`")
	}
	if r := b.semver(); r != nil {
		why, ok := b.byVersion(r, l, c)
		if !ok {
			return decision{at: atSemver, rule: why}
		}
		d.add(why)
	}
	return d
}

// byVersion decides by the version and its suffix, and says why.
func (b Block) byVersion(r *Range, l *listing, c candidate) (why string, ok bool) {
	suffix := c.version.Suffix()
	switch {
	case !c.isVersion:
		return "not a version (semver)", false
	case c.isInteger && l.highest != "":
		return "integer far above the highest version, " + l.highest + " (semver)", false
	case !r.spans(c.version):
		return "outside " + r.String(), false
	case !r.Match(c.version):
		return "pre-release (not named in the semver range)", false
	case suffix == "":
		return "in " + r.String(), true
	case len(b.Variants) == 0:
		return "variant " + suffix + " (variants is not set)", false
	case !matchAny(b.Variants, suffix):
		return "variant " + suffix + " is not listed in variants", false
	default:
		return "in " + r.String() + ", variant " + suffix, true
	}
}

// semver is the range that versions have to be in, or nil.
func (b Block) semver() *Range {
	if b.Semver == nil && len(b.Variants) > 0 {
		return &Range{text: "*", alternatives: []alternative{{interval: everything()}}}
	}
	return b.Semver
}

// warnings returns warnings about rules that match nothing, and are probably mistakes, and about integers that count
// separately.
func (b Block) warnings(l *listing, decisions []decision) []string {
	var texts []string
	for _, p := range b.Include {
		if _, literal := p.Literal(); !literal && !slices.ContainsFunc(l.tags, p.Match) {
			texts = append(texts, fmt.Sprintf("%s matches none of the %d tags", p, len(l.tags)))
		}
	}
	var outside, inside int // of the range
	var integers, versions []string
	for i, d := range decisions {
		switch c := l.candidates[i]; {
		case d.at < atSemver:
			continue
		case d.at == atSemver:
			outside++
			continue
		case c.isInteger:
			integers = append(integers, c.tag)
		case c.isVersion:
			versions = append(versions, c.tag)
		}
		inside++
	}
	if b.Semver != nil && inside == 0 && outside > 0 {
		return append(texts, fmt.Sprintf("semver %s matches none of the %d tags", b.Semver, outside))
	}
	for _, p := range b.Variants {
		if !slices.ContainsFunc(l.candidates, func(c candidate) bool { return c.version.Suffix() != "" && p.Match(c.version.Suffix()) }) {
			texts = append(texts, fmt.Sprintf("no tag has the variant %s", p))
		}
	}
	if b.Newest.Count > 0 && len(integers) > 0 && len(versions) > 0 {
		texts = append(texts, fmt.Sprintf("newest counts integers (%s) separately from versions (%s), and keeps up to %d of each",
			joinTags(integers), joinTags(versions), b.Newest.Count))
	}
	return texts
}

// joinTags names the first few tags of a list.
func joinTags(tags []string) string {
	const most = 3
	text := strings.Join(tags[:min(most, len(tags))], ", ")
	if more := len(tags) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
