package config

import (
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/tags"
)

// maxTag is how long a tag may be (OCI distribution specification, "Pulling manifests").
const maxTag = 128

// matchesSomeTag reports whether a pattern can match a tag. It says no only where that is
// certain: a part that must be there has none of a tag's characters, or is too long.
func matchesSomeTag(p tags.Pattern) bool {
	text := p.String()
	if _, literal := p.Literal(); literal {
		return true // checked when it was parsed
	}
	if inner, ok := strings.CutPrefix(text, "/"); ok {
		re, err := syntax.Parse(strings.TrimSuffix(inner, "/"), syntax.Perl)
		return err != nil || regexFits(re) && regexLength(re) <= maxTag
	}
	return globFits(text)
}

func inTag(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '.' || r == '-'
}

// globFits walks over the characters that a glob asks for.
func globFits(glob string) bool {
	length := 0
	for i := 0; i < len(glob); i++ {
		c := glob[i]
		switch c {
		case '*':
			continue
		case '?':
		case '[':
			end := strings.IndexByte(glob[i:], ']')
			if end < 0 || strings.Contains(glob[i:i+end], `\`) {
				return true // more than we read; it is checked when tags are listed
			}
			i += end
		case '\\':
			return true
		default:
			if !inTag(rune(c)) || length == 0 && i == 0 && (c == '.' || c == '-') {
				return false
			}
		}
		length++
	}
	return length <= maxTag
}

// regexFits reports whether the characters that an expression cannot do without may be in a
// tag.
func regexFits(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpNoMatch:
		return false
	case syntax.OpLiteral:
		return !strings.ContainsFunc(string(re.Rune), func(r rune) bool { return !inTag(r) })
	case syntax.OpCharClass:
		return classFits(re.Rune)
	case syntax.OpAlternate:
		return slices.ContainsFunc(re.Sub, regexFits)
	case syntax.OpConcat, syntax.OpCapture, syntax.OpPlus:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !regexFits(sub) })
	case syntax.OpRepeat:
		return re.Min == 0 || regexFits(re.Sub[0])
	default:
		return true
	}
}

// classFits reports whether a class, given by the bounds of its ranges, has a character of
// tags.
func classFits(bounds []rune) bool {
	for i := 0; i+1 < len(bounds); i += 2 {
		for r := bounds[i]; r <= min(bounds[i+1], 'z'); r++ {
			if inTag(r) {
				return true
			}
		}
	}
	return false
}

// regexLength is how many characters an expression matches at least.
func regexLength(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpAlternate:
		least := maxTag + 1
		for _, sub := range re.Sub {
			least = min(least, regexLength(sub))
		}
		return least
	case syntax.OpConcat, syntax.OpCapture, syntax.OpPlus:
		sum := 0
		for _, sub := range re.Sub {
			sum = min(sum+regexLength(sub), maxTag+1)
		}
		return sum
	case syntax.OpRepeat:
		return min(re.Min*regexLength(re.Sub[0]), maxTag+1)
	default:
		return 0
	}
}
