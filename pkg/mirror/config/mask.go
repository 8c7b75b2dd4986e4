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
)

// findSecrets finds the values of keys that look like a password's, also misspelled ones,
// and the user names and passwords in URLs. (`docker://name@sha256:…` is no login.)
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
		for _, m := range loginInURL.FindAllStringSubmatchIndex(line, -1) {
			if line[m[2]:m[3]] != string(reference.Registry) {
				hide(i, m[4], m[5])
			}
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

// value is where a key's value lies: bytes start to end of its line, and all lines after it
// up to lastLine.
type value struct{ start, end, lastLine int }

// valueAfter finds the value of a key that begins at keyStart of line i and whose colon
// ends before colonEnd.
func valueAfter(lines []string, i, keyStart, colonEnd int) value {
	line := lines[i]
	start := colonEnd + indentOf(line[colonEnd:])
	rest := line[start:]
	whole := value{start, len(line), lastIndented(lines, i)}
	switch {
	case rest == "":
		return value{start, start, max(whole.lastLine, nextFilled(lines, i))}
	case rest[0] == '"' || rest[0] == '\'':
		return quoted(lines, i, start)
	case strings.ContainsRune("&!*[{|>", rune(rest[0])):
		return whole
	}
	before := strings.TrimRight(line[:keyStart], " \t\"'")
	inFlow := strings.HasSuffix(before, "{") || strings.HasSuffix(before, ",")
	if end := strings.IndexAny(rest, ",}"); inFlow && end >= 0 && !strings.Contains(rest[:end], "{") {
		return value{start, start + end, i}
	}
	return whole
}

// quoted finds the end of a quoted value, which may span lines; without one it is the rest
// of the file.
func quoted(lines []string, i, start int) value {
	quote := lines[i][start]
	for l := i; l < len(lines); l++ {
		from := 0
		if l == i {
			from = start + 1
		}
		for at := from; at < len(lines[l]); at++ {
			switch {
			case lines[l][at] == '\\' && quote == '"':
				at++
			case lines[l][at] != quote:
			case quote == '\'' && strings.HasPrefix(lines[l][at+1:], "'"):
				at++
			case l == i:
				return value{start, at + 1, i}
			default:
				return value{start, len(lines[i]), l}
			}
		}
	}
	return value{start, len(lines[i]), len(lines) - 1}
}

// lastIndented is the last of the lines after i that are indented deeper, and so belong to
// its value.
func lastIndented(lines []string, i int) int {
	depth, last := indentOf(lines[i]), i
	for l := i + 1; l < len(lines); l++ {
		switch {
		case strings.TrimSpace(lines[l]) == "":
		case indentOf(lines[l]) > depth:
			last = l
		default:
			return last
		}
	}
	return last
}

func nextFilled(lines []string, i int) int {
	for l := i + 1; l < len(lines); l++ {
		if strings.TrimSpace(lines[l]) != "" {
			return l
		}
	}
	return i
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }
