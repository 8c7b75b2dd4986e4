package config

import (
	"strings"

	"github.com/mattn/go-runewidth"
)

const (
	// excerptWidth is the most that is shown of a line, and excerptLead what of it is before
	// the caret, in characters.
	excerptWidth = 120
	excerptLead  = 60
	// longLine is the length of lines, in bytes, of which nothing is shown: no person wrote
	// them, and searching each for secrets again and again would take for ever.
	longLine = 32 << 10
)

// excerpt shows the line at a position with a caret under the column. Wide characters
// take two columns, as terminals draw them.
func excerpt(src *source, at Position) string {
	line, caret := src.masked(at.Line, at.Column-1)
	if strings.TrimSpace(line) == "" {
		return ""
	}
	runes := []rune(strings.ReplaceAll(line, "\t", " "))
	caret = min(max(caret, 0), len(runes))
	runes, caret = window(runes, caret)
	for i, r := range runes {
		if r < ' ' || r == 0x7f {
			runes[i] = '?'
		}
	}
	shown := string(runes)
	width := runewidth.Condition{StrictEmojiNeutral: true} // not what the locale says
	indent := width.StringWidth(string(runes[:caret]))
	return "    " + shown + "\n    " + strings.Repeat(" ", indent) + "^"
}

// window cuts a long line around the caret.
func window(runes []rune, caret int) ([]rune, int) {
	if len(runes) <= excerptWidth {
		return runes, caret
	}
	start := max(0, caret-excerptLead)
	end := min(len(runes), start+excerptWidth)
	cut := runes[start:end]
	if start > 0 {
		cut = append([]rune{'…'}, cut[1:]...)
	} else {
		cut = append([]rune{}, cut...)
	}
	if end < len(runes) {
		cut[len(cut)-1] = '…'
	}
	return cut, caret - start
}
