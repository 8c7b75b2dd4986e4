package ui

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/regsync/regsync/pkg/transfer"
)

// namesOfGroup is how many members of a group are named.
const namesOfGroup = 3

// groups gather what was left as it is, by word ("skipped") and cause: a rule that holds back
// hundreds of tags is told once.
type groups struct {
	apart bool     // keeps the members apart
	list  []*group // in the order of their first members
	index map[groupKey]*group
}

// groupKey is what the members of a group have in common: a rule without what it was applied to, or
// the reason if there is no rule.
type groupKey struct {
	word   string
	rule   transfer.Rule
	reason string
}

// group is what one cause holds back.
type group struct {
	groupKey
	first  string // the reason of the first one
	count  int
	copies []string // the first few, as [Between] names them
}

// newGroups begins; apart gives each member a group of its own.
func newGroups(apart bool) *groups {
	return &groups{apart: apart, index: map[groupKey]*group{}}
}

// add adds a member. If there is a rule, the reason is its text.
func (g *groups) add(word string, rule transfer.Rule, reason, between string) {
	rule.Found = transfer.Found{}
	key := groupKey{word: word, rule: rule}
	if rule.Kind == "" {
		key.reason = reason
	}
	to := g.index[key]
	if to == nil || g.apart {
		to = &group{groupKey: key, first: reason}
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
		return g.copies[0] + because(g.first)
	}
	names := make([]string, len(g.copies))
	for i, between := range g.copies {
		_, names[i], _ = strings.Cut(between, arrow)
	}
	text := fmt.Sprintf("%d%s (%s", g.count, because(cmp.Or(g.reason, ruleText(g.rule))), strings.Join(names, ", "))
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
