package transfer

import (
	"errors"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// The same with two of three platforms.
func TestNothingToDoForASelection(t *testing.T) {
	index, children := threePlatforms()
	for name, test := range map[string]struct {
		names []string
		tags  int // that are looked at
	}{
		"several": {[]string{"linux/amd64", "linux/arm/v7", "linux/s390x"}, 1 + 1},
		"one":     {[]string{"linux/amd64"}, 1 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			m, memory := newMirror(t), newDiary()
			index.Push(t, m.a.MemoryRepository, "3")
			signature("index").Push(t, m.a.MemoryRepository, signatureTag(index.Digest()))
			kept := signature("kept")
			kept.Push(t, m.a.MemoryRepository, signatureTag(children[0].Digest()))
			j := withReferrers(job("a.test/app:3", "b.test/app:3"))
			j.Platforms = platforms(test.names...)
			first := m.next(t, memory.options(), j)
			if got := m.b.tag(signatureTag(children[0].Digest())); got != kept.Digest() {
				t.Errorf("the signature of the child that goes along is %q", got)
			}

			second := m.next(t, memory.options(), j)
			if !slices.EqualFunc(first[0].Warnings, second[0].Warnings, warning.Warning.Equal) || len(second[0].Warnings) != len(test.names)/2+1 {
				t.Errorf("warnings %v, and then %v", first[0].Warnings, second[0].Warnings)
			}
			if first[0].Digest != second[0].Digest || second[0].Destinations[0].Action != ActionUnchanged {
				t.Errorf("%s, then %s %s", first[0].Digest, second[0].Destinations[0].Action, second[0].Digest)
			}
			requireCounts(t, "source", m.a, map[string]int{"resolve": test.tags, "list": 0, "manifest": 0, "fetch": 0})
			requireCounts(t, "destination", m.b, map[string]int{"resolve": test.tags, "manifest": 0, "put": 0})

			j.RequirePlatforms = true
			results := run(t, New(m.world, memory.options()), j)
			if err := results[0].Err(); errors.Is(err, ErrNoPlatform) != (len(test.names) == 3) {
				t.Errorf("with all platforms required: %v", err)
			}
		})
	}
}

// An image that is in no index tells what it is not, every night, and is read in none but
// the first.
func TestNothingToDoForASingleImage(t *testing.T) {
	w, memory := newWorld(), newDiary()
	contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 10)).Push(t, w.at("a.test/app").MemoryRepository, "1")
	j := job("a.test/app:1", "b.test/app:1")
	j.Platforms = platforms("linux/amd64", "linux/arm64")
	first := run(t, New(w, memory.options()), j)
	w.at("a.test/app").forget()
	second := run(t, New(w, memory.options()), j)
	ok(t, second...)
	if len(first[0].Warnings) != 1 || !slices.EqualFunc(first[0].Warnings, second[0].Warnings, warning.Warning.Equal) {
		t.Errorf("warnings %v, and then %v", first[0].Warnings, second[0].Warnings)
	}
	requireCounts(t, "source", w.at("a.test/app"), map[string]int{"resolve": 1, "manifest": 0, "fetch": 0})
}

// A memory that is wrong costs requests, and nothing else.
func TestSelectionThatIsRememberedWrongly(t *testing.T) {
	m, memory := newMirror(t), newDiary()
	j := withReferrers(job("a.test/app:1", "b.test/app:1"))
	j.Platforms = platforms("linux/arm64")
	stray := contenttest.NewImage("linux/arm64", contenttest.NewLayer("stray", 10))
	stray.Push(t, m.a.MemoryRepository, "")
	memory.KeepSelected(m.image.Digest(), "platforms/1 one of linux/arm64", stray.Descriptor(), nil)
	memory.KeepChildren(m.image.Digest(), []digest.Digest{stray.Digest()})
	for range 2 {
		m.next(t, memory.options(), j)
		if got, want := m.b.tag("1"), m.image.Children[1].Digest(); got != want {
			t.Fatalf("the tag is %s, want %s", got, want)
		}
	}
	m.next(t, memory.options(), m.jobs()...)
	m.everythingIsThere(t)
	memory.KeepSelected(m.image.Digest(), "platforms/1 one of linux/arm64", content.Descriptor{Digest: "no digest"}, nil)
	m.next(t, memory.options(), j)
	if got, want := m.b.tag("1"), m.image.Children[1].Digest(); got != want {
		t.Fatalf("the tag is %s, want %s", got, want)
	}
}
