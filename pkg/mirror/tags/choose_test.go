package tags_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
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

// selectionCase is a list of tags, rules, and why what the golden file has for them is right.
type selectionCase struct {
	name, why string
	// tags are listed; or, after a `<`, the name of a file of testdata has them.
	tags   string
	blocks []rules
	// created and pushed are ages of tags, as "1.2=30 1.3=5", in days. A tag without one has none.
	created, pushed string
}

var cases = []selectionCase{
	// Integers.
	{"postgres", "17 floats beside 17.2; 18 is one above the largest major, and so a version, without a dotted one under it; 17-alpine is a variant of its own",
		"16 16.6 17 17.1 17.2 18 18beta1 17.2-alpine 17-alpine latest", []rules{{newest: 2}}, "", ""},
	{"debian", "13 is at most one above 12.8: the newest version, of each variant",
		"11 11.11 12 12.7 12.8 13 12-slim 12.8-slim 13-slim bookworm bookworm-20240110 stable", []rules{{newest: 1}}, "", ""},
	{"debian, a range", "12 and 13 are versions, so the range takes them beside the dotted ones",
		"11 11.11 12 12.7 12.8 13 bookworm", []rules{{semver: ">=12"}}, "", ""},
	{"one above, two above", "4 is one above 3.2 and a version; 5 is two above and counts apart",
		"3.1 3.2 4 5", []rules{{newest: 2}}, "", ""},
	{"alpine", "the dates of edge are integers: they displace no release, and two of each are kept",
		"3 3.20 3.20.3 3.21 3.21.0 20240923 20240606 20250108 edge latest", []rules{{newest: 2}}, "", ""},
	{"alpine, a range", "a date is no version beside dotted ones, although 20250108 is greater than 3.20",
		"3.19.4 3.20.3 3.21.0 20240923 20250108", []rules{{semver: ">=3.20"}}, "", ""},
	{"jenkins builds", "integers alone are one family, in the order of numbers, and there is nothing to say",
		"98 99 100 101 latest", []rules{{newest: 3}}, "", ""},
	{"jenkins", "nothing tells a weekly release, 2.440, from a floating tag of 2.440.3; it takes no place",
		"2.426.1 2.440 2.440.3 2.452 2.452-jdk17 2.440.3-jdk17 lts lts-jdk17", []rules{{newest: 2}}, "", ""},
	{"builds beside versions", "builds would displace every release; both families keep three",
		"1.2.0 1.3.0 1.4.0 1.5.0 101 102 103 104", []rules{{newest: 3}}, "", ""},
	{"builds of a variant", "an integer with a suffix is in the family of integers too",
		"1.2.0-alpine 1.3.0-alpine 101-alpine 102-alpine 1.2.0", []rules{{newest: 1}}, "", ""},
	{"dates", "dates alone are one family",
		"20240115 20240223 20231201 latest", []rules{{newest: 2}}, "", ""},
	{"dates with hyphens", "2024-01-15 is three numbers, no integer, and no dotted version: 20240116 stays apart",
		"2024-01-15 2024-02-01 2023-12-31 20240116", []rules{{newest: 1}}, "", ""},
	{"dates with dots", "20260102.3 is a dotted version of a large major; 20260103 is one above it",
		"20260101.1 20260102.3 20260102.10 20251231.9 20260103", []rules{{newest: 2}}, "", ""},
	{"epochs", "seconds since 1970 displace no release",
		"1.2.0 1.3.0 1.4.0 1705312345 1705412345 1705512345 1700000000", []rules{{newest: 2}}, "", ""},
	{"timestamps", "fourteen digits displace no release either",
		"1.2.0 1.3.0 20240115103000 20240116103000", []rules{{newest: 1}}, "", ""},
	{"timestamps with a hyphen", "a day with a time behind it is an integer with a build as its suffix",
		"1.2.0 1.3.0 20240115-103000 20240116-103000", []rules{{newest: 1}}, "", ""},
	{"commits", "commits of digits count apart; those with letters are no versions",
		"v1.2.0 v1.3.0 v1.4.0 12345678 87654321 99999999 3f2a1bc 1e234567", []rules{{newest: 1}}, "", ""},
	{"commits, a range", "of what looks like a version, the range takes no commit",
		"v1.2.0 v1.3.0 v1.4.0 12345678 87654321", []rules{{semver: ">=1", newest: 2}}, "", ""},
	{"builds, a range", "without dotted versions, a range takes integers",
		"98 99 100 101 latest", []rules{{semver: ">=100"}}, "", ""},
	{"builds, no versions included", "the range sees what the repository has, not what include leaves",
		"1.2.0 98 99", []rules{{include: "9*", semver: ">=99"}}, "", ""},
	{"builds excluded", "who excludes integers hears no more of them",
		"1.2.0 1.3.0 101 102", []rules{{exclude: `/\d+/`, newest: 1}}, "", ""},

	// Floating tags.
	{"nginx", "1, 1.27 and 1.26 are no releases: the places are those of 1.27.3, 1.27.2 and 1.26.2",
		"1 1.25 1.25.5 1.26 1.26.1 1.26.2 1.27 1.27.2 1.27.3 mainline", []rules{{newest: 3}}, "", ""},
	{"node", "22-alpine floats with 22.10.0-alpine; alpine3.20 is another variant; 23 floats with 23.1.0",
		"20 20.18.1 22 22.10 22.10.0 22-alpine 22.10.0-alpine 22.9.0-alpine 22-alpine3.20 22.10.0-alpine3.20 23 23.1.0 lts", []rules{{newest: 1}}, "", ""},
	{"nothing longer", "1.27 is a release where include leaves nothing longer",
		"1.25 1.25.5 1.26 1.26.2 1.27 1.27.3", []rules{{include: `/\d+\.\d+/`, newest: 2}}, "", ""},
	{"the same release twice", "1.0 is the beginning of 1.0.0, and takes no place beside it",
		"1 1.0 1.0.0 0.9", []rules{{newest: 1}}, "", ""},
	{"kubernetes", "v1.31 floats with v1.31.1, not with the candidate of v1.32",
		"v1 v1.30 v1.30.5 v1.31 v1.31.0 v1.31.1 v1.32.0-rc.1", []rules{{newest: 2}}, "", ""},
	{"python, candidates", "3.15-rc floats with the newest candidate of 3.15",
		"3.14.0 3.15-rc 3.15.0b4 3.15.0rc1 3.15.0rc2", []rules{{semver: ">=3.15-0", newest: 1}}, "", ""},
	{"dated variants", "3.12-20240101 is a build of its own: it floats with the same build only",
		"3.12-20240101 3.12.1-20240101 3.12-20240201 3.12.2-20240201", []rules{{newest: 1}}, "", ""},
	{"a young release", "17.2 is too young, so 17.1 takes its place; 17 and 17.2 are one image, and 17 stays out with it",
		"16 16.6 17 17.0 17.1 17.2", []rules{{olderThan: 7 * day, newest: 1}}, "16=90 16.6=90 17=2 17.0=90 17.1=30 17.2=2", ""},
	{"a floating tag that is younger", "17 was rebuilt two days ago: its own age leaves it out",
		"17 17.1 17.2", []rules{{olderThan: 7 * day, newest: 1}}, "17=2 17.1=90 17.2=30", ""},

	{"documentation", "docs/configuration.md has this example",
		"3 3.21 3.21.3 3.22 3.22.0 3.22.1 3.22.0-slim 3.22.1-slim 20240923 20250108 latest", []rules{{newest: 1}}, "", ""},
	{"documentation, a range", "docs/configuration.md has this example",
		"3 3.21 3.21.3 3.22 3.22.0 3.22.1 3.22.0-slim 3.22.1-slim 20240923 20250108 latest", []rules{{semver: ">=3", newest: 1}}, "", ""},

	// Versions, variants, pre-releases.
	{"ubuntu", "24.10 and 24.04 are versions; names are not", "20.04 22.04 24.04 24.10 jammy noble jammy-20240111", []rules{{newest: 2}}, "", ""},
	{"redis", "ten comes after nine, and candidates and milestones are passed over",
		"7 7.4 7.4.9 7.4.10 8.0-rc1 8.0-M03 7.4.10-alpine 7-alpine", []rules{{newest: 1}}, "", ""},
	{"bitnami", "revisions are builds of one variant, and debian-11 another variant",
		"1.27.3-debian-12-r9 1.27.3-debian-12-r10 1.27.2-debian-12-r1 1.26.9-debian-11-r3 1.27.3", []rules{{newest: 1}}, "", ""},
	{"plex", "the commit behind the version is a build", "1.9.7.4460-a39b25852 1.10.0.4523-648bc61d4 1.40.0.7998-c29d4c0c8 beta", []rules{{newest: 2}}, "", ""},
	{"minio", "no tag is a version; that is no reason to guess", "RELEASE.2024-01-16T16-07-38Z RELEASE.2024-12-18T13-15-44Z latest", []rules{{newest: 2}}, "", ""},
	{"nothing but pre-releases", "a variant that has no release keeps its newest pre-release",
		"1.2 1.3-nightly.1 1.3-nightly.2", []rules{{include: "*-nightly*", newest: 1}}, "", ""},
	{"pre-releases that the range names", "the range asks for them, so they count", "1.2 1.3-rc1", []rules{{semver: ">=1-0", newest: 1}}, "", ""},
	{"variants alone", "variants without semver take every version", "1.2 1.2-alpine 1.3-rc1-alpine stable", []rules{{variants: "alpine"}}, "", ""},
	{"variants with their hyphen", "-alpine* means alpine*", "1.2-alpine 1.2-perl 1.2-slim", []rules{{semver: "1", variants: "-alpine* -perl"}}, "", ""},
	{"a hyphen within variants", "a hyphen that is not the first character is meant", "3.1-bookworm-slim 3.1-slim", []rules{{semver: "3", variants: "*-slim"}}, "", ""},
	{"many rules", "each tag is told by the first rule that leaves it out",
		"1.24.0 1.25.3 1.25.4 1.25.4-alpine 1.25.4-alpine-perl 1.25.5-alpine 1.25.5 1.25.5 1.26.0-rc1 1.25.4-bookworm latest edge stable " + signature,
		[]rules{{include: "1.* latest edge", semver: ">=1.25 <2", variants: "alpine*", exclude: "*-perl edge", newest: 2}}, "", ""},

	// Names and blocks.
	{"no rule", "no selector takes all tags", "b a", nil, "", ""},
	{"an empty block", "a block without rules takes all tags", "a", []rules{{}}, "", ""},
	{"a name beside newest", "a tag that is included by name takes no place", "1.1 1.2 1.3", []rules{{include: "1.* 1.3", newest: 1}}, "", ""},
	{"several blocks", "a tag is taken if one block takes it, else the block that came closest says why not",
		"1.1 1.2 2.0 y", []rules{{include: "2.*"}, {semver: "^1", newest: 1}, {include: "x"}}, "", ""},
	{"a signature by name", "a signature goes with its image", "1.2 " + signature, []rules{{include: "1.2 " + signature}}, "", ""},

	// Ages, of which all are counted from the same day.
	{"createdWithin", "an image of the last day of the limit is young enough, and so is one of tomorrow",
		"1.0 1.1 1.2 1.4", []rules{{within: 90 * day}}, "1.0=120 1.1=90 1.2=30 1.4=-1", ""},
	{"olderThan", "an image of tomorrow is too young; one without a date is left out with a warning",
		"1.0 1.1 1.3 1.4 1.9 2.0", []rules{{semver: "~1", olderThan: 30 * day, exclude: "1.0"}}, "1.0=120 1.1=90 1.3=0 1.4=-1 2.0=4", ""},
	{"pushedWithin", "a push time that nobody states satisfies no rule; the image's own date is another rule",
		"1.0 1.2 1.9 2.0 2.1", []rules{{pushed: 7 * day, within: 90 * day}}, "1.0=120 2.0=80", "1.0=3 1.2=10 2.0=3 2.1=1"},
	{"no dates at all", "four tags without a date are one warning, which names three", "1 2 3 4", []rules{{within: day}}, "", ""},
	{"no date, but taken by another block", "nothing is left out, so nothing is said", "1.0", []rules{{within: day}, {include: "1.*"}}, "", ""},
	{"newest by creation", "an image without a date comes last, and that is said",
		"1.0 1.1 1.2 1.9 2.0", []rules{{newest: 3, by: tags.ByCreated}}, "1.0=100 1.1=5 1.2=30 2.0=4", ""},
	{"newest by creation, all taken", "the image without a date is among the two, so nothing is left out", "1.0 1.1", []rules{{newest: 2, by: tags.ByCreated}}, "1.0=100", ""},
	{"minio by creation", "tags that are no versions have an age all the same, and are one family",
		"RELEASE.2024-01-16T16-07-38Z RELEASE.2024-01-18T22-51-28Z RELEASE.2024-02-09T21-25-16Z 1.0", []rules{{newest: 2, by: tags.ByCreated}},
		"RELEASE.2024-01-16T16-07-38Z=9 RELEASE.2024-01-18T22-51-28Z=7 RELEASE.2024-02-09T21-25-16Z=2 1.0=100", ""},
	{"builds by creation", "families are the same in both orders; 1.3 floats with 1.3.0",
		"1.2.0 1.3 1.3.0 101 102 103", []rules{{newest: 1, by: tags.ByCreated}}, "1.2.0=5 1.3=30 1.3.0=30 101=3 102=2 103=1", ""},

	// Rules that match nothing.
	{"rules that all match", "nothing to say", "1.2 1.2-alpine", []rules{{include: "1.* latest", exclude: "9*", semver: "^1", variants: "alpine"}}, "", ""},
	{"an include that matches nothing", "it is probably mistyped", "1.2", []rules{{include: "1.* 9*"}}, "", ""},
	{"a range that takes nothing", "it is probably mistyped", "1.2 2.4 latest", []rules{{semver: ">=3"}}, "", ""},
	{"a range after an include", "it is measured by what include leaves", "1.2 2.4 2.5", []rules{{include: "2.*", semver: ">=3"}}, "", ""},
	{"an include before a range", "one mistake is told once", "1.2", []rules{{include: "9*", semver: ">=3"}}, "", ""},
	{"a range past which all is named", "the range has nothing to take", "1.2", []rules{{include: "1.2", semver: ">=3"}}, "", ""},
	{"a variant that no tag has", "it is probably mistyped", "1.2 1.2-alpine 1.2-slim", []rules{{semver: "*", variants: "alpnie* slim"}}, "", ""},
	{"no tags", "that is one warning, whatever the rules", "", []rules{{include: "1.*", semver: ">=3"}}, "", ""},
	{"no tags and no rules", "that is a warning too", "", nil, "", ""},
	{"one of two blocks", "each block is looked at", "1.2", []rules{{include: "1.*"}, {include: "v*"}}, "", ""},

	// Whole repositories.
	{"nginx", "a range takes plain versions only; 1.27 and the variants stay out", "<nginx", []rules{{semver: ">=1.25 <1.27"}}, "", ""},
	{"nginx", "the range takes the variants that are asked for too, less perl and otel", "<nginx", []rules{{semver: "~1.30.3", variants: "alpine*", exclude: "*-perl *-otel"}}, "", ""},
	{"nginx", "plain, alpine and alpine-slim keep two releases each; 1.31 floats with 1.31.4, 1 is not included", "<nginx", []rules{{include: "1.*", semver: "^1", variants: "alpine alpine-slim", newest: 2}}, "", ""},
	{"nginx", "the expression leaves no floating tag; latest is included by name and takes no place", "<nginx", []rules{{include: `/\d+\.\d+\.\d+/ latest`, newest: 5}}, "", ""},
	{"nginx", "the first block takes two names, the second the versions of 1.28", "<nginx", []rules{{include: "stable mainline"}, {semver: "1.28.x"}}, "", ""},
	{"postgres", "17 is a version beside 17.1; the range names a pre-release, so 17rc1 is in it, and 18 is not", "<postgres", []rules{{semver: ">=17-0 <18"}}, "", ""},
	{"postgres", "the newest release on each version of alpine, and the tags that float with it", "<postgres", []rules{{semver: ">=17", variants: "alpine3.*", newest: 1}}, "", ""},
	{"python", "3.15 has only pre-releases, and the range names none", "<python", []rules{{semver: ">=3.14.0 <3.16"}}, "", ""},
	{"python", "3.15-rc floats with 3.15.0rc1; the places are those of rc1, b4 and b3", "<python", []rules{{semver: ">=3.15.0a1 <3.15.0rc2", variants: "slim-trixie", newest: 3}}, "", ""},
	{"redis", "the range begins at the pre-releases of 8.0 and ends below 8.0.2", "<redis", []rules{{semver: ">=8.0-0 <8.0.2", variants: "bookworm"}}, "", ""},
	{"redis", "7.4-rc1 is below 7.4, and 7.4.1 out", "<redis", []rules{{semver: ">=7.4-rc1 <7.4.1"}}, "", ""},
	{"redis", "numbers compare as numbers; 7.4 is not included", "<redis", []rules{{include: "7.4.*", semver: "*", newest: 3}}, "", ""},
	{"golang", "the range names a pre-release, so candidates of 1.26 are in it", "<golang", []rules{{semver: "~1.26.0-0"}}, "", ""},
	{"golang", "ltsc2022 and ltsc2025 are two variants, with one release and its floating tag each", "<golang", []rules{{semver: "1.26", variants: "windowsservercore-*", newest: 1}}, "", ""},
	{"ubuntu", "years and months compare as numbers", "<ubuntu", []rules{{semver: ">=22.04"}}, "", ""},
	{"ubuntu", "the expression takes April of even years", "<ubuntu", []rules{{include: `/\d[02468]\.04/`, newest: 2}}, "", ""},
	{"home-assistant", "betas and builds of 2025 are above the range", "<home-assistant", []rules{{semver: ">=2024.11 <2025.1"}}, "", ""},
	{"home-assistant", "the range names a pre-release, so betas and dev builds count; a dev build is below a beta", "<home-assistant", []rules{{include: "20*.*.*", semver: ">=2024.12-0", newest: 5}}, "", ""},
	{"bitnami-redis", "r1 and r2 are builds of one release; debian-11 and debian-12 are two variants", "<bitnami-redis", []rules{{semver: ">=7.2", variants: "debian-*", include: "*-r*", newest: 2}}, "", ""},
	{"bitnami-redis", "without variants, the range takes plain versions only", "<bitnami-redis", []rules{{semver: "^7.2.5"}}, "", ""},
	{"alpine-packages", "r10 comes after r9; revisions are builds of one variant", "<alpine-packages", []rules{{include: "*-r*", variants: "r*", newest: 4}}, "", ""},
	{"alpine-packages", "variants name one revision, beside the plain versions", "<alpine-packages", []rules{{semver: "1.26.x || 1.27.1", variants: "r0"}}, "", ""},
	{"clickhouse", "the fourth number counts", "<clickhouse", []rules{{include: "*.*.*.*", semver: ">=26.3 <26.5", newest: 5}}, "", ""},
	{"clickhouse", "the fourth number of the range counts", "<clickhouse", []rules{{semver: ">=26.3.17.5 <=26.3.17.110"}}, "", ""},
	{"eclipse-temurin", "the build number before jdk is no part of the variant", "<eclipse-temurin", []rules{{include: "21.*", variants: "*-jre-alpine *-jdk", newest: 2}}, "", ""},
}

