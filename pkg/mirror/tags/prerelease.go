package tags

import (
	"cmp"
	"strings"
)

// prerelease is the part of a version that makes it one. Its zero value makes it none.
type prerelease struct {
	word  stage
	parts []string // "1" of rc.1, "20240115" and "abc" of dev.20240115.abc
}

// stage is a word's place in the order of stages.
type stage int

// The stages. Builds that lead up to a version come before its alphas, as PEP 440 has it of
// dev.
const (
	released stage = -iota
	releaseCandidate
	preview
	milestone
	beta
	alpha
	build
	// first is before all: what >=1.2-0 begins with, as people write who want pre-releases.
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

// parsePrerelease reads the pre-release that s, which follows the numbers, begins with. A
// word with letters behind it is another word: devel is none.
//
// Python's a4 and b1 are glued to several numbers: -b9 is a build, and 7b1 part of a hash.
func parsePrerelease(s string, severalNumbers bool) (prerelease, string) {
	glued := s != "" && !isSeparator(s[0])
	rest := s
	if s != "" && !glued {
		rest = s[1:]
	}
	word := rest[:countLetters(rest)]
	rest = rest[len(word):]
	at, known := stageOf(word)
	if !known || len(word) == 1 && !singleLetter(word, rest, glued && severalNumbers) {
		return prerelease{}, s
	}
	pre := prerelease{word: at}
	if digits := countDigits(rest); digits > 0 {
		pre.parts, rest = append(pre.parts, rest[:digits]), rest[digits:]
	}
	if rest != "" && !isSeparator(rest[0]) {
		return prerelease{}, s
	}
	parts, rest := parseParts(rest)
	pre.parts = append(pre.parts, parts...)
	return pre, rest
}

// singleLetter reports whether a letter says a pre-release: always with a number, as m1.
func singleLetter(letter, rest string, glued bool) bool {
	return countDigits(rest) > 0 && (glued || strings.EqualFold(letter, "m"))
}

// parseParts reads what else belongs to a pre-release: anything after a dot, as semantic
// versions have it, and numbers after a hyphen. Words after a hyphen are a variant:
// rc2-slim.
func parseParts(s string) (parts []string, rest string) {
	for len(s) > 1 && isSeparator(s[0]) {
		length := countAlphanumerics(s[1:])
		text := s[1 : 1+length]
		if length == 0 || s[0] != '.' && countDigits(text) != length {
			break
		}
		parts, s = append(parts, text), s[1+length:]
	}
	return parts, s
}

// compare orders pre-releases as semantic versions do, but for the words: rc1 is rc.1.
func (p prerelease) compare(q prerelease) int {
	if c := cmp.Compare(p.word, q.word); c != 0 {
		return c
	}
	for i := range min(len(p.parts), len(q.parts)) {
		if c := compareParts(p.parts[i], q.parts[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(p.parts), len(q.parts))
}

// compareParts puts numbers before words.
func compareParts(a, b string) int {
	aNumber, bNumber := countDigits(a) == len(a), countDigits(b) == len(b)
	switch {
	case aNumber && !bNumber:
		return -1
	case bNumber && !aNumber:
		return 1
	default:
		return compareNatural(a, b)
	}
}

func countLetters(s string) int {
	n := 0
	for n < len(s) && isLetter(s[n]) {
		n++
	}
	return n
}

func countAlphanumerics(s string) int {
	n := 0
	for n < len(s) && (isLetter(s[n]) || isDigit(s[n])) {
		n++
	}
	return n
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
