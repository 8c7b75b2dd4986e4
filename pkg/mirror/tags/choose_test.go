package tags_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/mirror/tags"
)

// listing reads the tags of a repository, as its registry lists them. Those of official
// images are what docker-library/official-images has published since 2024 (or later, where
// that is too much); home-assistant, bitnami-redis (Bitnami's scheme, with signatures of
// cosign) and alpine-packages (a package's version and revision for a tag) are written after
// the schemes of such repositories.
func listing(tb testing.TB, name string) []string {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Fields(string(raw))
}

// rules is a block as a configuration has it.
type rules struct {
	include, exclude, variants string // patterns, with blanks between them
	semver                     string
	newest                     int
	by                         tags.Order
	within, olderThan, pushed  time.Duration
}

func (r rules) block(tb testing.TB) tags.Block {
	tb.Helper()
	b := tags.Block{
		Include: patterns(tb, r.include), Exclude: patterns(tb, r.exclude), Variants: parsed(tb, r.variants, tags.ParseSuffix),
		Newest:        tags.Newest{Count: r.newest, By: cmp.Or(r.by, tags.ByVersion)},
		CreatedWithin: r.within, OlderThan: r.olderThan, PushedWithin: r.pushed,
	}
	if r.semver != "" {
		var err error
		if b.Semver, err = tags.ParseRange(r.semver); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

func selector(tb testing.TB, blocks ...rules) tags.Selector {
	tb.Helper()
	var s tags.Selector
	for _, r := range blocks {
		s = append(s, r.block(tb))
	}
	return s
}

func patterns(tb testing.TB, texts string) []tags.Pattern {
	tb.Helper()
	return parsed(tb, texts, tags.ParsePattern)
}

func parsed(tb testing.TB, texts string, parse func(string) (tags.Pattern, error)) []tags.Pattern {
	tb.Helper()
	var all []tags.Pattern
	for text := range strings.FieldsSeq(texts) {
		p, err := parse(text)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// TestChooseReal selects from what real repositories have.
func TestChooseReal(t *testing.T) {
	tests := []struct {
		name, repository string
		blocks           []rules
		want             string
	}{
		{"a range takes plain versions", "nginx", []rules{{semver: ">=1.25 <1.27"}},
			"1.25 1.25.4 1.25.5 1.26 1.26.0 1.26.1 1.26.2 1.26.3"},
		{"and variants that are asked for", "nginx", []rules{{semver: "~1.30.3", variants: "alpine*", exclude: "*-perl *-otel"}},
			"1.30.3 1.30.3-alpine 1.30.3-alpine-slim 1.30.3-alpine3.23 1.30.3-alpine3.23-slim 1.30.4 " +
				"1.30.4-alpine 1.30.4-alpine-slim 1.30.4-alpine3.24 1.30.4-alpine3.24-slim"},
		{"newest of each variant", "nginx", []rules{{include: "1.*", semver: "^1", variants: "alpine alpine-slim", newest: 2}},
			"1.31.3 1.31.3-alpine 1.31.3-alpine-slim 1.31.4 1.31.4-alpine 1.31.4-alpine-slim"},
		{"whole versions only", "nginx", []rules{{include: `/\d+\.\d+\.\d+/ latest`, newest: 5}},
			"latest 1.31.0 1.31.1 1.31.2 1.31.3 1.31.4"},
		{"blocks are united", "nginx", []rules{{include: "stable mainline"}, {semver: "1.28.x"}},
			"stable mainline 1.28 1.28.0 1.28.1 1.28.2 1.28.3"},
		{"beta and rc of whole majors", "postgres", []rules{{semver: ">=17-0 <18"}},
			"17 17.0 17.1 17.10 17.11 17.2 17.3 17.4 17.5 17.6 17.7 17.8 17.9 17rc1"},
		{"a variant's base counts apart", "postgres", []rules{{semver: ">=17", variants: "alpine3.*", newest: 1}},
			"17.2-alpine3.19 17.5-alpine3.20 18.1-alpine3.21 18.4-alpine3.22 18.6 18.6-alpine3.23 " +
				"18.6-alpine3.24"},
		{"pre-releases are out", "python", []rules{{semver: ">=3.14.0 <3.16"}},
			"3.14 3.14.0 3.14.1 3.14.2 3.14.3 3.14.4 3.14.5 3.14.6 3.14.7"},
		{"pre-releases of python", "python", []rules{{semver: ">=3.15.0a1 <3.15.0rc2", variants: "slim-trixie", newest: 3}},
			"3.15-rc 3.15-rc-slim-trixie 3.15.0b4 3.15.0b4-slim-trixie 3.15.0rc1 " +
				"3.15.0rc1-slim-trixie"},
		{"milestones", "redis", []rules{{semver: ">=8.0-0 <8.0.2", variants: "bookworm"}},
			"8 8-bookworm 8.0 8.0-M01 8.0-M01-bookworm 8.0-M02 8.0-M02-bookworm 8.0-M03 " +
				"8.0-M03-bookworm 8.0-M04 8.0-M04-bookworm 8.0-bookworm 8.0-rc1 8.0-rc1-bookworm 8.0.0 " +
				"8.0.0-bookworm 8.0.1 8.0.1-bookworm"},
		{"rc of two numbers", "redis", []rules{{semver: ">=7.4-rc1 <7.4.1"}},
			"7.4 7.4-rc1 7.4-rc2 7.4.0"},
		{"ten comes after nine", "redis", []rules{{include: "7.4.*", semver: "*", newest: 3}},
			"7.4.10 7.4.11 7.4.9"},
		{"golang", "golang", []rules{{semver: "~1.26.0-0"}},
			"1.26 1.26-rc 1.26.0 1.26.1 1.26.2 1.26.3 1.26.4 1.26.5 1.26.6 1.26.7 1.26rc1 1.26rc2 " +
				"1.26rc3"},
		{"windows bases stay apart", "golang", []rules{{semver: "1.26", variants: "windowsservercore-*", newest: 1}},
			"1.26.7 1.26.7-windowsservercore-ltsc2022 1.26.7-windowsservercore-ltsc2025"},
		{"calendar", "ubuntu", []rules{{semver: ">=22.04"}},
			"22.04 23.04 23.10 24.04 24.10 25.04 25.10 26.04 26.10"},
		{"calendar, lts", "ubuntu", []rules{{include: `/\d[02468]\.04/`, newest: 2}},
			"24.04 26.04"},
		{"calendar with betas", "home-assistant", []rules{{semver: ">=2024.11 <2025.1"}},
			"2024.11 2024.11.0 2024.11.1 2024.11.2 2024.11.3 2024.12 2024.12.0 2024.12.1 2024.12.2 " +
				"2024.12.3 2024.12.4 2024.12.5"},
		{"newest of a calendar", "home-assistant", []rules{{include: "20*.*.*", semver: ">=2024.12-0", newest: 5}},
			"2025.1.4 2025.2.0.dev202501290239 2025.2.0.dev202501300239 2025.2.0b0 2025.2.0b1"},
		{"revisions are no variants", "bitnami-redis", []rules{{semver: ">=7.2", variants: "debian-*", include: "*-r*", newest: 2}},
			"7.2.4-debian-11-r1 7.2.4-debian-11-r2 7.4.2-debian-12-r10 7.4.2-debian-12-r11"},
		{"only plain ones", "bitnami-redis", []rules{{semver: "^7.2.5"}},
			"7.2.5 7.2.6 7.2.7 7.4 7.4.0 7.4.1 7.4.2"},
		{"revisions of alpine", "alpine-packages", []rules{{include: "*-r*", variants: "r*", newest: 4}},
			"1.27.2-r10 1.27.2-r7 1.27.2-r8 1.27.2-r9"},
		{"one revision", "alpine-packages", []rules{{semver: "1.26.x || 1.27.1", variants: "r0"}},
			"1.26 1.26.0 1.26.0-r0 1.26.1 1.26.1-r0 1.27.1 1.27.1-r0"},
		{"four parts", "clickhouse", []rules{{include: "*.*.*.*", semver: ">=26.3 <26.5", newest: 5}},
			"26.3.17.110 26.3.20.7 26.4.2.10 26.4.3.37 26.4.4.38"},
		{"four parts in the range", "clickhouse", []rules{{semver: ">=26.3.17.5 <=26.3.17.110"}},
			"26.3.17.110 26.3.17.56"},
		{"builds of java", "eclipse-temurin", []rules{{include: "21.*", variants: "*-jre-alpine *-jdk", newest: 2}},
			"21.0.11_10-jdk 21.0.11_10-jre-alpine 21.0.12_8-jdk 21.0.12_8-jre-alpine"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			listed := listing(t, test.repository)
			choice, err := selector(t, test.blocks...).Choose(t.Context(), listed, nil, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(choice.Selected(), " "); got != test.want {
				t.Errorf("of %s %s:\n got %s\nwant %s", test.repository, selector(t, test.blocks...), got, test.want)
			}
			if len(choice.Idle) > 0 {
				t.Errorf("idle: %q", choice.Idle)
			}
			slices.Sort(listed)
			if n := len(slices.Compact(listed)); len(choice.Verdicts) != n {
				t.Errorf("%d verdicts about %d tags", len(choice.Verdicts), n)
			}
			for _, v := range choice.Verdicts {
				if v.Rule == "" {
					t.Errorf("%s has no reason", v.Tag)
				}
			}
		})
	}
}