// listed are the tags, and whether they are those of a whole repository.
func (c selectionCase) listed(t *testing.T) (tags []string, long bool) {
	t.Helper()
	if name, found := strings.CutPrefix(c.tags, "<"); found {
		return listing(t, name), true
	}
	return strings.Fields(c.tags), false
}

const day = 24 * time.Hour

var signature = "sha256-" + strings.Repeat("ab", 32) + ".sig"

// TestSelections writes what is selected, by which rule and with which warnings, into a golden file for review.
func TestSelections(t *testing.T) {
	var out strings.Builder
	for _, c := range cases {
		listed, long := c.listed(t)
		s := selector(t, c.blocks...)
		choice, err := s.Choose(t.Context(), listed, &calendar{created: days(t, c.created), pushed: days(t, c.pushed)}, now())
		if err != nil {
			t.Fatal(c.name, err)
		}
		fmt.Fprintf(&out, "== %s: %s\nwhy: %s\n", c.name, s, c.why)
		var left []string
		for _, v := range choice.Verdicts {
			switch {
			case v.Rule == "":
				t.Errorf("%s: %s has no reason", c.name, v.Tag)
			case v.Selected && !long:
				fmt.Fprintf(&out, "+ %s: %s\n", v.Tag, v.Rule)
			case !v.Selected:
				left = append(left, fmt.Sprintf("- %s: %s\n", v.Tag, v.Rule))
			}
		}
		if long {
			fmt.Fprintf(&out, "+ %s\n- %d others\n", strings.Join(choice.Selected(), " "), len(left))
		} else {
			out.WriteString(strings.Join(left, ""))
		}
		for _, text := range choice.Warnings {
			fmt.Fprintf(&out, "! %s\n", text)
		}
		if choice.TooOldOrYoung > 0 || choice.AgeUnknown > 0 {
			fmt.Fprintf(&out, "too old or young: %d, unknown: %d\n", choice.TooOldOrYoung, choice.AgeUnknown)
		}
		out.WriteString("\n")
		slices.Sort(listed)
		if n := len(slices.Compact(listed)); len(choice.Verdicts) < n {
			t.Errorf("%s: %d verdicts about %d tags", c.name, len(choice.Verdicts), n)
		}
	}
	golden.File(t, "selections", out.String())
}

