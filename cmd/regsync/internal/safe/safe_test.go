package safe

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain text":           "plain text",
		"two\nlines\r\nor\tso": "two lines or so",
		"\x1b[31mred\x1b[0m":   `\x1b[31mred\x1b[0m`,
		"bell\a, delete\x7f":   `bell\a, delete\x7f`,
		"C1 \u009b2J":          `C1 \u009b2J`,
		"next line \u0085x":    `next line \u0085x`,
		"cp.exe\u202egnp":      `cp.exe\u202egnp`, // reads backwards from here
		"not UTF-8 \xff\x9b":   `not UTF-8 \xff\x9b`,
		"镜像 é 🚢":               "镜像 é 🚢",
		"a replacement \ufffd": "a replacement \ufffd",
		"trailing \n":          "trailing",
		"blank\u3164\u2800":    `blank\u3164\u2800`, // look like blanks, and could fill a line
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b]0;title\a")
	f.Add("\u009b2J\r\n\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if !utf8.ValidString(got) {
			t.Errorf("Clean(%q) = %q is not UTF-8", s, got)
		}
		if i := strings.IndexFunc(got, func(r rune) bool { return !strconv.IsPrint(r) }); i >= 0 {
			t.Errorf("Clean(%q) = %q has %q", s, got, got[i:])
		}
		if again := Clean(got); again != got {
			t.Errorf("Clean(%q) = %q, and again %q", s, got, again)
		}
	})
}

// An image can make a message as long as it likes, and has its own ideas of what is printed.
func TestMessageIsBounded(t *testing.T) {
	if got := Message("a\nb"); got != Clean("a\nb") {
		t.Errorf("got %q", got)
	}
	const most = 20 << 10 // bytes, with the escapes
	if got := Message(strings.Repeat("\x80", 1<<20)); len(got) > most {
		t.Errorf("got %d bytes, want at most %d", len(got), most)
	}
}
