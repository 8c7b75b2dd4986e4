package tags

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// newestChoice applies the Newest of a block to the candidates of a listing.
type newestChoice struct {
	block     Block
	listing   *listing
	decisions []decision
	checker   *ageChecker
}

// line is the tags of one family and variant.
type line struct {
	name string
	// waiting are releases, newest first; tried are the newer ones, which the age rules have selected or excluded.
	waiting, tried []int
	// floating has the newest release under each floating tag.
	floating map[int]int
}

// choose excludes all but the newest of the candidates in left, which all rules except those of age select.
// By version, it starts with the newest and reads no more ages than it needs: each may cost a pull.
func (n *newestChoice) choose(ctx context.Context, left []int) error {
	if n.block.Newest.By == ByCreated {
		if err := n.decideByAge(ctx, left); err != nil {
			return err
		}
		left = slices.DeleteFunc(left, func(i int) bool { return n.decisions[i].at != taken })
	}
	lines := n.lines(left)
	for {
		var round []int
		for _, l := range lines {
			round = append(round, l.try(n.block.Newest.Count, n.decisions)...)
		}
		if len(round) == 0 {
			break
		}
		if err := n.decideByAge(ctx, round); err != nil {
			return err
		}
	}
	var floating []int
	for _, l := range lines {
		floating = append(floating, n.explain(l)...)
	}
	return n.decideByAge(ctx, floating)
}

// created is when an image was created, after its age was read.
func (n *newestChoice) created(i int) time.Time {
	return n.checker.created[n.listing.candidates[i].tag]
}

func (n *newestChoice) decideByAge(ctx context.Context, which []int) error {
	return n.checker.decide(ctx, n.block, n.listing.candidates, n.decisions, which)
}

// lines sorts candidates into lines.
func (n *newestChoice) lines(left []int) []*line {
	byVersion := n.block.Newest.By != ByCreated
	var lines []*line
	named := map[string]*line{}
	for _, i := range left {
		c := n.listing.candidates[i]
		name := n.block.Newest.String()
		switch {
		case !c.isVersion && byVersion:
			n.decisions[i] = decision{at: atNewest, rule: "not a version (newest)"}
			continue
		case !c.isVersion:
			name += " of the other tags"
		case c.isInteger:
			name += " of the integers"
		}
		if variant := c.version.Variant(); variant != "" {
			name += " of variant " + variant
		}
		if named[name] == nil {
			named[name] = &line{name: name, floating: map[int]int{}}
			lines = append(lines, named[name])
		}
		named[name].waiting = append(named[name].waiting, i)
	}
	for _, l := range lines {
		if byVersion && n.block.semver() == nil {
			n.leaveOutPrereleases(l)
		}
		n.sort(l)
	}
	return lines
}

// leaveOutPrereleases excludes the pre-releases of a line that has releases.
func (n *newestChoice) leaveOutPrereleases(l *line) {
	isEarly := func(i int) bool { return n.listing.candidates[i].version.IsPrerelease() }
	if !slices.ContainsFunc(l.waiting, func(i int) bool { return !isEarly(i) }) {
		return
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(i int) bool {
		if isEarly(i) {
			n.decisions[i] = decision{at: atNewest, rule: "pre-release (newest prefers releases)"}
		}
		return isEarly(i)
	})
}

// sort separates the floating tags of a line from its releases, and puts these into their order.
func (n *newestChoice) sort(l *line) {
	candidates := n.listing.candidates
	slices.SortFunc(l.waiting, func(i, j int) int {
		a, b := candidates[j], candidates[i]
		return cmp.Or(a.version.Compare(b.version), cmp.Compare(len(a.version.numbers), len(b.version.numbers)), strings.Compare(b.tag, a.tag))
	})
	newest := map[string]int{}
	for _, i := range l.waiting {
		for key := range candidates[i].version.beginnings() {
			if _, found := newest[key]; !found {
				newest[key] = i
			}
		}
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(i int) bool {
		release, floats := newest[candidates[i].version.key()]
		if floats = floats && candidates[i].isVersion; floats {
			l.floating[i] = release
		}
		return floats
	})
	if n.block.Newest.By == ByCreated {
		slices.SortStableFunc(l.waiting, func(i, j int) int { return n.created(j).Compare(n.created(i)) })
	}
}

// try moves as many tags as are missing from waiting to tried, and returns them.
func (l *line) try(count int, decisions []decision) []int {
	for _, i := range l.tried {
		if decisions[i].at == taken {
			count--
		}
	}
	next := l.waiting[:min(count, len(l.waiting))]
	l.tried, l.waiting = append(l.tried, next...), l.waiting[len(next):]
	return next
}

// explain records for each tag of a line the rule that selects or excludes it, and returns the selected floating
// tags.
func (n *newestChoice) explain(l *line) (floating []int) {
	for _, i := range l.waiting {
		n.decisions[i] = decision{at: atNewest, rule: "older than the " + l.name}
		if n.block.Newest.By == ByCreated && n.created(i).IsZero() {
			n.decisions[i] = decision{at: atNewest, rule: "no creation date: not among the " + l.name, missing: creationDate}
		}
	}
	for _, i := range l.tried {
		if n.decisions[i].at == taken {
			n.decisions[i].add("among the " + l.name)
		}
	}
	for i, release := range l.floating {
		d, tag := n.decisions[release], n.listing.candidates[release].tag
		if d.at != taken {
			n.decisions[i] = decision{at: d.at, rule: fmt.Sprintf("floating tag of %s, which is not selected", tag), missing: d.missing}
			continue
		}
		n.decisions[i].add("floating tag of " + tag)
		n.decisions[i].release = tag
		floating = append(floating, i)
	}
	return floating
}
