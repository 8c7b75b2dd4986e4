package tags

import (
	"errors"
	"fmt"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// operand is a version as a range states it: 1.2 and 1.2.x are all versions that begin with
// 1.2.
type operand struct{ Version }

// parseOperand reads the version of a comparator. Its error says what is wrong with it.
func parseOperand(text string) (operand, error) {
	if text == "" {
		return operand{}, errors.New("a range ends where a version is missing")
	}
	trimmed := trimWildcards(text)
	if trimmed == "" || trimmed == "v" && text != "v" {
		return operand{}, nil
	}
	v, ok := ParseVersion(trimmed)
	wildcardWithin := strings.HasPrefix(strings.ToLower(v.suffix)+".", "x.")
	if !ok || wildcardWithin || !tagName.MatchString(trimmed) {
		return operand{}, fmt.Errorf("%s is no version", quote.Word(text))
	}
	if v.suffix == "0" && v.pre.word == released {
		v.pre, v.suffix = lowest(), ""
	}
	switch {
	case v.suffix != "":
		return operand{}, fmt.Errorf("%s names the variant %s; a range has versions only, `variants` takes those",
			quote.Word(text), quote.Word(v.suffix))
	case trimmed != text && v.IsPrerelease():
		return operand{}, fmt.Errorf("%s has a wildcard behind a pre-release", quote.Word(text))
	}
	return operand{v}, nil
}

// trimWildcards takes the last numbers off that are x, X or *.
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

// lower is before the version, and the pre-releases of 1.2 are before 1.2.
func (o operand) lower() bound {
	if len(o.numbers) == 0 {
		return everything().from
	}
	return bound{version: o.Version}
}

// below is before the version and its pre-releases: 2.0.0-rc.1 is not below 2.
func (o operand) below() bound {
	if len(o.numbers) == 0 {
		return everything().from
	}
	if o.IsPrerelease() {
		return bound{version: o.Version}
	}
	return bound{version: Version{numbers: o.numbers, pre: lowest()}}
}

// upper is behind all that the version stands for.
func (o operand) upper() bound {
	if o.IsPrerelease() {
		return bound{version: o.Version, behind: true}
	}
	return bound{version: after(o.numbers)}
}

// caret is where the first number changes that is not zero: ^1.2 is below 2, ^0.2.3 below
// 0.3.
func (o operand) caret() bound {
	for i, number := range o.numbers {
		if number != 0 {
			return bound{version: after(o.numbers[:i+1])}
		}
	}
	return bound{version: after(o.numbers)}
}

// tilde is where the second number changes, or the first one if it is alone.
func (o operand) tilde() bound { return bound{version: after(o.numbers[:min(2, len(o.numbers))])} }

var errOperator = errors.New("is no operator: =, !=, <, <=, >, >=, ^ and ~ are")

// comparator is an operator and its version.
type comparator struct {
	interval
	negated bool
	// names a pre-release that is wanted.
	names bool
}

func newComparator(operator string, o operand) (comparator, error) {
	all := everything()
	c := comparator{interval: all, names: o.IsPrerelease()}
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
	case "^":
		c.interval = interval{o.lower(), o.caret()}
	case "~", "~>":
		c.interval = interval{o.lower(), o.tilde()}
	default:
		return comparator{}, fmt.Errorf("%s %w", quote.Word(operator), errOperator)
	}
	return c, nil
}