// TestRefusals writes what is said of ranges and patterns that cannot be read into a golden file.
func TestRefusals(t *testing.T) {
	var out strings.Builder
	for _, text := range []string{
		"", " , ", "^1 ||", ">=", ">= <2", "latest", ">=1.x.3", "1.*.3", "1.*-rc1", "1.2-rc1.*", "=>>1", "1.25-alpine", "1.2 - ", ">=1.25 ＜2", "1.2 -", ">=1 | <2",
	} {
		_, err := tags.ParseRange(text)
		fmt.Fprintf(&out, "range %q: %v\n", text, err)
	}
	for _, text := range []string{"", "a b", "-x", "[a", "[a-]", "/a", "/(/", "/a)(b/", strings.Repeat("x", 129)} {
		_, err := tags.ParsePattern(text)
		fmt.Fprintf(&out, "pattern %q: %v\n", text, err)
	}
	if strings.Contains(out.String(), "<nil>") {
		t.Error("something is not refused")
	}
	golden.File(t, "refusals", out.String())
}

// days reads ages of tags, in days.
func days(t *testing.T, text string) map[string]time.Duration {
	t.Helper()
	ages := map[string]time.Duration{}
	for field := range strings.FieldsSeq(text) {
		tag, count, _ := strings.Cut(field, "=")
		n, err := strconv.Atoi(count)
		if err != nil {
			t.Fatal(err)
		}
		ages[tag] = time.Duration(n) * day
	}
	return ages
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
