package safe

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// A manifest of someone else is part of a document of inspect: it once wrote raw C1 control characters to the terminal.
func TestWriteJSONIsSafeToPrint(t *testing.T) {
	foreign := "{\"a\u009b2J\":\"\u202e\\\"\u2800\x7f 镜像 \U000e0041 \\u001b <&>\", \"run\": \"a \\u0026\\u0026 b \\u003E \\\\u0026 \\u955c \\u0022 \\ud83d\\ude00\"}"
	document := struct {
		Text     string
		Manifest json.RawMessage
	}{"\x1b]0;\u009b\xff", json.RawMessage(foreign)}
	var out strings.Builder
	if err := WriteJSON(&out, document); err != nil {
		t.Fatal(err)
	}
	const want = `{
  "Text": "\u001b]0;\u009b\ufffd",
  "Manifest": {
    "a\u009b2J": "\u202e\"\u2800\u007f 镜像 \udb40\udc41 \u001b <&>",
    "run": "a && b > \\u0026 镜 \u0022 \ud83d\ude00"
  }
}
`
	if got := out.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Whatever the JSON of someone else is, what is printed of it decodes to the same, and a terminal prints all of it.
func FuzzEscapeJSON(f *testing.F) {
	f.Add([]byte("[\"\u009b\", \"\\u009b\", {\"\u202e\": 1.5e3}]"))
	f.Add([]byte(`["\u0026\\u0026\\\u003C\"", "\u003e"]`))
	f.Add([]byte("\"\xff\\\\\xc2\""))
	f.Fuzz(func(t *testing.T, text []byte) {
		var want, got any
		if json.Unmarshal(text, &want) != nil {
			return
		}
		var out strings.Builder
		if err := WriteJSON(&out, json.RawMessage(text)); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err := json.Unmarshal([]byte(out.String()), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q (%v), which decodes to %v, want %v", text, out.String(), err, got, want)
		}
		bad := func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }
		if !utf8.ValidString(out.String()) || strings.ContainsFunc(out.String(), bad) {
			t.Errorf("%q: %q is not safe to print", text, out.String())
		}
	})
}
