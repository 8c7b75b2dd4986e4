package config

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
)

// maxTag is how long a tag may be (OCI distribution specification, "Pulling manifests").
const maxTag = 128

var globPart = regexp.MustCompile(`\*|\?|\[[^\]]*\]|\\.|[^*?[\\]+`)

// matchesSomeTag reports whether a pattern can match a tag. It says no only where that is
// certain: a part that must be there has none of a tag's characters, or is too long.
func matchesSomeTag(p tags.Pattern) bool {
	text := p.String()
	if _, literal := p.Literal(); literal {
		return true // checked when it was parsed
	}
	expression, isRegex := strings.CutPrefix(text, "/")
	switch {
	case isRegex:
		expression = strings.TrimSuffix(expression, "/")
	case text[0] == '.' || text[0] == '-':
		return false // a tag does not begin so
	default:
		expression = globPart.ReplaceAllStringFunc(text, func(part string) string {
			switch part[0] {
			case '*':
				return ".*"
			case '?':
				return "."
			case '[':
				return strings.Replace(part, "[!", "[^", 1)
			case '\\':
				return regexp.QuoteMeta(part[1:])
			default:
				return regexp.QuoteMeta(part)
			}
		})
	}
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return true // it is checked when tags are listed
	}
	length, fits := shortest(re)
	return fits && length <= maxTag
}

func notInTag(r rune) bool { return reference.CheckTag("_"+string(r)) != nil }

// shortest is how many characters an expression matches at least, at most maxTag+1. Fits
// reports whether those that it cannot do without may be in a tag.
func shortest(re *syntax.Regexp) (length int, fits bool) {
	switch re.Op {
	case syntax.OpNoMatch:
		return 0, false
	case syntax.OpLiteral:
		return len(re.Rune), !strings.ContainsFunc(string(re.Rune), notInTag)
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= min(re.Rune[i+1], 'z'); r++ {
				fits = fits || !notInTag(r)
			}
		}
		return 1, fits
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1, true
	case syntax.OpAlternate:
		length = maxTag + 1
		for _, sub := range re.Sub {
			if n, ok := shortest(sub); ok {
				length, fits = min(length, n), true
			}
		}
		return length, fits
	case syntax.OpConcat, syntax.OpCapture, syntax.OpPlus:
		fits = !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool {
			n, ok := shortest(sub)
			length = min(length+n, maxTag+1)
			return !ok
		})
		return length, fits
	case syntax.OpRepeat:
		length, fits = shortest(re.Sub[0])
		return min(re.Min*length, maxTag+1), fits || re.Min == 0
	default:
		return 0, true
	}
}
