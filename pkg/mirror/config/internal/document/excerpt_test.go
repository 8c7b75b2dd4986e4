package document

import (
	"strings"
	"testing"
)

// TestMasked: `|` in a line stands before the column, and stays before the same character,
// or before the secret that has swallowed it.
func TestMasked(t *testing.T) {
	for text, want := range map[string]string{
		"plain: |x":          "plain: |x",
		"|password: hunter2": "|password: ***",
		"password: |hunter2": "password: |***",
		"password: hun|ter2": "password: |***",
		"{密码: 一, password: hunter2, |tls: of}":  "{密码: 一, password: ***, |tls: of}",
		`{password: "a, \"b", |tls: of}`:        "{password: ***, |tls: of}",
		"{a: 1, password: [a, b], |tls: of}":    "{a: 1, password: |***",
		"https://me:secret@a.b/|x":              "https://***@a.b/|x",
		"password: https://me:secret@a.b/|x":    "password: |***",
		"docker://a.b/x:1@sha256:0 |":           "docker://a.b/x:1@sha256:0 |",
		"from: me:pass@a.b/x, |to: me:pass@c.d": "from: ***@a.b/x, |to: ***@c.d",
		"passwordFile: |x":                      "passwordFile: |x",
	} {
		before, after, _ := strings.Cut(text, "|")
		src, ok := New("-", ".", []byte(before+after), &Problems{})
		if !ok {
			t.Fatalf("%q is no text", text)
		}
		line, caret := src.masked(1, len([]rune(before)))
		runes := []rune(line)
		if got := string(runes[:caret]) + "|" + string(runes[caret:]); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
