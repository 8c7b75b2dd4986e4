package ui

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// Clean makes foreign text safe to print in one line: line breaks and other
// white space become one space, and what a terminal could take for a command or that changes the
// order of the text is written as its escape, "\x1b".
func Clean(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[i]), 16))
		case unicode.IsSpace(r) && r != '\u0085':
			if r == ' ' || !strings.HasSuffix(b.String(), " ") {
				b.WriteByte(' ')
			}
		case !isSafe(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// maxMessage is how many bytes of an error or a warning are printed. An image may have 10,000 platforms, with names of
// any length: a message that lists them had 4.5 MB.
const maxMessage = 4 << 10

// Message is an error or a warning that may have foreign text, safe to print in one line, and cut if it is too long.
func Message(s string) string {
	if len(s) <= maxMessage {
		return Clean(s)
	}
	end := maxMessage
	for end > maxMessage-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s … (%d bytes are left out)", Clean(s[:end]), len(s)-end)
}

// width is the number of columns that a line takes on a terminal.
func width(s string) int { return runewidth.StringWidth(s) }

// truncate cuts s on the right to so many columns, and shows that it did.
func truncate(s string, columns int) string {
	if columns <= 0 {
		return ""
	}
	return runewidth.Truncate(s, columns, "…")
}

// truncateLeft cuts s on the left to so many columns, for names whose end says most.
func truncateLeft(s string, columns int) string {
	over := width(s) - columns
	if over <= 0 {
		return s
	}
	return truncate(runewidth.TruncateLeft(s, over+1, "…"), columns)
}

// padRight fills s up to so many columns.
func padRight(s string, columns int) string { return runewidth.FillRight(s, columns) }

// padLeft fills s up to so many columns, on its left.
func padLeft(s string, columns int) string { return runewidth.FillLeft(s, columns) }

// Referrers is a number of referrers: "1 referrer", "2 referrers".
func Referrers(n int) string { return counted(n, "referrer") }

func notAccepted(n int) string { return Referrers(n) + " not accepted by the destination" }

// counted is a number with its noun: "1 image", "2 images".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
