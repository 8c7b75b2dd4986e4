package tags

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// takeNewest leaves of those that are left the newest of each variant. Where ages have to be
// asked for, and the order is that of versions, it goes from the newest down and asks about
// no more tags than it takes to fill the count: each may cost a pull of a quota.
func (b Block) takeNewest(ctx context.Context, candidates []candidate, decisions []decision, left []int, asked *inquiry) error {
	if b.Newest.By == ByCreated {
		if err := b.ask(ctx, candidates, decisions, left, asked); err != nil {
			return err
		}
		left = slices.DeleteFunc(left, func(i int) bool { return decisions[i].at != taken })
	}
	lines := b.lines(candidates, decisions, left, asked)
	for {
		var round []int
		for _, l := range lines {
			round = append(round, l.next(b.Newest.Count, decisions)...)
		}
		if len(round) == 0 {
			break
		}
		if b.Newest.By == ByCreated {
			continue
		}
		if err := b.ask(ctx, candidates, decisions, round, asked); err != nil {
			return err
		}
	}
	for _, l := range lines {
		l.close(b.Newest, decisions)
	}
	return nil
}

// line is the tags of one variant, the newest first.
type line struct {
	variant string
	waiting []int
	called  []int
}

// lines puts tags in lines, one a variant. What is no version has no place in an order of
// versions; by creation, all such tags are one line. By version, days have lines of their own:
// alpine has 3.22 and, of edge, 20250108, of which neither is the newer one.
func (b Block) lines(candidates []candidate, decisions []decision, left []int, asked *inquiry) []*line {
	byVersion := b.Newest.By != ByCreated
	lines := grouped(candidates, decisions, left, byVersion)
	for _, l := range lines {
		if byVersion && b.semver() == nil {
			l.passOver(candidates, decisions)
		}
		slices.SortFunc(l.waiting, func(i, j int) int {
			return b.Newest.compare(candidates[j], candidates[i], asked)
		})
	}
	return lines
}

// grouped puts tags in lines as they come.
func grouped(candidates []candidate, decisions []decision, left []int, byVersion bool) []*line {
	var lines []*line
	of := map[string]*line{}
	for _, i := range left {
		c := candidates[i]
		if !c.isVersion && byVersion {
			decisions[i] = decision{atNewest, "no version, and newest goes by version"}
			continue
		}
		key := fmt.Sprint(c.isVersion, byVersion && c.version.isDay(), c.version.Variant())
		if of[key] == nil {
			of[key] = &line{variant: c.version.Variant()}
			lines = append(lines, of[key])
		}
		of[key].waiting = append(of[key].waiting, i)
	}
	return lines
}

// passOver takes pre-releases out of a line that has releases.
func (l *line) passOver(candidates []candidate, decisions []decision) {
	early := func(i int) bool { return candidates[i].version.IsPrerelease() }
	if !slices.ContainsFunc(l.waiting, func(i int) bool { return !early(i) }) {
		return
	}
	for _, i := range l.waiting {
		if early(i) {
			decisions[i] = decision{atNewest, "pre-release, and there are releases"}
		}
	}
	l.waiting = slices.DeleteFunc(l.waiting, early)
}

// compare orders the older before the newer.
func (n Newest) compare(a, b candidate, asked *inquiry) int {
	if n.By == ByCreated {
		if c := asked.created[a.tag].Compare(asked.created[b.tag]); c != 0 {
			return c
		}
	}
	// 1.27 is 1.27.0, which says more.
	return cmp.Or(a.version.Compare(b.version),
		cmp.Compare(len(a.version.numbers), len(b.version.numbers)), strings.Compare(b.tag, a.tag))
}

// next calls as many as are missing.
func (l *line) next(count int, decisions []decision) []int {
	held := 0
	for _, i := range l.called {
		if decisions[i].at == taken {
			held++
		}
	}
	n := min(count-held, len(l.waiting))
	called := l.waiting[:n]
	l.called, l.waiting = append(l.called, called...), l.waiting[n:]
	return called
}

// close turns away those who still wait, and tells the others why they were taken.
func (l *line) close(n Newest, decisions []decision) {
	newest := n.String()
	if l.variant != "" {
		newest += " of variant " + l.variant
	}
	for _, i := range l.waiting {
		decisions[i] = decision{atNewest, "older than the " + newest}
	}
	for _, i := range l.called {
		if decisions[i].at == taken {
			decisions[i].rule += ", among the " + newest
		}
	}
}

// String is the rule in words: "5 newest", "5 newest by creation".
func (n Newest) String() string {
	if n.By == ByCreated {
		return fmt.Sprintf("%d newest by creation", n.Count)
	}
	return fmt.Sprintf("%d newest", n.Count)
}
