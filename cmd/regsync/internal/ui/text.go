package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/docker/go-units"
	"github.com/mattn/go-runewidth"
	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/report"
)

// Clean makes foreign text safe to print in one line: line breaks and other white space become one space, and characters
// that control a terminal or change the order of the text are written as escapes, "\x1b".
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

// Message is an error or a warning that may have foreign text, safe to print in one line, and cut if it is too long.
func Message(s string) string { return Clean(report.Shorten(s)) }

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

// shortNames cuts names to so many columns, by name: on the left or, where names differ only in what that cuts off, so that
// their first difference stays.
func shortNames(names []string, columns int) map[string]string {
	short, alike := map[string]string{}, map[string][]string{}
	for _, name := range names {
		if _, known := short[name]; !known {
			cut := truncateLeft(name, columns)
			short[name], alike[cut] = cut, append(alike[cut], name)
		}
	}
	for _, group := range alike {
		if len(group) == 1 {
			continue
		}
		same := len(commonPrefix(group))
		for _, name := range group {
			head := name[same:]
			if same > 0 {
				head = "…" + head
			}
			tail := max(columns-2, 0) / 2
			short[name] = truncate(head, columns-tail) + runewidth.TruncateLeft(name, max(width(name)-tail, 0), "")
		}
	}
	return short
}

// commonPrefix returns what all texts begin with, in whole characters.
func commonPrefix(texts []string) string {
	prefix := texts[0]
	for _, text := range texts[1:] {
		for !strings.HasPrefix(text, prefix) {
			_, size := utf8.DecodeLastRuneInString(prefix)
			prefix = prefix[:len(prefix)-size]
		}
	}
	return prefix
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

// HumanSize is a number of bytes as Docker's progress shows it: decimal units, at most four significant digits, "12.1MB".
func HumanSize(bytes int64) string { return humanSize(float64(bytes), 4) }

// ImageSize is a number of bytes as Docker's lists show it: at most three significant digits, "187MB".
func ImageSize(bytes int64) string { return humanSize(float64(bytes), 3) }

// rate is a speed as people read it, "12.1MB/s".
func rate(bytesPerSecond float64) string { return humanSize(bytesPerSecond, 3) + "/s" }

// humanSize rounds before the unit is chosen: 999.9MB to three digits is 1GB, where go-units alone has 1e+03MB.
func humanSize(bytes float64, digits int) string {
	if bytes >= 1 {
		step := max(1, math.Pow10(int(math.Floor(math.Log10(bytes)))+1-digits))
		bytes = math.Round(bytes/step) * step
	}
	return units.HumanSizeWithPrecision(bytes, digits)
}

// Ago is how long a time is past as Docker shows it, "3 weeks ago"; "N/A" for the zero time,
// which images that are built reproducibly have. A time in the future is "Less than a second ago".
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "N/A"
	}
	return units.HumanDuration(now.Sub(t)) + " ago"
}

// ShortID is the first twelve digits of a digest, as Docker shows IDs.
func ShortID(d digest.Digest) string {
	if d.Validate() != nil {
		return truncate(Clean(d.String()), 12)
	}
	return d.Encoded()[:12]
}

// shortDigest is a digest that is still recognised as one: "sha256:0123456789ab".
func shortDigest(d digest.Digest) string {
	if d.Validate() != nil {
		return Clean(d.String())
	}
	return d.Algorithm().String() + ":" + ShortID(d)
}

// clock is a time span while it runs: "8s", "3m05s", "1h02m".
func clock(d time.Duration) string {
	seconds := int(math.Ceil(d.Seconds()))
	switch {
	case seconds < 60:
		return fmt.Sprintf("%ds", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%dm%02ds", seconds/60, seconds%60)
	case seconds < 100*3600:
		return fmt.Sprintf("%dh%02dm", seconds/3600, seconds/60%60)
	default:
		return fmt.Sprintf("%dd", seconds/(24*3600))
	}
}

// elapsed is a time span that is over: "0.4s", "12.3s", "3m05s".
func elapsed(d time.Duration) string {
	if d = d.Round(100 * time.Millisecond); d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return clock(d)
}

// WriteJSON writes an indented document in which all text is safe to print: what a terminal could take for a command,
// or what changes the order of the text, is escaped as \uXXXX, also within the JSON of others, such as a manifest. The
// document decodes to the same values.
func WriteJSON(w io.Writer, document any) error { return encodeJSON(w, document, "  ") }

// JSONLine returns a document on one line, without a line break at its end, as safe to print as that of [WriteJSON].
func JSONLine(document any) (string, error) {
	var line strings.Builder
	err := encodeJSON(&line, document, "")
	return strings.TrimSuffix(line.String(), "\n"), err
}

// encodeJSON writes a document, on one line if indent is empty.
func encodeJSON(w io.Writer, document any, indent string) error {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(document); err != nil {
		return err
	}
	_, err := w.Write(escapeJSON(encoded.Bytes()))
	return err
}

// escapeJSON escapes what is not safe to print in a JSON text, and nothing else. Outside of its strings, where nothing could
// be escaped, such a text has line breaks and blanks only. Bytes that are not UTF-8 become U+FFFD, which is what they
// decode to.
func escapeJSON(text []byte) []byte {
	escaped := make([]byte, 0, len(text))
	for len(text) > 0 {
		if text[0] == '\\' && len(text) > 1 {
			shown, size := unescape(text)
			escaped, text = append(escaped, shown...), text[size:]
			continue
		}
		r, size := utf8.DecodeRune(text)
		switch high, low := utf16.EncodeRune(r); {
		case r == utf8.RuneError && size == 1:
			escaped = append(escaped, `\ufffd`...)
		case r == '\n' || isSafe(r):
			escaped = append(escaped, text[:size]...)
		case high != utf8.RuneError:
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, high, low)
		default:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		}
		text = text[size:]
	}
	return escaped
}

// unescape returns what the escape that text begins with is shown as, and its size: the character itself if it is safe to
// print. Go's encoder escapes &, < and > by default, as BuildKit does in the configs of images, and others all but ASCII.
func unescape(text []byte) (shown []byte, size int) {
	if len(text) >= 6 && text[1] == 'u' {
		code, err := strconv.ParseUint(string(text[2:6]), 16, 16)
		if r := rune(code); err == nil && isSafe(r) && r != '"' && r != '\\' && r != utf8.RuneError {
			return utf8.AppendRune(nil, r), 6
		}
	}
	return text[:2], 2
}

// isSafe reports whether a terminal shows r as itself. Letters and symbols that look like blanks are not: with enough
// of them, a text would seem to go on in a line of its own.
func isSafe(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u2800', '\u3164', '\uffa0': // fillers of Hangul, and Braille without dots
		return false
	}
	return strconv.IsPrint(r)
}
