package tags

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Version is the version that a tag begins with. No module for semantic versions parses the tags that are
// used in practice: four numbers, leading zeros, 3.13.0rc2, and suffixes that name the base of an image
// instead of a pre-release.
type Version struct {
	numbers []uint64
	isDate  bool // written as 2024-01-15
	pre     prerelease
	suffix  string
}

// ParseVersion parses a tag as a version and reports whether it is one. A version is numbers between dots, after
// an optional v, or a date (2024-01-15); then perhaps a pre-release (-rc.1, rc1, .dev20240115), which is a word of
// a short list right after the numbers; then perhaps a suffix after `-`, `_` or `.`, which makes it a variant
// (-alpine3.19, _13-jdk). Letters right after the numbers are not a suffix: 1.1.1w and 7c3f2a1 are not versions.
func ParseVersion(tag string) (Version, bool) {
	var v Version
	var ok bool
	rest := strings.TrimPrefix(tag, "v")
	if v.numbers, rest, v.isDate = parseDate(rest); !v.isDate {
		if v.numbers, rest, ok = parseNumbers(rest); !ok {
			return Version{}, false
		}
	}
	v.pre, rest = parsePrerelease(rest, len(v.numbers) > 1)
	if rest == "" {
		return v, true
	}
	if len(rest) < 2 || !isSeparator(rest[0]) || isSeparator(rest[1]) {
		return Version{}, false
	}
	v.suffix = rest[1:]
	return v, true
}

