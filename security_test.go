package regsync_test

import (
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Each promise of docs/security.md names a test, and the tests that it names exist.
func TestSecurityPromises(t *testing.T) {
	there := map[string]bool{}
	for _, f := range sources(t) {
		if !f.test {
			continue
		}
		for _, d := range f.syntax.Decls {
			if function, is := d.(*ast.FuncDecl); is && function.Recv == nil {
				there[function.Name.Name] = true
			}
		}
	}
	raw, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	promises, problems := checkPromises(string(raw), there)
	for _, problem := range problems {
		t.Error("docs/security.md: " + problem)
	}
	if promises < 20 {
		t.Errorf("found %d promises: has the format of docs/security.md changed?", promises)
	}
}

// checkPromises counts the rows of the tables of promises, and returns what is wrong with them. there are the tests
// that exist.
func checkPromises(page string, there map[string]bool) (promises int, problems []string) {
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)`")
	inTable := false
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		names := named.FindAllStringSubmatch(line, -1)
		for _, name := range names {
			if !there[name[1]] {
				problems = append(problems, name[1]+" does not exist")
			}
		}
		switch {
		case line == "| promise | checked by |":
			inTable = true
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case inTable && !strings.HasPrefix(line, "|---"):
			promises++
			cells := strings.Split(strings.Trim(line, "|"), " | ")
			if len(cells) != 2 || !named.MatchString(cells[len(cells)-1]) {
				problems = append(problems, "no test checks: "+line)
			}
		}
	}
	return promises, problems
}

// A promise without a test was not noticed.
func TestPromiseWithoutTest(t *testing.T) {
	for _, test := range []struct {
		row      string
		problems int
	}{
		{"| a promise | `TestA`, `FuzzB` |", 0},
		{"| a promise | `TestGone` |", 1},
		{"| a promise |  |", 1},
		{"| a promise |", 1},
		{"| a promise | by hand |", 1},
		{"| `TestA` is promised | – |", 1},
	} {
		page := "| promise | checked by |\n|---|---|\n" + test.row + "\n\n| what | bound |\n|---|---|\n| a bound | 5 |\n"
		promises, problems := checkPromises(page, map[string]bool{"TestA": true, "FuzzB": true})
		if promises != 1 || len(problems) != test.problems {
			t.Errorf("%s: got %d promises and %q", test.row, promises, problems)
		}
	}
}

// Every fuzz target is one that scripts/fuzz.sh finds.
func TestFuzzTargetsAreFound(t *testing.T) {
	n := 0
	for _, f := range sources(t) {
		for _, d := range f.syntax.Decls {
			function, is := d.(*ast.FuncDecl)
			if !is || !f.test || !strings.HasPrefix(function.Name.Name, "Fuzz") {
				continue
			}
			if n++; !within(f.dir, "cmd", "internal", "pkg") {
				t.Errorf("%s: scripts/fuzz.sh does not look there", f.path)
			}
		}
	}
	if n < 25 {
		t.Errorf("%d fuzz targets", n)
	}
}
