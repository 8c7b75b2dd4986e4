package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// WriteJSON writes an indented document in which all text is safe to print: what a terminal could take for a command,
// or what changes the order of the text, is escaped as \uXXXX, also within the JSON of others, such as a manifest. The
// document decodes to the same values.
func WriteJSON(w io.Writer, document any) error { return encodeJSON(w, document, "  ") }

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

// escapeJSON escapes what is not printable in a JSON text. Outside of its strings, where nothing could be escaped, such
// a text has line breaks and blanks only. Bytes that are not UTF-8 become U+FFFD, which is what they decode to.
func escapeJSON(text []byte) []byte {
	escaped := make([]byte, 0, len(text))
	for len(text) > 0 {
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

// isSafe reports whether a terminal shows r as itself. Letters and symbols that look like blanks are not: with enough
// of them, a text would seem to go on in a line of its own.
func isSafe(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u2800', '\u3164', '\uffa0': // fillers of Hangul, and Braille without dots
		return false
	}
	return strconv.IsPrint(r)
}
