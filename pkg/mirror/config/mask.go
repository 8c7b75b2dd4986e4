package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/regsync/regsync/internal/typo"
	"github.com/regsync/regsync/pkg/reference"
)

// span is a part of a line, in characters from 0, the end not included.
type span struct{ start, end int }

// masked gives a line with its secrets replaced, and where a column of it (from 0) is now.
//
// What is secret is found in the text, not in the parsed tree, because the line of a syntax
// error may hold a password too. In doubt it masks too much.
func (s *source) masked(number, column int) (string, int) {
	if s.secrets == nil {
		s.secrets = findSecrets(s.lines)
	}
	runes := []rune(s.line(number))
	var b strings.Builder
	end, shifted := 0, column
	for _, secret := range s.secrets[number] {
		if secret.start < end || secret.end > len(runes) {
			continue
		}
		b.WriteString(string(runes[end:secret.start]))
		b.WriteString(redacted)
		switch {
		case column >= secret.end:
			shifted += len(redacted) - (secret.end - secret.start)
		case column > secret.start:
			shifted -= column - secret.start
		}
		end = secret.end
	}
	b.WriteString(string(runes[end:]))
	return b.String(), shifted
}

var (
	keyOfMapping = regexp.MustCompile(`([\pL\pN_-]+)["']?[ \t]*[:：]`)
	loginInURL   = regexp.MustCompile(`([a-z0-9+.-]+)://([^\s"']*)@`)
	loginInName  = regexp.MustCompile(`([^\s"'/@{}\[\],]+:[^\s"'/@,][^\s"'@,]*)@(sha256:|sha512:)?`)
)

// findSecrets finds the values of keys that look like a password's, also misspelled ones,
// and the user names and passwords before hosts. (`name:tag@sha256:…` is no login.)
func findSecrets(lines []string) map[int][]span {
	found := map[int][]span{}
	hide := func(i, start, end int) {
		if start < end {
			found[i+1] = append(found[i+1], runeSpan(lines[i], start, end))
		}
	}
	hidden := -1 // the last line that is hidden as a whole
	for i, line := range lines {
		if len(line) > longLine {
			continue
		}
		for _, login := range logins(line) {
			hide(i, login.start, login.end)
		}
		if i <= hidden {
			hide(i, indentOf(line), len(line))
			continue
		}
		covered := 0
		for _, m := range keyOfMapping.FindAllStringSubmatchIndex(line, -1) {
			if m[0] >= covered && isSecretKey(line[m[2]:m[3]]) {
				v := valueAfter(lines, i, m[2], m[1])
				hide(i, v.start, v.end)
				covered, hidden = v.end, max(hidden, v.lastLine)
			}
		}
	}
	for _, spans := range found {
		slices.SortFunc(spans, func(a, b span) int {
			return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end))
		})
	}
	return found
}

// logins are the user names and passwords of a line, in bytes.
func logins(line string) []span {
	var found []span
	for _, m := range loginInURL.FindAllStringSubmatchIndex(line, -1) {
		if line[m[2]:m[3]] != string(reference.Registry) {
			found = append(found, span{m[4], m[5]})
		}
	}
	for _, m := range loginInName.FindAllStringSubmatchIndex(line, -1) {
		if m[4] < 0 {
			found = append(found, span{m[2], m[3]})
		}
	}
	return found
}

func runeSpan(line string, start, end int) span {
	first := utf8.RuneCountInString(line[:start])
	return span{first, first + utf8.RuneCountInString(line[start:end])}
}

func isSecretKey(key string) bool {
	key = strings.ToLower(key)
	if strings.HasSuffix(key, "file") {
		return false
	}
	for _, part := range []string{"pass", "pwd", "secret", "token", "credential", "auth", "proxy"} {
		if strings.Contains(key, part) {
			return true
		}
	}
	return key == "pw" || typo.Distance(key, "password") <= 3
}
