// Package golden compares the texts that people read with files in testdata, so that each text stands once and is
// reviewed as a text.
//
// After a change, run `go test -update` in the package of the test and read what changed in testdata.
package golden

import (
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files in testdata from what the tests see")

// File compares got with testdata/NAME.golden.
func File(t *testing.T, name, got string) {
	t.Helper()
	Page(t, filepath.Join("testdata", name+".golden"), got)
}

// Page compares got with the file at path: a page of the documentation that a test writes.
func Page(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		write(t, path, got)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, path, got, string(want))
}

// Text compares got with the section of testdata/texts.golden that has the test's name: a test, or a subtest, has one
// text. With -update, a run of all tests of a package removes the sections of the others, which no longer exist (or are
// not for this system: some are for Linux alone).
func Text(t *testing.T, got string) {
	t.Helper()
	texts.Lock()
	defer texts.Unlock()
	path := filepath.Join("testdata", "texts.golden")
	if texts.sections == nil {
		texts.sections = map[string]string{}
		if !*update || flag.Lookup("test.run").Value.String() != "" {
			texts.sections = read(t, path)
		}
	}
	if *update {
		texts.sections[t.Name()] = got
		var all strings.Builder
		for _, name := range slices.Sorted(maps.Keys(texts.sections)) {
			all.WriteString(heading + name + "\n" + texts.sections[name] + "\n")
		}
		write(t, path, all.String())
		return
	}
	compare(t, path+", "+t.Name(), got, texts.sections[t.Name()])
}

// heading begins the line above each text.
const heading = "## "

var texts struct {
	sync.Mutex
	sections map[string]string // texts, by the names of their tests
}

func read(t *testing.T, path string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for section := range strings.SplitSeq("\n"+strings.TrimSuffix(string(raw), "\n"), "\n"+heading) {
		if name, text, is := strings.Cut(section, "\n"); is && name != "" {
			sections[name] = text
		}
	}
	return sections
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// compare fails the test at the first line that differs.
func compare(t *testing.T, where, got, want string) {
	t.Helper()
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		if i >= len(gotLines) || i >= len(wantLines) || gotLines[i] != wantLines[i] {
			t.Errorf("%s differs at its line %d; if that is right, run go test -update\n--- got\n%s\n--- want\n%s", where, i+1,
				from(gotLines, i), from(wantLines, i))
			return
		}
	}
}

// from returns the line at i and the few behind it.
func from(lines []string, i int) string {
	return strings.Join(lines[min(i, len(lines)):min(i+5, len(lines))], "\n")
}
