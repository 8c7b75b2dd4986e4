// Package tags selects from the tags of a repository: by name, by version, by age.
//
// Start at [Selector], the value of `tags` in a configuration, and at its method Choose, which decides about
// every tag of a listing and says by which rule. Only [Ages] makes requests. [ParseVersion] defines what a
// version is, [ParseRange] which versions match a range, [Version.Variant] which suffixes are one variant,
// and [Newest] which tags `newest` counts.
package tags

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/mirror/internal/glob"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/reference"
)

// Selector selects a tag if one of its blocks does; nil selects all tags.
type Selector []Block

// Block is one block of `tags`. It selects the tags that Include, Semver and the ages all select and Exclude does
// not match, and of these the Newest. A tag that Include names is selected regardless of Semver, ages and Newest,
// and does not count for Newest.
type Block struct {
	// Include selects tags that match one of the patterns; empty selects all.
	Include []Pattern
	Exclude []Pattern
	// Semver selects versions in this range; nil selects all tags. Integers that are a family of their own (see
	// [Newest]) are selected only in a repository without dotted versions.
	Semver *Range
	// Variants are suffixes ("alpine*", see [ParseSuffix]) that Semver selects in addition to plain versions.
	// Without Semver, the range is "*".
	Variants []Pattern
	Newest   Newest
	// CreatedWithin and OlderThan compare with the creation date of the image, PushedWithin with the time that
	// the registry states for the push of the tag. Zero is no limit.
	CreatedWithin, OlderThan, PushedWithin time.Duration
}

// Newest selects the newest releases of each variant ([Version.Variant]) and family. The zero value selects all.
//
// Families are versions, integers, and, by creation, tags that are not versions. A tag that is one integer is a
// version if it is at most one above the largest major version of the repository's dotted tags: 17 beside 17.1,
// 13 beside 12.7. Other integers (builds, dates, commits of digits) are a family of their own.
//
// A floating tag, such as 17 or 17.1 beside 17.1.2, and 22-alpine beside 22.10.0-alpine, is not a release. It is
// selected if the newest release below it is.
//
// By version, tags that are not versions are excluded, and so are pre-releases of a variant that has
// releases, unless Semver names a pre-release. By creation, an image without a date is sorted last.
type Newest struct {
	Count int
	By    Order
}

// Order is how Newest orders tags.
type Order string

// The orders. The empty one is ByVersion.
const (
	ByVersion Order = "version"
	ByCreated Order = "created"
)

// String returns the rule in words: "5 newest", "5 newest by creation".
func (n Newest) String() string {
	if n.By == ByCreated {
		return fmt.Sprintf("%d newest by creation", n.Count)
	}
	return fmt.Sprintf("%d newest", n.Count)
}

// Literals returns the tags that Include names, in the order of the file and each once. They are selected even
// if a listing lacks them. If all is true, no other tag can be selected, so nothing needs to be listed.
func (s Selector) Literals() (names []string, all bool) {
	all = len(s) > 0
	seen := map[string]bool{}
	for _, b := range s {
		all = all && len(b.Include) > 0
		for _, p := range b.Include {
			name, literal := p.Literal()
			switch {
			case !literal:
				all = false
			case !seen[name] && !matchAny(b.Exclude, name):
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names, all
}

// Explicit reports whether every block has an Include, even one that matches all tags.
func (s Selector) Explicit() bool {
	return len(s) > 0 && !slices.ContainsFunc(s, func(b Block) bool { return len(b.Include) == 0 })
}

// String lists the rules: "include 1.* 2.*, exclude *-rc". Of many patterns it names the first.
func (s Selector) String() string {
	if len(s) == 0 {
		return "all"
	}
	texts := make([]string, len(s))
	for i, b := range s {
		texts[i] = b.String()
	}
	return strings.Join(texts, "; or ")
}

// String names the rules of one block.
func (b Block) String() string {
	var parts []string
	for _, list := range []struct {
		name     string
		patterns []Pattern
	}{{"include", b.Include}, {"variants", b.Variants}, {"exclude", b.Exclude}} {
		if len(list.patterns) > 0 {
			parts = append(parts, list.name+" "+joinPatterns(list.patterns))
		}
	}
	if b.Semver != nil {
		parts = append(parts, "semver "+b.Semver.String())
	}
	for _, age := range []struct {
		name  string
		limit time.Duration
	}{{"createdWithin", b.CreatedWithin}, {"olderThan", b.OlderThan}, {"pushedWithin", b.PushedWithin}} {
		if age.limit > 0 {
			parts = append(parts, age.name+" "+formatLimit(age.limit))
		}
	}
	if b.Newest.Count > 0 {
		parts = append(parts, "the "+b.Newest.String())
	}
	return strings.Join(parts, ", ")
}

// joinPatterns names the first few patterns of a list.
func joinPatterns(patterns []Pattern) string {
	const most = 5
	var texts []string
	for _, p := range patterns[:min(most, len(patterns))] {
		texts = append(texts, p.String())
	}
	if more := len(patterns) - most; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, " ")
}

// Pattern matches tags: it is a name, a glob ("1.2*", "[0-9]?") or a regular expression between slashes
// ("/v[0-9]+/"), which must match the whole tag.
type Pattern struct {
	text  string
	glob  bool
	regex *regexp.Regexp
}

// ParsePattern parses a pattern. The error says what is wrong with it.
func ParsePattern(s string) (Pattern, error) {
	switch {
	case strings.HasPrefix(s, "/"):
		return parseRegex(s)
	case glob.Is(s) && !glob.Valid(s):
		return Pattern{}, fmt.Errorf("%s is not a valid glob: unclosed `[` or `\\`, or a `-` in `[…]` that is not a range", quote.Word(s))
	case !glob.Is(s) && reference.CheckTag(s) != nil:
		return Pattern{}, fmt.Errorf("%s is not a valid tag: a tag has up to 128 letters, digits, `_`, `.` and `-`", quote.Word(s))
	default:
		return Pattern{text: s, glob: glob.Is(s)}, nil
	}
}

// ParseSuffix reads a pattern of suffixes. "-alpine*" means "alpine*".
func ParseSuffix(s string) (Pattern, error) { return ParsePattern(strings.TrimPrefix(s, "-")) }

func parseRegex(s string) (Pattern, error) {
	inner, closed := strings.CutSuffix(s[1:], "/")
	if !closed {
		return Pattern{}, fmt.Errorf("%s begins with `/` like a regular expression, but does not end with `/`", quote.Word(s))
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
		return Pattern{}, fmt.Errorf("%s is not a valid regular expression: %s", quote.Word(s), cause)
	}
	return Pattern{text: s, regex: regex}, nil
}

// String returns the pattern as it was written.
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

// MatchesAll reports whether the pattern is one of those that users write for all tags.
func (p Pattern) MatchesAll() bool {
	return slices.Contains([]string{"*", "**", "/.*/", "/^.*$/", "/.+/", "/^.+$/"}, p.text)
}
