package tags

import (
	"slices"
	"strings"
	"testing"
)

func TestRangeMatch(t *testing.T) {
	tests := []struct {
		text   string
		in     string
		beyond string
	}{
		{">=1.25 <2", "1.25 1.25.0 1.25.3 1.99 v1.26.1 1.25.3-alpine 1.30.0.1", "1 1.24.9 2 2.0.0-rc1 2.0 1.25.0-rc1 1.26.0-rc1 2.0.1"},
		{">=1.25, <2", "1.25 1.99", "2 1.24"},
		{">=1.25,<2", "1.25 1.99", "2 1.24"},
		{">= 1.25 < 2", "1.25 1.99", "2 1.24"},
		{">=1.25<2", "1.25 1.99", "2 1.24"},
		{">=1.25.3", "1.25.3 1.26 2", "1.25 1.25.2 1"},
		{"^1.2", "1.2 1.9.9", "1.1 2 1"},
		{"^0.2.3", "0.2.3 0.2.9", "0.3 0.2.2 1"},
		{"^0.0.3", "0.0.3 0.0.3.1", "0.0.4"},
		{"^0.0", "0.0.7", "0.1"},
		{"^0", "0.9", "1"},
		{"~1.2", "1.2 1.2.9", "1.3 1.1"},
		{"~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3"},
		{"~1", "1 1.9", "2 0.9"},
		{"~>1.2", "1.2.9", "1.3"},
		{"1.2.x", "1.2 1.2.0 1.2.9 1.2.9.4", "1.3 1.1"},
		{"1.2.*", "1.2.9", "1.3"},
		{"1.x.X", "1 1.9.9", "2 0.9"},
		{"1.2", "1.2 1.2.9", "1.3 1.1 1"},
		{"=1.2.3", "1.2.3 1.2.3.4", "1.2 1.2.4"},
		{"=1.2.0", "1.2 1.2.0", "1.2.1"},
		{"!=1.2.3", "1.2.2 1.2.4", "1.2.3 1.2.3-alpine"},
		{">=1 !=1.3 !=1.4.2 <2", "1.2 1.4.1 1.4.3", "1.3 1.3.9 1.4.2"},
		{"1.2 - 1.5", "1.2 1.5.9", "1.1 1.6"},
		{"1.2.3 - 1.5.2 || 3", "1.2.3 1.5.2 3.4", "1.2.2 1.5.3 2 4"},
		{"<1.5", "1.4.9 0", "1.5 1.5-rc1"},
		{"<=1.5", "1.5 1.5.9", "1.6"},
		{">1.5", "1.6 2", "1.5 1.5.9"},
		{">1.5.3", "1.5.4 1.6", "1.5.3 1.5"},
		{"*", "0 1 24.04", "1.2-rc1"},
		{"x", "1", "1.2-rc1"},
		{">=1.x", "1 2", "0.9"},
		{"v1.2", "v1.2 1.2.9", "1.3"},
		{"^1.2 || ^3", "1.9 3.1", "2 4"},
		{">=10.0.20348.2000 <10.0.20349", "10.0.20348.2000 10.0.20348.3000", "10.0.20348.1999 10.0.17763.9999 10.0.20349.1"},
		{"~2024.01", "2024.1.3 2024.01.15", "2024.02.01"},
		{">=2024-01-15", "2024-01-15 2024-02-01 2024.1.16", "2024-01-14"},
		{">=22.04 <=24.04", "22.04 24.04 24.04.1", "20.04 24.10"},
		// Pre-releases are taken where one is named, and only within the range.
		{">=1.25-0 <2", "1.25.0-rc1 1.26-alpha1 1.30", "2.0.0-rc1 1.24"},
		{">=3.13.0rc1", "3.13.0rc1 3.13.0rc2-slim 3.13.0 3.14.0a1", "3.13.0b4"},
		{">=1.2.0-rc.2 <=1.2.0-rc.4", "1.2.0-rc.2 1.2.0-rc.4", "1.2.0-rc.1 1.2.0-rc.5 1.2.0"},
		{">=1.2-0 <1.3-0", "1.2-rc1 1.2.9", "1.3-alpha1 1.3"},
		{"=1.2.0-rc.1", "1.2.0rc1", "1.2.0 1.2.0-rc.2"},
		{"^1.2.0-beta.2", "1.2.0-beta.10 1.9", "1.2.0-beta.1 2.0.0-rc1"},
		{"~1.2.0-beta", "1.2.0-beta.1 1.2.3", "1.3"},
		{">=1 !=1.2-rc1", "1.2", "1.2-rc1 1.2-rc2"},
		{"^1 || >=2.0-0", "1.5 2.0-rc1", "1.5-rc1"},
	}
	for _, test := range tests {
		r, err := ParseRange(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if r.String() != test.text || r.Empty() {
			t.Errorf("%s: is %q, empty %v", test.text, r, r.Empty())
		}
		for tag := range strings.FieldsSeq(test.in) {
			if !r.Match(version(t, tag)) {
				t.Errorf("%s leaves %s out", test.text, tag)
			}
		}
		for tag := range strings.FieldsSeq(test.beyond) {
			if v, ok := ParseVersion(tag); ok && r.Match(v) {
				t.Errorf("%s takes %s", test.text, tag)
			}
		}
	}
}

func TestRangeEmpty(t *testing.T) {
	for _, text := range []string{
		">=2 <1", ">1.5 <1.6", "^1.2 ^2", "=1.2 !=1.2", "1.5 - 1.2", ">*", "<*", "!=*", ">=2 <1 || <1 >3",
		">1.2.0-rc2 <1.2.0-rc1",
	} {
		if r, err := ParseRange(text); err != nil || !r.Empty() {
			t.Errorf("%s: not empty, error %v", text, err)
		}
	}
}

// FuzzParseRange holds a range to its word: what is empty takes nothing, and of pre-releases
// none is taken that a range without a pre-release could not name.
func FuzzParseRange(f *testing.F) {
	for _, text := range []string{">=1.25 <2", "^1.2 || ~2.3, !=2.3.4", "1.2 - 1.5-rc.1", "1.x", ">1.2-0", "*"} {
		f.Add(text, "1.2.3-rc.1-alpine")
	}
	f.Fuzz(func(t *testing.T, text, tag string) {
		r, err := ParseRange(text)
		if err != nil {
			return
		}
		v, ok := ParseVersion(tag)
		if !ok || !r.Match(v) {
			return
		}
		if r.Empty() {
			t.Errorf("%q is empty and takes %q", text, tag)
		}
		names := slices.ContainsFunc(r.alternatives, func(a alternative) bool { return a.prereleases })
		if v.IsPrerelease() && !names {
			t.Errorf("%q names no pre-release and takes %q", text, tag)
		}
	})
}
