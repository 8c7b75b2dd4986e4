// Command shape measures the shape of this repository's code: how much there is, how it is cut, and what stands in it
// twice.
//
//	cd tools && go run ./shape [-lines | -lint | -prose] [ROOT]
//
// Product code is every Go file that git knows, without tests, test support (internal/registrytest, contenttest), e2e,
// scripts and tools. The other figures are defined at the functions that find them: spreadTypes, calledOnce, equalLines,
// proseOf.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	onlyLines := flag.Bool("lines", false, "print only the product lines of each folder")
	lint := flag.Bool("lint", false, "print only the types with methods in more than two files, and fail if there are any")
	listProse := flag.Bool("prose", false, "print only the comparisons of prose in tests, each with its place")
	flag.Parse()
	if err := run(os.Stdout, cmp.Or(flag.Arg(0), ".."), *onlyLines, *lint, *listProse); err != nil {
		fmt.Fprintf(os.Stderr, "shape: error: %v\n", err)
		os.Exit(1)
	}
}

func run(out io.Writer, root string, onlyLines, lint, listProse bool) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	code, err := read(root)
	if err != nil {
		return err
	}
	if onlyLines {
		printLines(out, code)
		return nil
	}
	loaded, err := load(root, !lint)
	if err != nil {
		return err
	}
	if listProse {
		for _, found := range proseOf(loaded) {
			fmt.Fprintf(out, "%s:%d: %q\n", code.relative(found.file), found.line, found.text)
		}
		return nil
	}
	spread := code.spreadTypes(loaded)
	for _, line := range spread {
		fmt.Fprintln(out, line)
	}
	if lint {
		if len(spread) > 0 {
			return fmt.Errorf("%d types have methods in more than two files", len(spread))
		}
		return nil
	}
	return printAll(out, code, loaded, spread)
}

func printAll(out io.Writer, code *product, loaded []*packages.Package, spread []string) error {
	inScripts, err := proseInScripts(code.root)
	if err != nil {
		return err
	}
	printLines(out, code)
	same := code.equalLines()
	for _, pair := range same {
		fmt.Fprintln(out, pair)
	}
	prose := proseOf(loaded)
	inFolder := map[string]int{}
	for _, found := range prose {
		inFolder[path.Dir(code.relative(found.file))]++
	}
	for _, dir := range mostFirst(inFolder) {
		fmt.Fprintf(out, "%6d comparisons of prose in the tests of %s\n", inFolder[dir], dir)
	}
	lengths := code.functions(loaded)
	names, types := calledOnce(code, loaded)
	fmt.Fprintf(out, "\n%6d product lines\n", code.total())
	fmt.Fprintf(out, "%6d types with methods in more than two files\n", len(spread))
	fmt.Fprintf(out, "%6d %% of %d functions are called exactly once; %d %% if tests do not count and names are told apart by types\n",
		100*names/len(lengths), len(lengths), 100*types/len(lengths))
	fmt.Fprintf(out, "%6d lines in a function, p90\n", p90(lengths))
	fmt.Fprintf(out, "%6d lines in a file, p90\n", p90(code.lengths()))
	fmt.Fprintf(out, "%6d pairs of places with more than %d equal lines\n", len(same), maxEqual)
	fmt.Fprintf(out, "%6d comparisons of prose in tests, and %d in test scripts\n", len(prose), inScripts)
	return nil
}

// product is the product code, by the full path of its files.
type product struct {
	root  string
	files map[string][]string // their lines
}

var notProduct = regexp.MustCompile(`_test\.go$|(^|/)(registrytest|contenttest)/|^(e2e|scripts|tools)/`)

func read(root string) (*product, error) {
	git := exec.CommandContext(context.Background(), "git", "ls-files", "*.go")
	git.Dir, git.Stderr = root, os.Stderr
	list, err := git.Output()
	if err != nil {
		return nil, fmt.Errorf("list the files of %s: %w", root, err)
	}
	code := &product{root, map[string][]string{}}
	for name := range strings.FieldsSeq(string(list)) {
		if notProduct.MatchString(name) {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and git does not know it yet
		}
		if err != nil {
			return nil, err
		}
		code.files[filepath.Join(root, name)] = strings.Split(string(bytes.TrimSuffix(raw, []byte("\n"))), "\n")
	}
	return code, nil
}

func (p *product) relative(file string) string {
	name, err := filepath.Rel(p.root, file)
	if err != nil {
		return file
	}
	return filepath.ToSlash(name)
}

func (p *product) lengths() (all []int) {
	for _, lines := range p.files {
		all = append(all, len(lines))
	}
	return all
}

func (p *product) total() (sum int) {
	for _, n := range p.lengths() {
		sum += n
	}
	return sum
}

func printLines(out io.Writer, p *product) {
	lines, files := map[string]int{}, map[string]int{}
	for file, content := range p.files {
		dir := path.Dir(p.relative(file))
		lines[dir] += len(content)
		files[dir]++
	}
	for _, dir := range mostFirst(lines) {
		fmt.Fprintf(out, "%6d lines %3d files  %s\n", lines[dir], files[dir], dir)
	}
	fmt.Fprintf(out, "%6d lines %3d files  product\n", p.total(), len(p.files))
}

func mostFirst(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
}

// load type-checks the modules that have product code.
func load(root string, withTests bool) ([]*packages.Package, error) {
	var all []*packages.Package
	for _, module := range []string{".", "bench"} {
		config := &packages.Config{
			Dir:   filepath.Join(root, module),
			Tests: withTests,
			Mode:  packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports,
		}
		loaded, err := packages.Load(config, "./...")
		if err != nil {
			return nil, err
		}
		for _, pkg := range loaded {
			for _, problem := range pkg.Errors {
				return nil, fmt.Errorf("%s: %w", pkg.ID, problem)
			}
		}
		all = append(all, loaded...)
	}
	return all, nil
}

// eachFile calls visit for every file once, with a package that has it.
func eachFile(loaded []*packages.Package, visit func(pkg *packages.Package, file *ast.File, name string)) {
	seen := map[string]bool{}
	for _, pkg := range loaded {
		for _, file := range pkg.Syntax {
			if name := pkg.Fset.Position(file.Package).Filename; !seen[name] {
				seen[name] = true
				visit(pkg, file, name)
			}
		}
	}
}

func p90(all []int) int {
	slices.Sort(all)
	return all[len(all)*9/10]
}
