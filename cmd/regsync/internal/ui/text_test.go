package ui

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

func TestTruncate(t *testing.T) {
	for _, test := range []struct {
		in          string
		columns     int
		right, left string
	}{
		{"nginx", 5, "nginx", "nginx"},
		{"nginx", 4, "ngi…", "…inx"},
		{"nginx", 1, "…", "…"},
		{"nginx", 0, "", ""},
		{"镜像仓库", 8, "镜像仓库", "镜像仓库"},
		{"镜像仓库", 7, "镜像仓…", "…像仓库"},
		{"镜像仓库", 6, "镜像…", "… 仓库"},
	} {
		if got := truncate(test.in, test.columns); got != test.right {
			t.Errorf("truncate(%q, %d) = %q, want %q", test.in, test.columns, got, test.right)
		}
		if got := truncateLeft(test.in, test.columns); got != test.left {
			t.Errorf("truncateLeft(%q, %d) = %q, want %q", test.in, test.columns, got, test.left)
		}
	}
}

// In a window of 40 columns, the rows of two registries that receive the same tag were alike: both were …am/app:1.2.
func TestShortNamesStayDifferent(t *testing.T) {
	for _, test := range []struct{ names, want []string }{
		{[]string{"a.corp/team/app:1.2", "b.corp/team/app:1.2"}, []string{"a.corp/…p:1.2", "b.corp/…p:1.2"}},
		{[]string{"harbor-east.corp/app:1.2", "harbor-west.corp/app:1.2"}, []string{"…east.c…p:1.2", "…west.c…p:1.2"}},
		{[]string{"a.corp/team/app:1.2", "a.corp/team/web:1.2"}, []string{"…team/app:1.2", "…team/web:1.2"}},
		{[]string{"a.corp/team/app:1.2", "a.corp/team/app:1.2"}, []string{"…team/app:1.2", "…team/app:1.2"}},
		{[]string{"a/app:1", "b/app:1"}, []string{"a/app:1", "b/app:1"}},
	} {
		short := shortNames(test.names, 13)
		for i, name := range test.names {
			if got := short[name]; got != test.want[i] || width(got) > 13 {
				t.Errorf("%s of %q: got %q, want %q", name, test.names, got, test.want[i])
			}
		}
	}
	for columns := range 13 {
		for name, got := range shortNames([]string{"a.corp/team/app:1.2", "b.corp/team/app:1.2"}, columns) {
			if width(got) > columns {
				t.Errorf("%d columns: got %q for %s", columns, got, name)
			}
		}
	}
}
