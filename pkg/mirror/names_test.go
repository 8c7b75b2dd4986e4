package mirror_test

import (
	"context"
	"iter"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// hostile is a shelf whose repositories also list invalid tags.
type hostile struct{ shelf }

type hostileRepository struct {
	content.Source
	content.TagLister
}

func (h *hostile) OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error) {
	source, err := h.shelf.OpenSource(ctx, ref)
	if err != nil {
		return nil, err
	}
	return hostileRepository{source, tagsAnd{source.(content.TagLister)}}, nil
}

type tagsAnd struct{ content.TagLister }

func (t tagsAnd) Tags(ctx context.Context) iter.Seq2[string, error] {
	return besides(t.TagLister.Tags(ctx), "tag", "../x", "\x1b[2J")
}

// besides ends a listing with invalid names.
func besides(names iter.Seq2[string, error], kind string, bad ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for name, err := range names {
			if !yield(name, err) || err != nil {
				return
			}
		}
		yield("", &content.InvalidNamesError{Kind: kind, Count: len(bad), First: bad})
	}
}

// hostileCatalog is a catalog that also lists an invalid name.
type hostileCatalog []string

func (c hostileCatalog) Repositories(context.Context, string, string) iter.Seq2[string, error] {
	return besides(func(yield func(string, error) bool) {
		for _, name := range c {
			if !yield(name, nil) {
				return
			}
		}
	}, "repository name", "team/..")
}

const badTags = `ignored 2 invalid tags: "../x", "\x1b[2J"`

// TestInvalidNames: the valid tags of a repository are taken, with one warning about the
// invalid ones, however many sources name the repository.
func TestInvalidNames(t *testing.T) {
	sources := &hostile{shelf{tags: map[string][]string{"quay.io/a": {"1", "2"}, "quay.io/none": {}}}}
	cfg := load(t, `
defaults: {to: 'a.b/{{.Base}}'}
sync:
  - {name: first, from: quay.io/a, tags: {include: '1*'}}
  - {name: second, from: quay.io/a, tags: {include: '2*'}}
  - {name: none, from: quay.io/none}
  - {name: named, from: quay.io/a, to: a.b/c, tags: {include: ['2']}}
  - {name: nothing, from: quay.io/none, to: a.b/d, tags: {include: 'x*'}}
`)
	golden.Text(t, collected(t.Context(), &mirror.Selection{Config: cfg, Sources: sources}))
}

// TestRunWithInvalidNames: they are warnings in the outcome of a run, and no failures.
func TestRunWithInvalidNames(t *testing.T) {
	sources := &hostile{shelf{tags: map[string][]string{"quay.io/team/a": {"1"}, "quay.io/team/b": {"1"}}}}
	cfg := namespace(t, "team/*", "  - {name: again, from: 'quay.io/team/[ab]', to: 'c.d/{{.Base}}'}\n")
	names := hostileCatalog{"team/a", "team/b"}
	selection := &mirror.Selection{Config: cfg, Sources: sources, Catalog: names}
	ended, err := runFor(t.Context(), instant{}, selection, func(*transfer.Result) {})
	if err != nil || ended.Right() != 4 || len(ended.Failures()) != 0 {
		t.Fatalf("got %+v and %v", ended.Entries, err)
	}
	got := map[string]int{}
	for _, e := range ended.Entries {
		for _, w := range e.Warnings {
			got[strings.Replace(w.Source.String(), "[ab]", "*", 1)+": "+w.Err.Error()]++
		}
	}
	for _, want := range []string{
		`quay.io/team/*: ignored 1 invalid repository name: "team/.."`,
		"quay.io/team/a: " + badTags, "quay.io/team/b: " + badTags,
	} {
		if got[want] != 1 {
			t.Errorf("%d warnings %s, want 1", got[want], want)
		}
	}
	if len(got) != 3 {
		t.Errorf("got %v", got)
	}
}

// TestNoMatchAmongInvalidNames: a pattern that matches nothing fails, and the warning about
// invalid names is there as well, since they may be the cause.
func TestNoMatchAmongInvalidNames(t *testing.T) {
	names := hostileCatalog{"other"}
	selection := &mirror.Selection{Config: namespace(t, "team/*", ""), Sources: &hostile{}, Catalog: names}
	golden.Text(t, collected(t.Context(), selection))
}

// TestPreflightOfInvalidNames: a repository that lists invalid tags only can be used.
func TestPreflightOfInvalidNames(t *testing.T) {
	cfg := load(t, "sync:\n  - {from: quay.io/none, to: a.b/c}\n")
	selection := &mirror.Selection{Config: cfg, Sources: &hostile{shelf{tags: map[string][]string{"quay.io/none": {}}}}}
	for check := range mirror.Preflight(t.Context(), selection, writable{}) {
		if check.Err != nil {
			t.Errorf("%s: %v", check.Reference, check.Err)
		}
	}
}

type writable struct{}

func (writable) CheckWrite(context.Context, reference.Reference) error { return nil }
