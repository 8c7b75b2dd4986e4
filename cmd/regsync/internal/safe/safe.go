// Package safe makes text of others, of registries and images, safe to print: it cannot send commands to a terminal, change the
// order of the text, or forge a line of regsync. Everything that regsync prints of them goes through [Clean], [Message],
// [WriteJSON] or [WriteJSONLine].
package safe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

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

// WriteJSON writes an indented document in which all text is safe to print: what a terminal could take for a command,
// or what changes the order of the text, is escaped as \uXXXX, also within the JSON of others, such as a manifest. The
// document decodes to the same values.
func WriteJSON(w io.Writer, document any) error { return encodeJSON(w, document, "  ") }

// WriteJSONLine writes a document on one line, as safe to print as that of [WriteJSON].
func WriteJSONLine(w io.Writer, document any) error { return encodeJSON(w, document, "") }

// JSONLine returns what [WriteJSONLine] writes, without its line break.
func JSONLine(document any) (string, error) {
	var line strings.Builder
	err := WriteJSONLine(&line, document)
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
