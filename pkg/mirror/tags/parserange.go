package tags

import (
	"errors"
	"fmt"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// ParseRange reads a range as npm and Masterminds write them: comparators (>=1.25, <2, =1.2,
// !=1.2.3, ^1.2, ~1.2, 1.2, 1.2.x, *, 1.2 - 1.5) between spaces or commas, all of which have
// to hold, and `||` between such lists, one of which has to. Its error says what is wrong
// with it.
//
// A version in a range stands for all that begin with it: =1.2 takes 1.2.7, and <=1.2 too,
// and >1.2 begins at 1.3. That goes for any count of numbers: =1.2.3 takes 1.2.3.4.
func ParseRange(s string) (*Range, error) {
	r := &Range{text: strings.TrimSpace(s)}
	for text := range strings.SplitSeq(s, "||") {
		a, err := parseAlternative(text)
		if err != nil {
			return nil, err
		}
		r.alternatives = append(r.alternatives, a)
	}
	return r, nil
}

func parseAlternative(text string) (alternative, error) {
	a := alternative{interval: everything()}
	rest := strings.TrimLeft(text, blanks)
	if rest == "" {
		return a, errors.New("a range is empty: `*` takes every version")
	}
	for rest != "" {
		var c comparator
		var err error
		if c, rest, err = cutComparator(rest); err != nil {
			return a, err
		}
		if c.negated {
			a.not = append(a.not, c.interval)
		} else {
			a.interval = a.and(c.interval)
		}
		a.prereleases = a.prereleases || c.names
	}
	return a, nil
}

const (
	blanks    = " ,\t\n\r"
	operators = "<>=!^~"
)

// cutComparator reads the comparator that s begins with.
func cutComparator(s string) (c comparator, rest string, err error) {
	operator, rest := cutAny(s, operators)
	text, rest := cutUntil(strings.TrimLeft(rest, " \t"), blanks+operators)
	if text == "" {
		return c, "", fmt.Errorf("no version follows %s", quote.Word(operator))
	}
	o, err := parseOperand(text)
	if err != nil {
		return c, "", err
	}
	after := strings.TrimLeft(rest, " \t\n\r")
	if upTo, found := strings.CutPrefix(after, "- "); found && operator == "" && after != rest {
		return cutHyphenRange(o, upTo)
	}
	c, err = newComparator(operator, o)
	return c, strings.TrimLeft(rest, blanks), err
}

// cutHyphenRange reads the second version of 1.2 - 1.5, both of which are in it.
func cutHyphenRange(from operand, s string) (c comparator, rest string, err error) {
	text, rest := cutUntil(strings.TrimLeft(s, " "), blanks+operators)
	to, err := parseOperand(text)
	if err != nil {
		return c, "", err
	}
	names := from.IsPrerelease() || to.IsPrerelease()
	return comparator{interval: interval{from.lower(), to.upper()}, names: names}, strings.TrimLeft(rest, blanks), nil
}

// cutAny splits s behind the characters of a set that it begins with.
func cutAny(s, set string) (head, tail string) {
	tail = strings.TrimLeft(s, set)
	return s[:len(s)-len(tail)], tail
}

// cutUntil splits s at the first character of a set.
func cutUntil(s, set string) (head, tail string) {
	if at := strings.IndexAny(s, set); at >= 0 {
		return s[:at], s[at:]
	}
	return s, ""
}
