package ui

import (
	"fmt"
	"strings"
)

// namesOfGroup is how many members of a group are named.
const namesOfGroup = 3

// groups gather what was left as it is, by word ("skipped") and rule: one that holds back
// hundreds of tags is told once.
type groups struct {
	apart bool                 // keeps the members apart
	list  []*group             // in the order of their first members
	index map[[2]string]*group // by word and rule
}

// group is what one rule holds back.
type group struct {
	word, rule string
	reason     string // of the first one
	count      int
	copies     []string // the first few, as [Between] names them
}

// newGroups begins; apart gives each member a group of its own.
func newGroups(apart bool) *groups {
	return &groups{apart: apart, index: map[[2]string]*group{}}
}

// add takes a member, whose reason is the rule with what was found at this one.
func (g *groups) add(word, rule, reason, between string) {
	key := [2]string{word, rule}
	to := g.index[key]
	if to == nil || g.apart {
		to = &group{word: word, rule: rule, reason: reason}
		g.index[key] = to
		g.list = append(g.list, to)
	}
	to.count++
	if len(to.copies) < namesOfGroup {
		to.copies = append(to.copies, between)
	}
}

// text is the one member with its reason; of several their number, the rule, and where the
// first ones were to go.
func (g *group) text() string {
	if g.count == 1 {
		return g.copies[0] + because(g.reason)
	}
	names := make([]string, len(g.copies))
	for i, between := range g.copies {
		_, names[i], _ = strings.Cut(between, arrow)
	}
	text := fmt.Sprintf("%d%s (%s", g.count, because(g.rule), strings.Join(names, ", "))
	if rest := g.count - len(names); rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	return text + ")"
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
