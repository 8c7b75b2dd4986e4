package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/regsync/regsync/pkg/mirror/config"
)

// FuzzLoad: whatever a file holds, it is a configuration or an *Errors whose positions lie
// in the text, and no password is shown.
func FuzzLoad(f *testing.F) {
	mistakes, err := os.ReadFile("testdata/mistakes.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(mistakes))
	f.Add("version: 1\nregistries: {a.b: {username: u, password: \"p\"}}\nsync: [{from: a, to: 'b/{{.Tag}}:x'}]\n")
	f.Add("version: 1\nsync: [&a {from: &b [a, b], to: *b}, *a, *a]\n")
	f.Add("a: &a [*a, *a]\nsync: *a\n")
	f.Add("version: 1\nsync:\n- from: ${A:-${B}}\n  to: '{{define \"x\"}}{{end}}{{template \"x\"}}'\n  tags: {include: ['/(a*)*/', '[!a]\\']}\n")
	f.Add("version: 1\nx-a: &a {<<: *a}\nsync:\n- {<<: [*a, {to: 'c.d/{{.Date}}'}], from: 'a.b/{c,*}:{1,}', rename: '{{.Tag}}-', tags: [{semver: '>1', newest: {count: 1}, olderThan: 1w}]}\n")
	f.Add("version: 1\nsync:\n- {from: a.b/c, to: 'd.e/{{.Base}}', rename: '{{.Tag}}-x', maxSize: 9PiB, timeout: 1w1d}\n- {from: d.e/c, to: a.b/c, referrers: [a/b]}\n")
	f.Add("\ufeff---\r\nversion: 1\r---\u2028x")
	f.Add("? [a]\n: b\n!!set {a: }\n%YAML 9.9\n")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := config.Load([]string{"-"}, config.Options{Env: environment("A", "value"), Stdin: strings.NewReader(text)})
		if (cfg == nil) == (err == nil) {
			t.Fatalf("got %v and %v", cfg, err)
		}
		if err == nil {
			return
		}
		list, ok := errors.AsType[*config.Errors](err)
		if !ok || len(list.Problems) == 0 {
			t.Fatalf("got %T: %v", err, err)
		}
		for _, p := range list.Problems {
			if p.Message == "" || p.Line < 0 || p.Line > len(text)+1 || p.Column > len(text)+1 {
				t.Errorf("bad problem %+v", p)
			}
		}
		if !utf8.ValidString(err.Error()) {
			t.Errorf("the error is not UTF-8: %q", err)
		}
	})
}
