package tags

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/internal/glob"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/reference"
)

// Pattern matches tags: it is a name, a glob ("1.2*", "[0-9]?") or a regular expression between slashes
// ("/v[0-9]+/"), which has to match the whole tag.
type Pattern struct {
	text  string
	glob  bool
	regex *regexp.Regexp
}

// ParsePattern reads a pattern. Its error says what is wrong with it.
func ParsePattern(s string) (Pattern, error) {
	switch {
	case strings.HasPrefix(s, "/"):
		return parseRegex(s)
	case glob.Is(s) && !glob.Valid(s):
		return Pattern{}, fmt.Errorf("%s is no glob: a `[` or `\\` is left open, or a `-` in `[…]` is no range", quote.Word(s))
	case !glob.Is(s) && reference.CheckTag(s) != nil:
		return Pattern{}, fmt.Errorf("%s is no tag: letters, digits, `_`, `.` and `-`, at most 128", quote.Word(s))
	default:
		return Pattern{text: s, glob: glob.Is(s)}, nil
	}
}

// ParseSuffix reads a pattern of suffixes. "-alpine*" means "alpine*".
func ParseSuffix(s string) (Pattern, error) { return ParsePattern(strings.TrimPrefix(s, "-")) }

func parseRegex(s string) (Pattern, error) {
	inner, closed := strings.CutSuffix(s[1:], "/")
	if !closed {
		return Pattern{}, fmt.Errorf("%s begins with `/`, as regular expressions do, but does not end with it", quote.Word(s))
	}
	_, err := regexp.Compile(inner) // alone first, so that `a)(b` is refused
	var regex *regexp.Regexp
	if err == nil {
		regex, err = regexp.Compile(`\A(?:` + inner + `)\z`)
	}
	if err != nil {
		cause := err.Error()
		if e, ok := errors.AsType[*syntax.Error](err); ok {
			cause = e.Code.String() + ": " + quote.Word(e.Expr)
		}
		return Pattern{}, fmt.Errorf("%s is no regular expression: %s", quote.Word(s), cause)
	}
	return Pattern{text: s, regex: regex}, nil
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Literal returns the text of the pattern, and reports whether it is the name of one tag.
func (p Pattern) Literal() (string, bool) { return p.text, p.regex == nil && !p.glob }

// Match reports whether the pattern matches a tag.
func (p Pattern) Match(tag string) bool {
	switch {
	case p.regex != nil:
		return p.regex.MatchString(tag)
	case p.glob:
		return glob.Match(p.text, tag)
	default:
		return p.text == tag
	}
}

// firstMatch is the first pattern that matches a tag.
func firstMatch(patterns []Pattern, tag string) (Pattern, bool) {
	for _, p := range patterns {
		if p.Match(tag) {
			return p, true
		}
	}
	return Pattern{}, false
}

func matchAny(patterns []Pattern, tag string) bool {
	_, found := firstMatch(patterns, tag)
	return found
}

// MatchesAll recognises the patterns that people write for all tags.
func (p Pattern) MatchesAll() bool {
	return slices.Contains([]string{"*", "**", "/.*/", "/^.*$/", "/.+/", "/^.+$/"}, p.text)
}
