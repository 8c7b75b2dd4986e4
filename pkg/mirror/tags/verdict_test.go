package tags_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/mirror/tags"
)

// decide gives the verdicts as lines, "+" for those that are selected.
func decide(t *testing.T, s tags.Selector, listed []string, ages tags.Ages) []string {
	t.Helper()
	choice, err := s.Choose(t.Context(), listed, ages, now())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, v := range choice.Verdicts {
		sign := "-"
		if v.Selected {
			sign = "+"
		}
		lines = append(lines, sign+" "+v.Tag+": "+v.Rule)
	}
	return lines
}

func compareLines(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestVerdicts(t *testing.T) {
	signature := "sha256-" + strings.Repeat("ab", 32) + ".sig"
	listed := []string{
		"1.24.0", "1.25.3", "1.25.4", "1.25.4-alpine", "1.25.4-alpine-perl", "1.25.5-alpine", "1.25.5", "1.25.5",
		"1.26.0-rc1", "1.25.4-bookworm", "latest", "edge", "stable", signature,
	}
	s := selector(t, rules{
		include: "1.* latest edge", semver: ">=1.25 <2", variants: "alpine*", exclude: "*-perl edge", newest: 2,
	})
	compareLines(t, decide(t, s, listed, nil), []string{
		"+ latest: included by name",
		"- 1.24.0: outside >=1.25 <2",
		"- 1.25.3: older than the 2 newest",
		"+ 1.25.4: included by `1.*`, in >=1.25 <2, among the 2 newest",
		"+ 1.25.4-alpine: included by `1.*`, in >=1.25 <2, a variant that is asked for, among the 2 newest of variant alpine",
		"- 1.25.4-alpine-perl: excluded by `*-perl`",
		"- 1.25.4-bookworm: variant bookworm is not among variants",
		"+ 1.25.5: included by `1.*`, in >=1.25 <2, among the 2 newest",
		"+ 1.25.5-alpine: included by `1.*`, in >=1.25 <2, a variant that is asked for, among the 2 newest of variant alpine",
		"- 1.26.0-rc1: pre-release, and the range names none",
		"- edge: excluded by `edge`",
		"- " + signature + ": tag of a signature: goes with its image",
		"- stable: not included by 1.* latest edge",
	})
}

func TestVerdictsOfFewRules(t *testing.T) {
	tests := []struct {
		name   string
		blocks []rules
		tags   string
		want   []string
	}{
		{"no rule", nil, "b a", []string{"+ a: all tags are taken", "+ b: all tags are taken"}},
		{"an empty block", []rules{{}}, "a", []string{"+ a: all tags are taken"}},
		{"no version", []rules{{semver: "^1"}}, "latest 1.2-alpine", []string{
			"- 1.2-alpine: variant alpine, and none is asked for by variants",
			"- latest: no version, and semver is asked for",
		}},
		{"newest wants versions", []rules{{newest: 1}}, "latest 1.2", []string{
			"+ 1.2: all tags are taken, among the 1 newest",
			"- latest: no version, and newest goes by version",
		}},
		// Who wants the newest of python's tags does not want 3.15.0a1 for it.
		{"newest passes over pre-releases", []rules{{newest: 1}}, "1.2 1.3-rc1", []string{
			"+ 1.2: all tags are taken, among the 1 newest",
			"- 1.3-rc1: pre-release, and there are releases",
		}},
		{"nothing but pre-releases", []rules{{include: "*-nightly*", newest: 1}}, "1.2 1.3-nightly.1 1.3-nightly.2", []string{
			"- 1.2: not included by *-nightly*",
			"- 1.3-nightly.1: older than the 1 newest",
			"+ 1.3-nightly.2: included by `*-nightly*`, among the 1 newest",
		}},
		{"pre-releases that the range names", []rules{{semver: ">=1-0", newest: 1}}, "1.2 1.3-rc1", []string{
			"- 1.2: older than the 1 newest",
			"+ 1.3-rc1: in >=1-0, among the 1 newest",
		}},
		// alpine has 3.22 and, of edge, 20250108: as numbers, the dates were the newest.
		{"dates beside versions", []rules{{newest: 1}}, "3.21 3.22 20240923 20250108", []string{
			"- 20240923: older than the 1 newest",
			"+ 20250108: all tags are taken, among the 1 newest",
			"- 3.21: older than the 1 newest",
			"+ 3.22: all tags are taken, among the 1 newest",
		}},
		{"the whole version before the moving one", []rules{{newest: 1}}, "1 1.0 1.0.0", []string{
			"- 1: older than the 1 newest",
			"- 1.0: older than the 1 newest",
			"+ 1.0.0: all tags are taken, among the 1 newest",
		}},
		{"variants alone", []rules{{variants: "alpine"}}, "1.2 1.2-alpine 1.3-rc1-alpine stable", []string{
			"+ 1.2: in *",
			"+ 1.2-alpine: in *, a variant that is asked for",
			"- 1.3-rc1-alpine: pre-release, and the range names none",
			"- stable: no version, and semver is asked for",
		}},
		{"variants with their hyphen", []rules{{semver: "1", variants: "-alpine* -perl"}}, "1.2-alpine 1.2-perl 1.2-slim", []string{
			"+ 1.2-alpine: in 1, a variant that is asked for",
			"+ 1.2-perl: in 1, a variant that is asked for",
			"- 1.2-slim: variant slim is not among variants",
		}},
		{"a hyphen within variants", []rules{{semver: "3", variants: "*-slim"}}, "3.1-bookworm-slim 3.1-slim", []string{
			"+ 3.1-bookworm-slim: in 3, a variant that is asked for",
			"- 3.1-slim: variant slim is not among variants",
		}},
		// A literal takes none of the places, and is not counted.
		{"a literal beside newest", []rules{{include: "1.* 1.3", newest: 1}}, "1.1 1.2 1.3", []string{
			"+ 1.3: included by name",
			"- 1.1: older than the 1 newest",
			"+ 1.2: included by `1.*`, among the 1 newest",
		}},
		{"the block that came closest", []rules{{include: "2.*"}, {semver: "^1", newest: 1}, {include: "x"}}, "1.1 1.2 2.0 y", []string{
			"+ x: included by name",
			"- 1.1: older than the 1 newest",
			"+ 1.2: in ^1, among the 1 newest",
			"+ 2.0: included by `2.*`",
			"- y: no version, and semver is asked for",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			compareLines(t, decide(t, selector(t, test.blocks...), strings.Fields(test.tags), nil), test.want)
		})
	}
}

func TestIdle(t *testing.T) {
	tests := []struct {
		name   string
		blocks []rules
		tags   string
		want   []string
	}{
		{"nothing idle", []rules{{include: "1.* latest", exclude: "9*", semver: "^1", variants: "alpine"}}, "1.2 1.2-alpine", nil},
		{"an include", []rules{{include: "1.* 9*"}}, "1.2", []string{"9* matches none of the 1 tags"}},
		{"a range", []rules{{semver: ">=3"}}, "1.2 2.4 latest", []string{"semver >=3 takes none of the 3 tags"}},
		{"a range after an include", []rules{{include: "2.*", semver: ">=3"}}, "1.2 2.4 2.5", []string{"semver >=3 takes none of the 2 tags"}},
		{"an include before a range", []rules{{include: "9*", semver: ">=3"}}, "1.2", []string{"9* matches none of the 1 tags"}},
		{"a range past which all is named", []rules{{include: "1.2", semver: ">=3"}}, "1.2", nil},
		{"variants", []rules{{semver: "*", variants: "alpnie* slim"}}, "1.2 1.2-alpine 1.2-slim", []string{"no tag is of the variant alpnie*"}},
		{"no tags", []rules{{include: "1.*", semver: ">=3"}}, "", []string{"the repository has no tags"}},
		{"no tags and no rules", nil, "", []string{"the repository has no tags"}},
		{"one of two blocks", []rules{{include: "1.*"}, {include: "v*"}}, "1.2", []string{"v* matches none of the 1 tags"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			choice, err := selector(t, test.blocks...).Choose(t.Context(), strings.Fields(test.tags), nil, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			compareLines(t, choice.Idle, test.want)
		})
	}
}

func TestSelectorString(t *testing.T) {
	s := selector(t, rules{
		include: "1.*", exclude: "*-rc*", semver: ">=1.25 <2", variants: "alpine*", newest: 5, by: tags.ByCreated,
		within: 90 * 24 * time.Hour, olderThan: 36 * time.Hour, pushed: 90 * time.Minute,
	}, rules{include: "latest"})
	want := "include 1.*, variants alpine*, exclude *-rc*, semver >=1.25 <2, createdWithin 90d, olderThan 36h, " +
		"pushedWithin 1h30m0s, the 5 newest by creation; or include latest"
	if s.String() != want {
		t.Errorf("got %s, want %s", s, want)
	}
}

// BenchmarkChoose decides about 10,000 tags, of which a range takes most.
func BenchmarkChoose(b *testing.B) {
	var listed []string
	for _, tag := range listing(b, "nginx") {
		for _, prefix := range []string{"", "v", "v0", "0", "00", "000", "v00", "v000", "0000", "00000", "v0000", "v00000", "0000000"} {
			listed = append(listed, prefix+tag)
		}
	}
	listed = listed[:10_000]
	s := selector(b, rules{include: "*", semver: ">=1.25 <2 !=1.27.1", variants: "alpine* bookworm", exclude: "*-perl", newest: 5})
	for b.Loop() {
		choice, err := s.Choose(b.Context(), listed, nil, time.Time{})
		if err != nil || len(choice.Selected()) == 0 {
			b.Fatal(len(choice.Selected()), err)
		}
	}
}

// TestNamedSignature: a signature is not selected, not even by name, and that is told.
func TestNamedSignature(t *testing.T) {
	signature := "sha256-" + strings.Repeat("ab", 32) + ".sig"
	choice, err := selector(t, rules{include: "1.2 " + signature}).Choose(t.Context(), []string{"1.2", signature}, nil, now())
	if err != nil {
		t.Fatal(err)
	}
	compareLines(t, choice.Selected(), []string{"1.2"})
	compareLines(t, choice.Idle, []string{"the tag " + signature + " is left out: it goes with its image"})
}
