package registrytest_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
)

var update = flag.Bool("update", false, "write docs/FAULTS.md from the catalogue")

// docs returns the text of docs/FAULTS.md.
func docs() string {
	var b strings.Builder
	fmt.Fprint(&b, "# Faults\n\n"+
		"The faults that `internal/registrytest` injects, by name, and the registries that it imitates. A test generates this page from the\n"+
		"catalogue: `go test ./internal/registrytest -run Docs -update`.\n\n"+
		"`TestFaults` of `pkg/transfer` combines these faults with operations and places, and `TestProfiles` copies to and from each profile.\n"+
		"Both run in `testing/synctest` bubbles, on an in-memory network.\n")
	for _, lasting := range []bool{false, true} {
		if lasting {
			fmt.Fprint(&b, "\n## Quirks\n\nA registry has these as long as it runs: `New(t, With(RangeIgnored, Put413.At(20<<20)))`.\n\n")
		} else {
			fmt.Fprint(&b, "\n## Faults of single requests\n\nThese strike the requests that a rule selects: `s.FailTimes(1, Match(\"GET\", \"/blobs/\"), Reset.Fault(50_000))`.\n\n")
		}
		fmt.Fprint(&b, "| name | side | what happens |\n|---|---|---|\n")
		for _, e := range registrytest.Catalogue() {
			if e.Lasting == lasting {
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", e.Name, e.Side, e.Means)
			}
		}
	}
	fmt.Fprint(&b, "\n## Profiles\n\n`New(t, Profile(\"harbor\"))` starts a registry with the quirks of a real one. Sizes in later options replace the profile's.\n\n"+
		"| profile | quirks | source |\n|---|---|---|\n")
	for _, known := range registrytest.Profiles() {
		var quirks []string
		for _, q := range known.Quirks {
			quirks = append(quirks, "`"+string(q)+"`")
		}
		if len(quirks) == 0 {
			quirks = []string{"–"}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", known.Name, strings.Join(quirks, ", "), known.Source)
	}
	fmt.Fprint(&b, "\n## Attacks\n\n`Attacks()` lists what a hostile registry does: `a.Begin(s)` makes a registry hostile until it is closed. `TestHostileRegistry` of `pkg/transfer`\n"+
		"copies from and to it, or lists its tags, and measures memory, goroutines, disk and time. The promises are in [security.md](security.md).\n\n"+
		"| name | side | what happens |\n|---|---|---|\n")
	for _, a := range registrytest.Attacks() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", a.Name, a.Side, a.Means)
	}
	return b.String()
}

func TestDocs(t *testing.T) {
	const file = "../../docs/FAULTS.md"
	want := docs()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("%s does not match the catalogue (%v); -update rewrites it", file, err)
	}
}

// The catalogue lists the name of every constant once.
func TestCatalogueIsComplete(t *testing.T) {
	syntax, err := parser.ParseFile(token.NewFileSet(), "catalogue.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names, listed []string
	ast.Inspect(syntax, func(n ast.Node) bool {
		if spec, is := n.(*ast.ValueSpec); is && fmt.Sprint(spec.Type) == "Name" {
			for _, value := range spec.Values {
				name, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, name)
			}
		}
		return true
	})
	for _, e := range registrytest.Catalogue() {
		listed = append(listed, string(e.Name))
		if !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(string(e.Name)) || e.Means == "" || e.Side == "" {
			t.Errorf("%+v is not a valid row of the catalogue", e)
		}
	}
	slices.Sort(names)
	slices.Sort(listed)
	if !slices.Equal(names, listed) || len(names) < 40 {
		t.Errorf("the constants are %q, the catalogue has %q", names, listed)
	}
}

// A name that is used where it has no effect is a bug in a test.
func TestMisusedNames(t *testing.T) {
	for title, use := range map[string]func(){
		"a quirk as a fault of single requests": func() { registrytest.RangeIgnored.Fault(0) },
		"a fault of single requests as a quirk": func() { registrytest.New(t, registrytest.With(registrytest.Reset)) },
		"a sized quirk without its size":        func() { registrytest.New(t, registrytest.With(registrytest.Put413)) },
		"a size for a quirk that has none":      func() { registrytest.New(t, registrytest.With(registrytest.NoCatalog.At(1))) },
		"an unknown name":                       func() { registrytest.New(t, registrytest.With("none")) },
		"an unknown profile":                    func() { registrytest.Profile("none") },
	} {
		t.Run(title, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			use()
		})
	}
}
