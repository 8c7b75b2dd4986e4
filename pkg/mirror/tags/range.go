package tags

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/reference"
)

// Range is a range of versions, as ">=1.25 <2". [ParseRange] makes one.
type Range struct {
	text         string
	alternatives []alternative
}

// alternative is what stands between two `||`: an interval with holes.
type alternative struct {
	interval
	not []interval
	// prereleases are selected, because the range names one.
	prereleases bool
}

// interval is the versions between two bounds.
type interval struct{ from, to bound }

// bound is a place between versions: below its version, or above it.
type bound struct {
	version Version
	above   bool
}

func everything() interval {
	return interval{bound{version: Version{pre: lowest()}}, bound{version: after(nil)}}
}

// String returns the range as it was written.
func (r *Range) String() string { return r.text }

// Match reports whether a version is in the range. Its suffix does not matter. A pre-release matches only if the
// range names one (>=1.2-rc.1, >=1.2-0).
func (r *Range) Match(v Version) bool {
	return slices.ContainsFunc(r.alternatives, func(a alternative) bool {
		return a.spans(v) && (a.prereleases || !v.IsPrerelease())
	})
}

// spans reports whether a version is in the range if pre-releases are as good as releases.
func (r *Range) spans(v Version) bool {
	return slices.ContainsFunc(r.alternatives, func(a alternative) bool { return a.spans(v) })
}

// Empty reports whether no version can be in the range, as in ">=2 <1".
func (r *Range) Empty() bool {
	return !slices.ContainsFunc(r.alternatives, func(a alternative) bool {
		return a.from.compare(a.to) < 0 && !slices.ContainsFunc(a.not, func(hole interval) bool {
			return hole.from.compare(a.from) <= 0 && hole.to.compare(a.to) >= 0
		})
	})
}

func (a alternative) spans(v Version) bool {
	return a.interval.spans(v) && !slices.ContainsFunc(a.not, func(hole interval) bool { return hole.spans(v) })
}

func (i interval) spans(v Version) bool { return i.from.isBelow(v) && !i.to.isBelow(v) }

// and returns the intersection of two intervals.
func (i interval) and(j interval) interval {
	if j.from.compare(i.from) > 0 {
		i.from = j.from
	}
	if j.to.compare(i.to) < 0 {
		i.to = j.to
	}
	return i
}

func (b bound) isBelow(v Version) bool {
	c := b.version.compareWithoutSuffix(v)
	return c < 0 || c == 0 && !b.above
}

func (b bound) compare(c bound) int {
	side := func(b bound) int {
		if b.above {
			return 1
		}
		return 0
	}
	return cmp.Or(b.version.compareWithoutSuffix(c.version), cmp.Compare(side(b), side(c)))
}

// ParseRange reads a range as npm and Masterminds write them: comparators (>=1.25, <2, =1.2, !=1.2.3, ^1.2, ~1.2,
// 1.2, 1.2.x, *, 1.2 - 1.5) separated by spaces or commas, all of which must match, and `||` between such lists,
// one of which must match. The error says what is wrong with the range.
//
// A version in a range stands for all that begin with it: =1.2 and <=1.2 match 1.2.7, and >1.2 begins at 1.3.
// This applies to any count of numbers: =1.2.3 matches 1.2.3.4.
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
		return a, errors.New("empty range; `*` matches every version")
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
		a.prereleases = a.prereleases || c.prerelease
	}
	return a, nil
}

const (
	blanks    = " ,\t\n\r"
	operators = "<>=!^~"
)

// comparator is an operator and its version.
type comparator struct {
	interval
	negated    bool
	prerelease bool // names a pre-release that is wanted
}

// cutComparator reads the comparator that s begins with.
func cutComparator(s string) (c comparator, rest string, err error) {
	rest = strings.TrimLeft(s, operators)
	operator := s[:len(s)-len(rest)]
	text, rest := cutUntil(strings.TrimLeft(rest, " \t"), blanks+operators)
	if text == "" {
		return c, "", fmt.Errorf("missing version after %s", quote.Word(operator))
	}
	o, err := parseOperand(text)
	if err != nil {
		return c, "", err
	}
	after := strings.TrimLeft(rest, " \t\n\r")
	if upTo, found := strings.CutPrefix(after, "- "); found && operator == "" && after != rest { // 1.2 - 1.5
		text, rest = cutUntil(strings.TrimLeft(upTo, " "), blanks+operators)
		to, err := parseOperand(text)
		c = comparator{interval: interval{o.lower(), to.upper()}, prerelease: o.IsPrerelease() || to.IsPrerelease()}
		return c, strings.TrimLeft(rest, blanks), err
	}
	c, err = newComparator(operator, o)
	return c, strings.TrimLeft(rest, blanks), err
}

