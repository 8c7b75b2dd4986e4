// Package regsync_test guards the rules of the house that no compiler knows: who may
// import whom, and what no file may hold. It parses the sources in-process, so that a
// change to any of them runs it again. The table is drawn in docs/ARCHITECTURE.md.
package regsync_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/regsync/regsync"

// mayImport says which of our packages a package and those below it may import; their own
// subtree always. A package that stands in no row fails the test: give it one.
var mayImport = map[string][]string{
	"pkg/reference":        {},
	"pkg/content":          {"pkg/reference", "internal/typo"},
	"pkg/auth":             {"pkg/reference", "internal/flight"},
	"internal/flight":      {},
	"internal/state":       {"pkg/content", "pkg/transfer/warning"},
	"internal/typo":        {},
	"pkg/retry":            {"pkg/content"},
	"pkg/limit":            {"pkg/retry"},
	"pkg/transfer/warning": {},
	"pkg/transfer":         {"pkg/content", "pkg/reference", "pkg/retry", "pkg/limit", "internal/flight"},
	// The rooms of the engine: no import runs upward.
	"pkg/transfer/internal/plan":      {"pkg/content", "pkg/reference", "pkg/limit", "internal/flight", "pkg/transfer/internal/manifests", "pkg/transfer/warning"},
	"pkg/transfer/internal/referrers": {"pkg/content", "internal/flight", "pkg/transfer/internal/manifests", "pkg/transfer/internal/deliver", "pkg/transfer/warning"},
	"pkg/transfer/internal/deliver":   {"pkg/content", "pkg/reference", "pkg/retry", "pkg/limit", "internal/flight", "pkg/transfer/internal/blobs"},
	"pkg/transfer/internal/blobs":     {"pkg/content", "pkg/reference", "pkg/retry", "pkg/limit", "internal/flight", "pkg/transfer/internal/spool"},
	"pkg/transfer/internal/manifests": {"pkg/content", "internal/flight", "pkg/transfer/internal/spool"},
	"pkg/transfer/internal/lanes":     {},
	"pkg/transfer/internal/spool":     {},
	"pkg/backend":                     {"pkg/content", "pkg/reference", "pkg/auth", "pkg/retry", "pkg/limit", "internal/flight"},
	"pkg/backend/hub":                 {"pkg/content", "pkg/reference"},
	// The packages of the registry client: none imports one above it.
	"pkg/backend/registry":                 {"pkg/backend/hub", "pkg/content", "pkg/reference", "pkg/auth", "pkg/retry", "pkg/limit"},
	"pkg/backend/registry/internal/auth":   {"pkg/backend/registry/internal/wire", "pkg/backend/registry/internal/answer", "pkg/content", "pkg/auth", "pkg/limit", "internal/flight"},
	"pkg/backend/registry/internal/wire":   {"pkg/backend/registry/internal/answer", "pkg/content", "pkg/reference", "pkg/retry", "pkg/limit"},
	"pkg/backend/registry/internal/answer": {"pkg/content"},
	"pkg/report":                           {"pkg/transfer", "pkg/content", "pkg/reference"},
	"pkg/mirror":                           {"pkg/report", "pkg/limit", "pkg/transfer", "pkg/content", "pkg/reference", "internal/flight", "internal/typo"},
	"pkg/mirror/config":                    {"pkg/mirror/tags", "pkg/mirror/internal", "pkg/transfer", "pkg/limit", "pkg/content", "pkg/reference", "pkg/auth", "internal/typo"},
	// Who writes a tag is decided below the configuration, which asks it too.
	"pkg/mirror/internal/conflict": {"pkg/mirror/tags", "pkg/transfer", "pkg/content", "pkg/reference"},
	"pkg/mirror/internal/list":     {"pkg/mirror/config", "pkg/mirror/tags", "pkg/mirror/internal", "pkg/transfer", "pkg/content", "pkg/reference", "internal/flight"},
	// Events and results of transfer are made of the vocabulary's words.
	"cmd/regsync/internal/ui": {"cmd/regsync/internal/safe", "pkg/report", "pkg/transfer", "pkg/content", "pkg/reference"},
	"cmd":                     {"pkg", "internal"},
	"scripts":                 {},
	"tools":                   {},
	"e2e":                     {}, // it knows the binary, and nothing inside it
	"bench":                   {"e2e"},
}

// homes are the libraries that one place alone may know.
var homes = map[string]string{
	"github.com/spf13/cobra":         "cmd",
	"github.com/spf13/pflag":         "cmd",
	"github.com/schollz/progressbar": "cmd/regsync/internal/ui",
	"github.com/olareg/olareg":       "internal/registrytest",
	"github.com/docker/cli":          "pkg/auth",
	// Tests ask it whether names, layouts and images are what we take them for; the product has parsers of its own, which
	// keep bytes as they are.
	"github.com/google/go-containerregistry": "scripts",
	"github.com/rogpeppe/go-internal":        "only tests",
	"github.com/santhosh-tekuri":             "only tests",
	"modernc.org/sqlite":                     "internal/state",
	"github.com/regclient/regclient":         "nowhere",
	"github.com/containers/image":            "nowhere",
	"github.com/containerd/containerd":       "nowhere",
	"github.com/google/go-cmp":               "only tests",
	"github.com/stretchr/testify":            "nowhere",
	"github.com/pkg/errors":                  "nowhere",
	"github.com/hashicorp/go-multierror":     "nowhere",
}

