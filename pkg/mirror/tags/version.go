package tags

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Version is the version that a tag begins with. It is ours, because no module for semantic
// versions reads what is tagged in practice: four numbers, leading zeros, 3.13.0rc2, and
// suffixes that name what the image is built on rather than a pre-release.
type Version struct {
	numbers []uint64
	pre     prerelease
	suffix  string
}

// ParseVersion reads a tag as a version and reports whether it is one. It is numbers between
// dots, after an optional v, or a date (2024-01-15); then perhaps a pre-release (-rc.1, rc1,
// .dev20240115), which is a word of a short list right after the numbers; then perhaps a
// suffix, after `-`, `_` or `.`, which makes it a variant (-alpine3.19, _13-jdk). Letters
// glued to the numbers are no suffix: 1.1.1w and 7c3f2a1 are no versions.
func ParseVersion(tag string) (Version, bool) {
	numbers, rest, ok := parseNumbers(strings.TrimPrefix(tag, "v"))
	if !ok {
		return Version{}, false
	}
	pre, rest := parsePrerelease(rest, len(numbers) > 1)
	suffix, ok := parseSuffix(rest)
	return Version{numbers: numbers, pre: pre, suffix: suffix}, ok
}

// parseNumbers reads the numbers that s begins with.
func parseNumbers(s string) (numbers []uint64, rest string, ok bool) {
	if date, rest, ok := parseDate(s); ok {
		return date, rest, true
	}
	for {
		number, after, ok := cutNumber(s)
		if !ok {
			return nil, "", false
		}
		numbers, s = append(numbers, number), after
		if len(s) < 2 || s[0] != '.' || !isDigit(s[1]) {
			return numbers, s, true
		}
		s = s[1:]
	}
}

// parseDate reads a date as ISO 8601 writes it, whose hyphens separate numbers.
func parseDate(s string) (numbers []uint64, rest string, ok bool) {
	const layout = "2024-01-15"
	if len(s) < len(layout) || len(s) > len(layout) && isDigit(s[len(layout)]) {
		return nil, "", false
	}
	parts := strings.Split(s[:len(layout)], "-")
	if len(parts) != 3 || len(parts[0]) != 4 || len(parts[1]) != 2 {
		return nil, "", false
	}
	for _, part := range parts {
		number, after, ok := cutNumber(part)
		if !ok || after != "" {
			return nil, "", false
		}
		numbers = append(numbers, number)
	}
	return numbers, s[len(layout):], true
}

// maxDigits keeps a number, and the one after it, within 64 bits.
const maxDigits = 18

// cutNumber reads the number that s begins with.
func cutNumber(s string) (number uint64, rest string, ok bool) {
	digits := countDigits(s)
	trimmed := strings.TrimLeft(s[:digits], "0")
	if digits == 0 || len(trimmed) > maxDigits {
		return 0, "", false
	}
	if trimmed != "" {
		number, _ = strconv.ParseUint(trimmed, 10, 64) // digits that fit
	}
	return number, s[digits:], true
}

// parseSuffix reads what follows the version, less the separator.
func parseSuffix(s string) (suffix string, ok bool) {
	if s == "" {
		return "", true
	}
	if len(s) < 2 || !isSeparator(s[0]) || isSeparator(s[1]) {
		return "", false
	}
	return s[1:], true
}

// Compare orders versions: by their numbers, a missing one being zero (1.2 is 1.2.0); a
// pre-release before its release; then by the suffix, whose numbers compare as numbers, so
// that -debian-12-r10 comes after -debian-12-r9.
func (v Version) Compare(w Version) int {
	return cmp.Or(v.comparePlain(w), compareNatural(v.suffix, w.suffix))
}

// comparePlain is Compare without the suffix.
func (v Version) comparePlain(w Version) int {
	return cmp.Or(compareNumbers(v.numbers, w.numbers), v.pre.compare(w.pre))
}

func compareNumbers(a, b []uint64) int {
	for i := range max(len(a), len(b)) {
		if c := cmp.Compare(part(a, i), part(b, i)); c != 0 {
			return c
		}
	}
	return 0
}

// part is the i-th number of a version.
func part(numbers []uint64, i int) uint64 {
	if i < len(numbers) {
		return numbers[i]
	}
	return 0
}

// after is the first version, pre-releases included, behind all that begin with the given
// numbers: 1.3 after 1.2. Behind all that begin with nothing there is none; no version that
// can be written reaches what is given then.
func after(numbers []uint64) Version {
	if len(numbers) == 0 {
		return Version{numbers: []uint64{1<<64 - 1}, pre: lowest()}
	}
	next := slices.Clone(numbers)
	next[len(next)-1]++
	return Version{numbers: next, pre: lowest()}
}

// IsPrerelease reports whether it is an alpha, a release candidate or the like.
func (v Version) IsPrerelease() bool { return v.pre.word != released }

// isDay reports whether it is a date in one number, as 20240115.
func (v Version) isDay() bool {
	if len(v.numbers) != 1 {
		return false
	}
	_, err := time.Parse("20060102", strconv.FormatUint(v.numbers[0], 10))
	return err == nil
}

// Suffix is what follows the version, without the separator: "alpine3.19"; empty for a
// plain one.
func (v Version) Suffix() string { return v.suffix }

func countDigits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isSeparator(c byte) bool { return c == '-' || c == '_' || c == '.' }
