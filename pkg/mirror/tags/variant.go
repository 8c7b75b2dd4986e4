package tags

import (
	"slices"
	"strings"
)

// Variant is what newest counts by: the suffix with what only tells builds of it apart
// replaced by a star. Empty is a plain version.
//
// A suffix is a variant as it stands: alpine3.19 and alpine3.20 are two, as are jdk17 and
// jdk21, pg15 and pg16, ltsc2019 and ltsc2022. Numbers in a suffix mostly say what the image
// is built on, and people depend on one of them: if they were one variant, the newest of
// jdk21 would push out all of jdk17. So a few tags too many are kept of a base that nobody
// builds any more, which `variants` can leave out, and none too few. Only a revision
// (debian-12-r4), a build number (13-jdk, behind 21.0.2_), a date (bookworm-20240110) and a
// commit are not part of the name: of those, the later is the newer one.
func (v Version) Variant() string {
	if v.suffix == "" {
		return ""
	}
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

// ParseSuffix reads a pattern of suffixes. Who writes "-alpine*" means "alpine*".
func ParseSuffix(s string) (Pattern, error) { return ParsePattern(strings.TrimPrefix(s, "-")) }

// wants reports whether a suffix is a variant that is asked for.
func (b Block) wants(suffix string) bool {
	return slices.ContainsFunc(b.Variants, func(p Pattern) bool { return isVariant(p, suffix) })
}

func isVariant(p Pattern, suffix string) bool { return suffix != "" && p.Match(suffix) }

// isBuild reports whether a token tells builds apart: r4, a date or another long number, a
// commit.
func isBuild(token string) bool {
	const date = len("240115")
	if countDigits(token) == len(token) {
		return len(token) >= date
	}
	letters := countLetters(token)
	if number := token[letters:]; number != "" && countDigits(number) == len(number) && isRevision(token[:letters]) {
		return true
	}
	return isCommit(strings.TrimPrefix(token, "g"))
}

// isRevision reports whether a number behind a word is that of a build: Alpine's and
// Bitnami's r, linuxserver's ls, Java's b, SQL Server's CU.
func isRevision(word string) bool {
	switch strings.ToLower(word) {
	case "r", "rev", "ls", "b", "build", "p", "cu":
		return true
	}
	return false
}

// isCommit reports whether a token is a commit of git, short or long. A word without a digit
// is a word.
func isCommit(token string) bool {
	const short, long = 7, 40
	return len(token) >= short && len(token) <= long &&
		strings.Trim(token, "0123456789abcdef") == "" && strings.ContainsAny(token, "0123456789")
}