// testSupport is imported by tests and by itself only, and may import anything.
var testSupport = []string{"internal/registrytest", "pkg/content/contenttest"}

func TestImports(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || within(f.dir, testSupport...) {
			continue
		}
		row, ok := rowOf(f.dir)
		if !ok {
			t.Errorf("%s: %s has no row in the table of imports", f.path, f.dir)
			continue
		}
		for imported := range f.ours() {
			switch {
			case within(imported, testSupport...):
				t.Errorf("%s imports %s, which is for tests", f.path, imported)
			case !within(imported, row) && !within(imported, mayImport[row]...):
				t.Errorf("%s imports %s; %s may import %q", f.path, imported, row, mayImport[row])
			}
		}
	}
}

func TestLibrariesStayAtHome(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || within(f.dir, "e2e") {
			continue
		}
		for _, imported := range f.imports() {
			for library, home := range homes {
				if within(imported, library) && !within(f.dir, home) {
					t.Errorf("%s imports %s, whose place is %s", f.path, imported, home)
				}
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	comments := map[string]int{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		comments[f.dir] += 0
		if f.syntax.Doc == nil {
			continue
		}
		comments[f.dir]++
		name := f.syntax.Name.Name
		if text := f.syntax.Doc.Text(); name != "main" && !strings.HasPrefix(text, "Package "+name+" ") {
			t.Errorf("%s: the comment of package %s begins %q", f.path, name, strings.SplitAfterN(text, " ", 3)[:2])
		}
	}
	for dir, got := range comments {
		if got != 1 {
			t.Errorf("%s has %d package comments, want 1", dir, got)
		}
	}
}

// promise is what a comment says when the work is to be done later.
var promise = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

func TestNothingIsLeftForLater(t *testing.T) {
	for _, f := range sources(t) {
		for _, group := range f.syntax.Comments {
			if found := promise.FindString(group.Text()); found != "" {
				t.Errorf("%s: a comment says %s", f.at(group), found)
			}
		}
	}
}

// TestNoHiddenFlow: nothing happens by being imported, no test is passed over, and no
// error is told by its words.
func TestNoHiddenFlow(t *testing.T) {
	for _, f := range sources(t) {
		for _, spec := range f.syntax.Imports {
			if within(importPath(spec), module) && spec.Name != nil && (spec.Name.Name == "_" || spec.Name.Name == ".") {
				t.Errorf("%s: an import for its side effects or into this scope", f.at(spec))
			}
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					t.Errorf("%s: func init", f.at(n))
				}
			case *ast.CallExpr:
				if skipsTest(n) {
					t.Errorf("%s: a test that is skipped proves nothing", f.at(n))
				}
				if !f.test && matchesErrorText(n) {
					t.Errorf("%s: an error is told by errors.Is or errors.AsType, not by its text", f.at(n))
				}
			}
			return true
		})
	}
}

func skipsTest(call *ast.CallExpr) bool {
	callee, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	receiver, ok := callee.X.(*ast.Ident)
	return ok && slices.Contains([]string{"t", "b", "f", "tb"}, receiver.Name) &&
		slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, callee.Sel.Name)
}

func matchesErrorText(call *ast.CallExpr) bool {
	callee, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return false
	}
	receiver, ok := callee.X.(*ast.Ident)
	if !ok || receiver.Name != "strings" {
		return false
	}
	text, ok := call.Args[0].(*ast.CallExpr)
	if !ok || len(text.Args) != 0 {
		return false
	}
	method, ok := text.Fun.(*ast.SelectorExpr)
	return ok && method.Sel.Name == "Error"
}

// source is one parsed file.
type source struct {
	path   string // from the root, with slashes
	dir    string
	test   bool
	syntax *ast.File
	files  *token.FileSet
}

func (s source) at(n ast.Node) token.Position { return s.files.Position(n.Pos()) }

func (s source) imports() []string {
	var paths []string
	for _, spec := range s.syntax.Imports {
		paths = append(paths, importPath(spec))
	}
	return paths
}

// ours yields the imported packages of this module, as directories from the root.
func (s source) ours() map[string]bool {
	dirs := map[string]bool{}
	for _, imported := range s.imports() {
		if within(imported, module) {
			dirs[strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")] = true
		}
	}
	return dirs
}

func importPath(spec *ast.ImportSpec) string {
	unquoted, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return unquoted
}

func sources(t *testing.T) []source {
	t.Helper()
	var found []source
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && file != "." && (strings.HasPrefix(name, ".") || name == "testdata") {
			return filepath.SkipDir
		}
		if entry.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		syntax, err := parser.ParseFile(files, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		slashed := filepath.ToSlash(file)
		found = append(found, source{slashed, path.Dir(slashed), strings.HasSuffix(name, "_test.go"), syntax, files})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 20 {
		t.Fatalf("only %d files found: the test looks in the wrong place", len(found))
	}
	return found
}

// rowOf finds the row of the table that a directory stands in: the longest that fits.
func rowOf(dir string) (string, bool) {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := mayImport[dir]; ok {
			return dir, true
		}
	}
	return "", false
}

// within reports whether a path is one of roots or below it.
func within(p string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return p == root || strings.HasPrefix(p, root+"/")
	})
}
