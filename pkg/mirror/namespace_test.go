package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/transfer"
)

// catalog lists repositories; BROKEN among them breaks the list off.
type catalog struct {
	names []string
	wait  time.Duration

	mu    sync.Mutex
	under []string
}

// asked are the names that repositories were asked for below, in that order.
func (c *catalog) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.under)
}

func (c *catalog) Repositories(ctx context.Context, _, under string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		c.mu.Lock()
		c.under = append(c.under, under)
		c.mu.Unlock()
		select {
		case <-time.After(c.wait):
		case <-ctx.Done():
			yield("", ctx.Err())
			return
		}
		for _, name := range c.names {
			if name == "BROKEN" {
				yield("", errors.New("list: HTTP 500"))
				return
			}
			if !yield(name, nil) {
				return
			}
		}
	}
}

// namespace is a configuration whose entry "all" names repositories by a pattern, followed by
// other entries.
func namespace(t *testing.T, glob, others string) *config.Config {
	t.Helper()
	return load(t, "defaults: {to: 'a.b/{{.Repository}}'}\nsync:\n  - {name: all, from: 'quay.io/"+glob+"'}\n"+others)
}

// TestNamespace: each repository that a pattern matches becomes a source of the entry, in
// its place; one that fails fails alone.
func TestNamespace(t *testing.T) {
	cfg := namespace(t, "team/app-*", "  - {name: after, from: quay.io/other}\n")
	names := &catalog{names: []string{"team/app-b", "team/web", "team/app-a/deep", "team/app-gone", "team/app-a", "team/app-b", "other"}}
	sources := &shelf{tags: map[string][]string{
		"quay.io/team/app-a": {"2", "1"}, "quay.io/team/app-b": {"1"}, "quay.io/other": {"1"}, "quay.io/team/web": {"1"},
	}}
	golden.Text(t, collected(t.Context(), &mirror.Selection{Config: cfg, Sources: sources, Catalog: names}))
	compare(t, names.asked(), []string{"team/"})
}

// TestNamespaceThatCannotBeListed: no match, a list that breaks off, and a registry that has
// none are failures of the entry alone, told where the images would have gone.
func TestNamespaceThatCannotBeListed(t *testing.T) {
	sources := &shelf{tags: map[string][]string{"quay.io/team/a": {"1"}, "quay.io/other": {"1"}}}
	for _, test := range []struct {
		name    string
		catalog mirror.Catalog
		check   func(error) bool
	}{
		{"nothing matches", &catalog{names: []string{"other", "team"}}, func(err error) bool {
			nothing, ok := errors.AsType[*mirror.NoRepositoryError](err)
			return ok && nothing.Glob == "team/*" && nothing.Listed == 2
		}},
		{"it breaks off", &catalog{names: []string{"team/a", "BROKEN"}}, isCatalogError},
		{"there is none", nil, func(err error) bool {
			return isCatalogError(err) && errors.Is(err, content.ErrUnsupported)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := namespace(t, "team/*", "  - {name: after, from: quay.io/other}\n")
			engine := &bench{window: 256, took: hangs()}
			synctest.Test(t, func(t *testing.T) {
				ended, err := runFor(t.Context(), engine, &mirror.Selection{Config: cfg, Sources: sources, Catalog: test.catalog}, nil)
				failures := ended.Failures()
				if err != nil || ended.Right() != 1 || len(failures) != 1 {
					t.Fatalf("got %+v, %v", ended.Entries, err)
				}
				f := failures[0]
				if got := f.Source.String() + " → " + f.Destination.String(); got != "quay.io/team/* → a.b/team/*" {
					t.Errorf("got %s", got)
				}
				if !test.check(f.Err) {
					t.Errorf("got %v", f.Err)
				}
				golden.Text(t, f.Err.Error())
			})
		})
	}
}

func isCatalogError(err error) bool {
	failed, ok := errors.AsType[*mirror.CatalogError](err)
	return ok && failed.Registry == "quay.io"
}

// TestManyMatches: the matches of a pattern are listed side by side, in order for a plan,
// though what follows them was listed before.
func TestManyMatches(t *testing.T) {
	names := &catalog{wait: time.Second}
	sources := &shelf{tags: map[string][]string{}, delay: map[string]time.Duration{}}
	others := ""
	var want []string
	for i := range 100 {
		name := fmt.Sprintf("team/r%02d", i)
		names.names = append(names.names, name)
		sources.tags["quay.io/"+name], sources.delay["quay.io/"+name] = []string{"1"}, time.Second
		want = append(want, "quay.io/"+name+":1 → a.b/"+name+":1")
	}
	for i := range 50 {
		name := fmt.Sprintf("o%02d", i)
		sources.tags["quay.io/"+name] = []string{"1"}
		others += "  - from: quay.io/" + name + "\n"
		want = append(want, "quay.io/"+name+":1 → a.b/"+name+":1")
	}
	cfg := namespace(t, "team/*", others)
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		compare(t, collect(t.Context(), &mirror.Selection{Config: cfg, Sources: sources, Catalog: names}), want)
		if took := time.Since(started); took > 10*time.Second {
			t.Errorf("took %s: one after the other?", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		engine := &bench{window: 256, took: hangs()}
		ended, err := runFor(t.Context(), engine, &mirror.Selection{Config: cfg, Sources: sources, Catalog: names}, nil)
		if err != nil || ended.Right() != 150 {
			t.Errorf("%d are right, %v", ended.Right(), err)
		}
	})
}

// TestWhoIsFirst: of two images for one tag it is always the first of the file that is
// written, also where its repository is listed last, or is found by a pattern.
func TestWhoIsFirst(t *testing.T) {
	sources := &shelf{
		tags:  map[string][]string{"quay.io/team/x": {"1", "2"}, "quay.io/b/x": {"2", "3"}, "quay.io/free": {"1"}},
		delay: map[string]time.Duration{"quay.io/team/x": time.Minute},
	}
	cfg := namespace(t, "team/*", "  - {name: two, from: quay.io/b/x, to: a.b/team/x}\n  - {name: free, from: quay.io/free}\n")
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		var free time.Duration
		done := func(r *transfer.Result) {
			if r.Job.Entry == "free" {
				free = time.Since(started)
			}
		}
		selection := &mirror.Selection{Config: cfg, Sources: sources, Catalog: &catalog{names: []string{"team/x"}, wait: time.Minute}}
		ended, err := runFor(t.Context(), &bench{window: 256, took: hangs()}, selection, done)
		if err != nil {
			t.Fatal(err)
		}
		all, two := ended.Entries[0], ended.Entries[1]
		if all.Unchanged != 2 || two.Unchanged != 1 || len(two.Failures) != 1 {
			t.Fatalf("got %+v", ended.Entries)
		}
		collision, ok := errors.AsType[*mirror.CollisionError](two.Failures[0].Err)
		if !ok || collision.First.Familiar() != "quay.io/team/x:2" || collision.Entry != "all" {
			t.Errorf("got %v", two.Failures[0].Err)
		}
		if free > 10*time.Second {
			t.Errorf("what collides with nothing has waited %s", free)
		}
	})
}
