package document

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"

	"github.com/regsync/regsync/internal/typo"
	"github.com/regsync/regsync/pkg/reference"
)

const (
	// redacted is shown in place of a secret.
	redacted = "***"
	// excerptWidth is the most that is shown of a line, and excerptLead what of it is before
	// the caret, in characters.
	excerptWidth = 120
	excerptLead  = 60
	// longLine is the length of lines, in bytes, that are not shown: they were not written by hand, and
	// a search for secrets in each of them would take minutes.
	longLine = 32 << 10
)

// excerpt shows the line at a position with a caret under the column. Wide characters take
// two columns, as terminals draw them.
func (s *Source) excerpt(at Position) string {
	line, caret := s.masked(at.Line, at.Column-1)
	if strings.TrimSpace(line) == "" {
		return ""
	}
	runes := []rune(line)
	for i, r := range runes {
		switch {
		case r == '\t':
			runes[i] = ' '
		case r < ' ' || r == 0x7f:
			runes[i] = '?'
		}
	}
	if len(runes) > excerptWidth {
		start := max(0, caret-excerptLead)
		end := min(len(runes), start+excerptWidth)
		if end < len(runes) {
			runes[end-1] = '…'
		}
		runes, caret = runes[start:end], caret-start
		if start > 0 {
			runes[0] = '…'
		}
	}
	width := runewidth.Condition{StrictEmojiNeutral: true} // not what the locale says
	return "    " + string(runes) + "\n    " + strings.Repeat(" ", width.StringWidth(string(runes[:caret]))) + "^"
}

// span is a part of a line, in bytes, the end not included.
type span struct{ start, end int }

// masked gives a line with its secrets replaced, and where a column of it is now. Columns
// count characters from 0.
//
// Secrets are found in the text, not in the parsed tree, because the line of a syntax error
// may hold a password too. In doubt too much is masked.
func (s *Source) masked(number, column int) (string, int) {
	if s.secrets == nil {
		s.secrets = findSecrets(s.Lines)
	}
	line := s.line(number)
	runes := []rune(line)
	at := len(string(runes[:min(max(column, 0), len(runes))]))
	var b strings.Builder
	end, caret := 0, 0
	for _, secret := range s.secrets[number] {
		if secret.end <= end {
			continue
		}
		if secret.start >= end { // else it overlaps the last one
			if at >= end {
				caret = b.Len() + at - end
			}
			b.WriteString(line[end:secret.start] + redacted)
		}
		if at >= secret.start {
			caret = b.Len() - len(redacted)
		}
		end = secret.end
	}
	if at >= end {
		caret = b.Len() + at - end
	}
	text := b.String() + line[end:]
	return text, utf8.RuneCountInString(text[:caret])
}

var (
	keyOfMapping = regexp.MustCompile(`([\pL\pN_-]+)["']?[ \t]*[:：][ \t]*`)
	quotedValue  = regexp.MustCompile(`^("(\\.|[^"\\])*"|'(''|[^'])*')`)
	loginInURL   = regexp.MustCompile(`([a-z0-9+.-]+)://([^\s"']*)@`)
	loginInName  = regexp.MustCompile(`([^\s"'/@{}\[\],]+:[^\s"'/@,][^\s"'@,]*)@(sha256:|sha512:)?`)
)

// findSecrets finds the values of keys that look like a password's, also misspelled ones, and
// the user names and passwords before hosts, by the number of their line.
func findSecrets(lines []string) map[int][]span {
	found := map[int][]span{}
	const nothing = maxFile
	hidden := nothing // deeper lines belong to a secret value
	nextToo := false  // so does the next line, however it is indented
	for i, line := range lines {
		indent := len(line) - len(strings.TrimLeft(line, " \t"))
		switch {
		case len(line) > longLine || indent == len(line):
			continue
		case nextToo || indent > hidden:
			found[i+1], nextToo = []span{{indent, len(line)}}, false
			continue
		}
		spans, covered := logins(line), 0
		hidden = nothing
		for _, m := range keyOfMapping.FindAllStringSubmatchIndex(line, -1) {
			if m[0] < covered || !isSecretKey(line[m[2]:m[3]]) {
				continue
			}
			end, ends := endOfValue(line, m[2], m[1])
			switch rest := line[m[1]:]; {
			case ends:
			case rest != "" && strings.ContainsRune(`"'`, rune(rest[0])):
				hidden = -1 // its quote is not closed here: nothing below is shown
			default:
				hidden, nextToo = indent, rest == ""
			}
			covered = end
			spans = append(spans, span{m[1], end})
		}
		slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end)) })
		found[i+1] = spans
	}
	return found
}

// endOfValue finds the end of a value that begins at start, of the key at keyStart, and
// reports whether it certainly ends on this line.
func endOfValue(line string, keyStart, start int) (int, bool) {
	rest := line[start:]
	if quoted := quotedValue.FindString(rest); quoted != "" {
		return start + len(quoted), true
	}
	before := strings.TrimRight(line[:keyStart], " \t\"'")
	inFlow := strings.HasSuffix(before, "{") || strings.HasSuffix(before, ",")
	end := strings.IndexAny(rest, ",}")
	if inFlow && end >= 0 && !strings.ContainsAny(rest[:1], `"'&!*[|>`) && !strings.Contains(rest[:end], "{") {
		return start + end, true
	}
	return len(line), false
}

// logins are the user names and passwords of a line. (`name:tag@sha256:…` is none.)
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
