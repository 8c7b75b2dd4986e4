package regsync_test

import (
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// page is a Markdown file, without what stands in its code.
type page struct {
	text     string
	headings []heading
	blocks   []string // fenced and indented code, without comments and blank lines
	keys     []string // code that is the whole first cell of a row
}

type heading struct {
	level  int
	anchor string // as GitHub makes it
}

// TestLinks: every relative link in the Markdown files leads to a file and, behind a #, to a heading of it.
func TestLinks(t *testing.T) {
	pages := markdownPages(t)
	link := regexp.MustCompile(`\]\(([^()\s]+)\)`)
	found := 0
	for name, p := range pages {
		for _, match := range link.FindAllStringSubmatch(p.text, -1) {
			target, err := url.Parse(match[1])
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if target.Scheme != "" {
				continue
			}
			found++
			file := name
			if target.Path != "" {
				file = path.Join(path.Dir(name), target.Path)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: there is no %s", name, match[1])
				continue
			}
			has := func(h heading) bool { return h.anchor == target.Fragment }
			if target.Fragment != "" && !slices.ContainsFunc(pages[file].headings, has) {
				t.Errorf("%s: %s has no heading for #%s", name, file, target.Fragment)
			}
		}
	}
	if found < 90 {
		t.Errorf("found only %d links", found)
	}
}

// TestNamedPages: the pages of docs that code, configurations and scripts name exist.
func TestNamedPages(t *testing.T) {
	named := regexp.MustCompile(`\bdocs/[A-Za-z.-]+\.(?:md|json)\b`)
	walk(t, func(name string) {
		if !slices.Contains([]string{".go", ".yaml", ".sh", ".service", ".timer"}, path.Ext(name)) && path.Base(name) != "Makefile" {
			return
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range named.FindAllString(string(raw), -1) {
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s names %s, which does not exist", name, file)
			}
		}
	})
}

// TestTranslations: a page and its translation have the same sections, the same keys in tables and the same code, and link to each other.
func TestTranslations(t *testing.T) {
	pages := markdownPages(t)
	found := 0
	for name, translated := range pages {
		base, is := strings.CutSuffix(name, ".zh-CN.md")
		if !is {
			continue
		}
		found++
		original, ok := pages[base+".md"]
		if !ok {
			t.Errorf("%s is the translation of no page", name)
			continue
		}
		if !strings.Contains(translated.text, "[English]("+path.Base(base)+".md)") || !strings.Contains(original.text, "[中文]("+path.Base(name)+")") {
			t.Errorf("%s and its original do not link to each other", name)
		}
		if base == "docs/cli" { // its original is generated; see TestCommandDocsInChinese
			continue
		}
		if want, got := levels(original), levels(translated); want != got {
			t.Errorf("%s has headings of levels %s, its original %s", name, got, want)
		}
		if !slices.Equal(original.keys, translated.keys) {
			t.Errorf("%s has tables of\n%q, its original of\n%q", name, translated.keys, original.keys)
		}
		if len(original.blocks) != len(translated.blocks) {
			t.Errorf("%s has %d pieces of code, its original %d", name, len(translated.blocks), len(original.blocks))
			continue
		}
		for i, want := range original.blocks {
			if got := translated.blocks[i]; got != want {
				t.Errorf("%s differs from its original in code:\n%s\n--- original\n%s", name, got, want)
			}
		}
	}
	if found < 11 {
		t.Errorf("found only %d translations", found)
	}
}

// TestLibraryExamples: the Go code in docs/library.md is that of the examples, which are compiled.
func TestLibraryExamples(t *testing.T) {
	raw, err := os.ReadFile("docs/library.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := ""
	walk(t, func(name string) {
		if path.Base(name) == "example_test.go" {
			code, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			examples += string(code)
		}
	})
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(raw), -1)
	for _, block := range blocks {
		if !strings.Contains(examples, block[1]) {
			t.Errorf("docs/library.md has code that is no example:\n%s", block[1])
		}
	}
	if len(blocks) < 3 {
		t.Errorf("docs/library.md has only %d examples", len(blocks))
	}
}

func levels(p page) string {
	var b strings.Builder
	for _, h := range p.headings {
		b.WriteString(strconv.Itoa(h.level))
	}
	return b.String()
}

// markdownPages returns all Markdown files, by their paths from the root.
func markdownPages(t *testing.T) map[string]page {
	t.Helper()
	pages := map[string]page{}
	walk(t, func(name string) {
		if path.Ext(name) != ".md" {
			return
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = readPage(string(raw))
	})
	return pages
}

// walk calls visit with every file of the project.
func walk(t *testing.T, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && file != "." && (strings.HasPrefix(entry.Name(), ".") || slices.Contains([]string{"testdata", "bin", "dist"}, entry.Name())) {
			return filepath.SkipDir
		}
		if !entry.IsDir() {
			visit(filepath.ToSlash(file))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// generatedTable is a part that a program writes, in English pages only.
var generatedTable = regexp.MustCompile(`(?s)<!-- table: begin -->.*<!-- table: end -->`)

// readPage separates the code of a page from the rest.
func readPage(raw string) page {
	raw = generatedTable.ReplaceAllString(raw, "")
	var p page
	var text, block []string
	fence, blank := "", true
	closeBlock := func() {
		if len(block) > 0 {
			p.blocks = append(p.blocks, strings.Join(block, "\n"))
		}
		block = nil
	}
	for line := range strings.Lines(raw) {
		line = strings.TrimRight(line, "\n")
		indented := strings.HasPrefix(line, "    ") && (blank || len(block) > 0)
		switch marker := strings.TrimSpace(line); {
		case fence != "" && marker == fence:
			fence = ""
			closeBlock()
		case fence == "" && strings.HasPrefix(marker, "```"):
			closeBlock()
			fence = "```"
		case fence != "" || indented:
			if code := withoutComment(line); strings.TrimSpace(code) != "" {
				block = append(block, code)
			}
		case marker != "":
			closeBlock()
			text = append(text, line)
		}
		blank = strings.TrimSpace(line) == ""
	}
	closeBlock()
	p.text = regexp.MustCompile("`[^`\n]*`").ReplaceAllString(strings.Join(text, "\n"), "")
	used := map[string]int{}
	key := regexp.MustCompile("^\\| `([^`]+)` \\|")
	for _, line := range text {
		if match := key.FindStringSubmatch(line); match != nil {
			p.keys = append(p.keys, match[1])
		}
		marks := len(line) - len(strings.TrimLeft(line, "#"))
		if marks == 0 || !strings.HasPrefix(line[marks:], " ") {
			continue
		}
		anchor := anchorOf(line[marks+1:])
		p.headings = append(p.headings, heading{marks, anchor})
		if used[anchor]++; used[anchor] > 1 {
			p.headings[len(p.headings)-1].anchor += "-" + strconv.Itoa(used[anchor]-1)
		}
	}
	return p
}

// withoutComment removes a comment, which a translation translates.
func withoutComment(line string) string {
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return ""
	}
	before, _, _ := strings.Cut(line, " # ")
	return strings.TrimRight(before, " ")
}

// anchorOf is the anchor of a heading: lower case, hyphens for spaces, no punctuation.
func anchorOf(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(title))
}
