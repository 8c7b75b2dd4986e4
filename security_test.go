package regsync_test

import (
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The tests that docs/security.md names exist.
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
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)`")
	promises := 0
	for line := range strings.Lines(string(raw)) {
		names := named.FindAllStringSubmatch(line, -1)
		for _, name := range names {
			if !there[name[1]] {
				t.Errorf("docs/security.md names %s, which does not exist", name[1])
			}
		}
		if strings.HasPrefix(line, "| ") && len(names) > 0 {
			promises++
		}
	}
	if promises < 15 {
		t.Errorf("found %d promises with tests: has the format of docs/security.md changed?", promises)
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
