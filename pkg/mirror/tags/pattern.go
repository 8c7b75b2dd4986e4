package tags

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// Pattern selects tags: a name, a glob ("1.2*", "[0-9]?") or a regular expression between
// slashes ("/v[0-9]+/"), which has to match the whole tag.
type Pattern struct {
	text  string
	glob  string
	regex *regexp.Regexp
}

// ParsePattern reads a pattern. Its error says what is wrong with it.
func ParsePattern(s string) (Pattern, error) {
	if strings.HasPrefix(s, "/") {
		return parseRegex(s)
	}
	if strings.ContainsAny(s, `*?[\`) {
		// Shells negate a class with `!`, Go with `^`.
		glob := strings.ReplaceAll(s, "[!", "[^")
		if _, err := path.Match(glob, ""); err != nil {
			return Pattern{}, fmt.Errorf("%s is no glob: a `[` or `\\` is left open, or a `-` in `[…]` is no range", quote.Word(s))
		}
		return Pattern{text: s, glob: glob}, nil
	}
	if !tagName.MatchString(s) {
		return Pattern{}, fmt.Errorf("%s is no tag: letters, digits, `_`, `.` and `-`, at most 128", quote.Word(s))
	}
	return Pattern{text: s}, nil
}

func parseRegex(s string) (Pattern, error) {
	inner, closed := strings.CutSuffix(s[1:], "/")
	if !closed {
		return Pattern{}, fmt.Errorf("%s begins with `/`, as regular expressions do, but does not end with it", quote.Word(s))
	}
	// Compiled alone first, so that `a)(b` is refused; then anchored.
	if _, err := regexp.Compile(inner); err != nil {
		return Pattern{}, fmt.Errorf("%s is no regular expression: %s", quote.Word(s), regexCause(err))
	}
	regex, err := regexp.Compile(`\A(?:` + inner + `)\z`)
	if err != nil {
		return Pattern{}, fmt.Errorf("%s is no regular expression: %s", quote.Word(s), regexCause(err))
	}
	return Pattern{text: s, regex: regex}, nil
}

// regexCause is what the regexp package says, without its prefix.
func regexCause(err error) string {
	if e, ok := errors.AsType[*syntax.Error](err); ok {
		return e.Code.String() + ": " + quote.Word(e.Expr)
	}
	return err.Error()
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Literal reports whether the pattern is the name of one tag, and gives it.
func (p Pattern) Literal() (string, bool) { return p.text, p.regex == nil && p.glob == "" }

// Match reports whether the pattern selects a tag.
func (p Pattern) Match(tag string) bool {
	switch {
	case p.regex != nil:
		return p.regex.MatchString(tag)
	case p.glob != "":
		matched, err := path.Match(p.glob, tag)
		return matched && err == nil
	default:
		return p.text == tag
	}
}

// tagName follows the OCI distribution specification, "Pulling manifests".
var tagName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