// parseNumbers reads the numbers that s begins with.
func parseNumbers(s string) (numbers []uint64, rest string, ok bool) {
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

// parseDate reads a date as ISO 8601 writes it, whose hyphens separate numbers. Without one, rest is s.
func parseDate(s string) (numbers []uint64, rest string, ok bool) {
	const layout = "2024-01-15"
	if len(s) < len(layout) || len(s) > len(layout) && isDigit(s[len(layout)]) {
		return nil, s, false
	}
	parts := strings.Split(s[:len(layout)], "-")
	if len(parts) != 3 || len(parts[0]) != 4 || len(parts[1]) != 2 {
		return nil, s, false
	}
	for _, part := range parts {
		number, after, ok := cutNumber(part)
		if !ok || after != "" {
			return nil, s, false
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
	number, _ = strconv.ParseUint("0"+trimmed, 10, 64) // digits that fit
	return number, s[digits:], true
}

// IsPrerelease reports whether the version is a pre-release, such as an alpha or a release candidate.
func (v Version) IsPrerelease() bool { return v.pre.word != released }

// isInteger reports whether its version is one number, as in 17, 20240115 and 17-alpine.
func (v Version) isInteger() bool { return len(v.numbers) == 1 }

// isDotted reports whether its version is numbers between dots.
func (v Version) isDotted() bool { return len(v.numbers) > 1 && !v.isDate }

// Suffix returns the text after the version, without the separator: "alpine3.19"; empty for a plain version.
func (v Version) Suffix() string { return v.suffix }

// Variant returns the suffix with a star for each part that only distinguishes builds; empty for a plain
// version. Newest counts each variant separately.
//
// alpine3.19 and alpine3.20 are two variants, as are jdk17 and jdk21, pg15 and pg16, ltsc2019 and ltsc2022: a
// number in a suffix mostly names the base of the image, and users depend on one of them. If they were one
// variant, the newest of jdk21 would displace all of jdk17. As a result, some tags of a base that is no longer
// built are selected, which `variants` can exclude, but no needed tag is lost. Only a revision (debian-12-r4), a
// build number (13-jdk, behind 21.0.2_), a date (bookworm-20240110) and a commit are replaced: of those, the
// later is newer.
func (v Version) Variant() string {
	var name strings.Builder
	for rest := v.suffix; rest != ""; {
		token, after := cutUntil(rest, "-_.")
		if isBuild(token) || name.Len() == 0 && countDigits(token) == len(token) {
			token = "*"
		}
		name.WriteString(token)
		if rest = after; rest != "" {
			name.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	return strings.ReplaceAll(name.String(), "*.*", "*")
}

// isBuild reports whether a part of a suffix distinguishes builds: r4, a date or another long number, a commit.
func isBuild(token string) bool {
	const date = len("240115")
	if countDigits(token) == len(token) {
		return len(token) >= date
	}
	letters := countLetters(token)
	if number := token[letters:]; number != "" && countDigits(number) == len(number) {
		switch strings.ToLower(token[:letters]) {
		// Alpine's and Bitnami's r, linuxserver's ls, Java's b, SQL Server's CU.
		case "r", "rev", "ls", "b", "build", "p", "cu":
			return true
		}
	}
	// A git commit, short or long. Text without a digit is a word.
	const short, long = 7, 40
	commit := strings.TrimPrefix(token, "g")
	return len(commit) >= short && len(commit) <= long &&
		strings.Trim(commit, "0123456789abcdef") == "" && strings.ContainsAny(commit, "0123456789")
}

// key is the same text for equal versions of equal length: 1.2-rc.1 and 1.2rc1, but not 1.2 and 1.2.0.
func (v Version) key() string { return fmt.Sprint(v.numbers, v.pre.word, v.pre.parts, v.suffix) }

// beginnings yields the keys of the tags that are floating tags beside v: 17 and 17.1 of 17.1.2, 22-alpine of
// 22.10.0-alpine, 3.15-rc of 3.15.0rc1.
func (v Version) beginnings() iter.Seq[string] {
	return func(yield func(string) bool) {
		for numbers := 1; numbers <= len(v.numbers); numbers++ {
			for parts := 0; parts <= len(v.pre.parts); parts++ {
				w := v
				w.numbers, w.pre.parts = v.numbers[:numbers], v.pre.parts[:parts]
				if numbers+parts < len(v.numbers)+len(v.pre.parts) && !yield(w.key()) {
					return
				}
			}
		}
	}
}

// Compare orders versions: by their numbers, where a missing one is zero (1.2 is 1.2.0); a pre-release before its
// release; then by the suffix, whose numbers compare as numbers, so that -debian-12-r10 is after -debian-12-r9.
func (v Version) Compare(w Version) int {
	return cmp.Or(v.compareWithoutSuffix(w), compareNatural(v.suffix, w.suffix))
}

func (v Version) compareWithoutSuffix(w Version) int {
	for i := range max(len(v.numbers), len(w.numbers)) {
		var a, b uint64
		if i < len(v.numbers) {
			a = v.numbers[i]
		}
		if i < len(w.numbers) {
			b = w.numbers[i]
		}
		if a != b {
			return cmp.Compare(a, b)
		}
	}
	return v.pre.compare(w.pre)
}

// after is the first version, pre-releases included, above all that begin with the given numbers: 1.3 after 1.2.
// Without numbers it is above every version that can be written.
func after(numbers []uint64) Version {
	if len(numbers) == 0 {
		return Version{numbers: []uint64{1<<64 - 1}, pre: lowest()}
	}
	next := slices.Clone(numbers)
	next[len(next)-1]++
	return Version{numbers: next, pre: lowest()}
}

// prerelease is the part of a version that makes it a pre-release. The zero value is that of a release.
type prerelease struct {
	word  stage
	parts []string // "1" of rc.1, "20240115" and "abc" of dev.20240115.abc
}

// stage is the place of a word in the order of stages.
type stage int

// The stages. Builds that lead up to a version come before its alphas, as dev does in PEP 440.
const (
	released stage = -iota
	releaseCandidate
	preview
	milestone
	beta
	alpha
	build
	// first is below all others. Users who want pre-releases write >=1.2-0, which begins there.
	first
)

func lowest() prerelease { return prerelease{word: first} }

// stageOf is the stage that a word means, in any case: php writes RC1, tomcat M1.
func stageOf(word string) (stage, bool) {
	switch strings.ToLower(word) {
	case "rc":
		return releaseCandidate, true
	case "pre", "preview":
		return preview, true
	case "m":
		return milestone, true
	case "beta", "b":
		return beta, true
	case "alpha", "a":
		return alpha, true
	case "dev", "snapshot", "nightly", "canary":
		return build, true
	}
	return released, false
}

// parsePrerelease reads the pre-release that s, which follows the numbers, begins with. A word with more letters is
// another word: devel is not a pre-release. Python's a4 and b1 stand right after several numbers: -b9 is a build,
// and 7b1 part of a commit.
func parsePrerelease(s string, severalNumbers bool) (prerelease, string) {
	glued := s != "" && !isSeparator(s[0])
	rest := s
	if s != "" && !glued {
		rest = s[1:]
	}
	word := rest[:countLetters(rest)]
	rest = rest[len(word):]
	digits := countDigits(rest)
	at, known := stageOf(word)
	if len(word) == 1 { // m1, and Python's a4 and b1
		known = known && digits > 0 && (at == milestone || glued && severalNumbers)
	}
	if !known {
		return prerelease{}, s
	}
	pre := prerelease{word: at}
	if digits > 0 {
		pre.parts, rest = append(pre.parts, rest[:digits]), rest[digits:]
	}
	if rest != "" && !isSeparator(rest[0]) {
		return prerelease{}, s
	}
	// Anything after a dot belongs to it, as in semantic versions, and numbers after a hyphen. Words after a
	// hyphen are a variant: rc2-slim.
	for len(rest) > 1 && isSeparator(rest[0]) {
		part, _ := cutUntil(rest[1:], "-_.")
		if part == "" || rest[0] != '.' && countDigits(part) != len(part) {
			break
		}
		pre.parts, rest = append(pre.parts, part), rest[1+len(part):]
	}
	return pre, rest
}

// compare orders pre-releases as semantic versions do, except that rc1 is rc.1.
func (p prerelease) compare(q prerelease) int {
	if c := cmp.Compare(p.word, q.word); c != 0 {
		return c
	}
	for i := range min(len(p.parts), len(q.parts)) {
		a, b := p.parts[i], q.parts[i]
		aNumber, bNumber := countDigits(a) == len(a), countDigits(b) == len(b)
		switch {
		case aNumber && !bNumber:
			return -1
		case bNumber && !aNumber:
			return 1
		}
		if c := compareNatural(a, b); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(p.parts), len(q.parts))
}

// compareNatural orders texts by their characters and, where digits meet, by the numbers: r9 before r10, alpine3.9
// before alpine3.19. Numbers may have any length.
func compareNatural(a, b string) int {
	for a != "" && b != "" {
		if isDigit(a[0]) && isDigit(b[0]) {
			aDigits, bDigits := countDigits(a), countDigits(b)
			aNumber, bNumber := strings.TrimLeft(a[:aDigits], "0"), strings.TrimLeft(b[:bDigits], "0")
			if c := cmp.Or(cmp.Compare(len(aNumber), len(bNumber)), strings.Compare(aNumber, bNumber)); c != 0 {
				return c
			}
			a, b = a[aDigits:], b[bDigits:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func countDigits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

func countLetters(s string) int {
	n := 0
	for n < len(s) && ('a' <= s[n] && s[n] <= 'z' || 'A' <= s[n] && s[n] <= 'Z') {
		n++
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isSeparator(c byte) bool { return c == '-' || c == '_' || c == '.' }