func newComparator(operator string, o operand) (comparator, error) {
	c := comparator{interval: everything(), prerelease: o.IsPrerelease()}
	switch operator {
	case "", "=", "==":
		c.interval = interval{o.lower(), o.upper()}
	case "!=":
		c = comparator{interval: interval{o.below(), o.upper()}, negated: true}
	case "<":
		c.to = o.below()
	case "<=", "=<":
		c.to = o.upper()
	case ">":
		c.from = o.upper()
	case ">=", "=>":
		c.from = o.lower()
	case "^": // up to the first number that is not zero: ^1.2 is below 2, ^0.2.3 below 0.3
		fixed := slices.IndexFunc(o.numbers, func(number uint64) bool { return number != 0 })
		if fixed < 0 {
			fixed = len(o.numbers) - 1
		}
		c.interval = interval{o.lower(), bound{version: after(o.numbers[:fixed+1])}}
	case "~", "~>": // up to the second number, or the first one if it is alone
		c.interval = interval{o.lower(), bound{version: after(o.numbers[:min(2, len(o.numbers))])}}
	default:
		return comparator{}, fmt.Errorf("unknown operator %s; the operators are =, !=, <, <=, >, >=, ^ and ~", quote.Word(operator))
	}
	return c, nil
}

// operand is a version as a range states it: 1.2 and 1.2.x are all versions that begin with 1.2, and no numbers
// are all versions.
type operand struct{ Version }

// parseOperand reads the version of a comparator. Its error says what is wrong with it.
func parseOperand(text string) (operand, error) {
	if text == "" {
		return operand{}, errors.New("missing version at the end of the range")
	}
	trimmed := trimWildcards(text)
	if trimmed == "" || trimmed == "v" && text != "v" {
		return operand{}, nil
	}
	v, ok := ParseVersion(trimmed)
	wildcardWithin := strings.HasPrefix(strings.ToLower(v.suffix)+".", "x.")
	if !ok || wildcardWithin || reference.CheckTag(trimmed) != nil {
		return operand{}, fmt.Errorf("%s is not a version", quote.Word(text))
	}
	if v.suffix == "0" && v.pre.word == released {
		v.pre, v.suffix = lowest(), ""
	}
	switch {
	case v.suffix != "":
		return operand{}, fmt.Errorf("%s has the variant %s; a range has only versions, so use `variants`",
			quote.Word(text), quote.Word(v.suffix))
	case trimmed != text && v.IsPrerelease():
		return operand{}, fmt.Errorf("%s has a wildcard after a pre-release", quote.Word(text))
	}
	return operand{v}, nil
}

// trimWildcards removes the last numbers if they are x, X or *.
func trimWildcards(text string) string {
	for {
		shorter, found := text, false
		for _, wildcard := range []string{"x", "X", "*"} {
			if shorter, found = strings.CutSuffix(text, wildcard); found {
				break
			}
		}
		if !found || shorter != "" && shorter != "v" && !strings.HasSuffix(shorter, ".") {
			return text
		}
		text = strings.TrimSuffix(shorter, ".")
	}
}

// lower is the bound below the version. The pre-releases of 1.2 are below 1.2.
func (o operand) lower() bound {
	if len(o.numbers) == 0 {
		return everything().from
	}
	return bound{version: o.Version}
}

// below is the bound below the version and its pre-releases: 2.0.0-rc.1 is not below 2.
func (o operand) below() bound {
	if len(o.numbers) == 0 || o.IsPrerelease() {
		return o.lower()
	}
	return bound{version: Version{numbers: o.numbers, pre: lowest()}}
}

// upper is the bound above all versions that the version stands for.
func (o operand) upper() bound {
	if o.IsPrerelease() {
		return bound{version: o.Version, above: true}
	}
	return bound{version: after(o.numbers)}
}

// cutUntil splits s at the first character of a set.
func cutUntil(s, set string) (head, tail string) {
	if at := strings.IndexAny(s, set); at >= 0 {
		return s[:at], s[at:]
	}
	return s, ""
}
