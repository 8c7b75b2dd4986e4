package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/reference"
)

// doors are places that may be closed to writers.
type doors struct {
	closed string

	mu    sync.Mutex
	asked []string
}

func (d *doors) CheckWrite(_ context.Context, ref reference.Reference) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, ref.FamiliarName())
	if ref.Registry == d.closed {
		return content.ErrDenied
	}
	return nil
}

// names are those that were asked about, sorted.
func (d *doors) names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(slices.Values(d.asked))
}

// TestPreflight: every place is asked once, and each says for itself what is wrong with it.
func TestPreflight(t *testing.T) {
	cfg := load(t, `sync:
  - {name: web, from: [quay.io/nginx, quay.io/gone], to: ["a.b/{{.Base}}", "closed.b/web/{{.Base}}"], tags: {include: ["1*"]}}
  - {name: again, from: quay.io/nginx, to: ["a.b/{{.Base}}", "c.d/deep/{{.Base}}"], tags: {include: ["2*"]}}
  - {name: all, from: "quay.io/team/*", to: "a.b/{{.Repository}}"}
`)
	s := &mirror.Selection{
		Config:  cfg,
		Sources: &shelf{tags: map[string][]string{"quay.io/nginx": {"1.0"}, "quay.io/team/one": {"BROKEN"}}},
		Catalog: &catalog{names: []string{"team/one", "other"}},
	}
	targets := &doors{closed: "closed.b"}
	var got []string
	for c := range mirror.Preflight(t.Context(), s, targets) {
		line := fmt.Sprintf("%s %s [%s]", c.Side, c.Reference.FamiliarName(), strings.Join(c.Entries, " "))
		switch {
		case errors.Is(c.Err, content.ErrNotFound):
			line += " not found"
		case errors.Is(c.Err, content.ErrDenied):
			line += " denied"
		case errors.Is(c.Err, content.ErrUnauthorized):
			line += " unauthorized"
		case c.Err != nil:
			line += " " + c.Err.Error()
		}
		got = append(got, line)
	}
	golden.Text(t, strings.Join(got, "\n"))
	asked := targets.names()
	if again := slices.Compact(slices.Clone(asked)); len(again) != len(asked) {
		t.Errorf("asked more than once: %q", asked)
	}
}

// TestPreflightWithoutCatalog: a registry that does not list its repositories is one finding.
func TestPreflightWithoutCatalog(t *testing.T) {
	cfg := load(t, "sync: [{name: all, from: 'quay.io/team/*', to: 'a.b/{{.Repository}}'}]\n")
	s := &mirror.Selection{Config: cfg, Sources: &shelf{}}
	targets := &doors{}
	checks := slices.Collect(mirror.Preflight(t.Context(), s, targets))
	if asked := targets.names(); len(checks) != 1 || !isCatalogError(checks[0].Err) || len(asked) != 0 {
		t.Errorf("got %+v, asked %q", checks, asked)
	}
}

// TestPreflightOfPatterns: two patterns of one registry are two findings. The second used to
// be taken for the first.
func TestPreflightOfPatterns(t *testing.T) {
	cfg := load(t, "sync: [{name: all, from: ['quay.io/one/*', 'quay.io/two/*'], to: 'a.b/{{.Repository}}'}]\n")
	s := &mirror.Selection{Config: cfg, Sources: &shelf{}, Catalog: &catalog{names: []string{"other/x"}}}
	var got []string
	for c := range mirror.Preflight(t.Context(), s, &doors{}) {
		nothing, ok := errors.AsType[*mirror.NoRepositoryError](c.Err)
		if !ok || nothing.Listed != 1 || "quay.io/"+nothing.Glob != c.Reference.String() {
			t.Errorf("%s: %v", c.Reference, c.Err)
		}
		got = append(got, c.Reference.String())
	}
	compare(t, got, []string{"quay.io/one/*", "quay.io/two/*"})
}

// TestPreflightOfARepositoryThatIsGone: a run only warns about a repository that a registry lists and does not have, unless an
// entry names it.
func TestPreflightOfARepositoryThatIsGone(t *testing.T) {
	for from, want := range map[string]error{
		"quay.io/team/*": nil,
		"['quay.io/team/*', 'quay.io/team/gone']": content.ErrNotFound,
	} {
		s := &mirror.Selection{
			Config:  load(t, "sync: [{name: all, from: "+from+", to: 'a.b/{{.Repository}}'}]\n"),
			Sources: &shelf{}, Catalog: &catalog{names: []string{"team/gone"}},
		}
		for c := range mirror.Preflight(t.Context(), s, &doors{}) {
			if c.Reference.Registry == "quay.io" && !errors.Is(c.Err, want) {
				t.Errorf("%s: got %v, want %v", from, c.Err, want)
			}
		}
	}
}
