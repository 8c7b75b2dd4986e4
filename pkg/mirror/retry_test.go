package mirror_test

import (
	"fmt"
	"testing"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/mirror"
)

// TestRetry: only what has failed is asked for again, with as few listings as that takes.
func TestRetry(t *testing.T) {
	const config = `
sync:
  - {name: web, from: [quay.io/web, quay.io/unlisted], to: ['a.b/{{.Base}}', 'c.d/{{.Base}}']}
  - {name: one, from: 'quay.io/one:1', to: [a.b/one, c.d/one]}
  - {name: names, from: quay.io/names, to: a.b/names, tags: {include: [1, 2]}}
  - {name: other, from: quay.io/other, to: a.b/other}
`
	tags := map[string][]string{
		"quay.io/web": {"1", "2", "3"}, "quay.io/unlisted": {"1", "2"}, "quay.io/other": {"1"},
	}
	for _, test := range []struct {
		name   string
		retry  mirror.Retry
		listed string
	}{
		{"nothing has failed", mirror.Retry{}, "map[]"},
		{
			"an image at one of its destinations",
			mirror.Retry{{Entry: "one", Source: "quay.io/one:1", Destinations: []string{"c.d/one:1"}}},
			"map[]",
		},
		{
			"an image everywhere",
			mirror.Retry{{Entry: "one", Source: "quay.io/one:1"}},
			"map[]",
		},
		{
			"names need no listing",
			mirror.Retry{{Entry: "names", Source: "quay.io/names:2", Destinations: []string{"a.b/names:2"}}},
			"map[]",
		},
		{
			"tags of one repository",
			mirror.Retry{
				{Entry: "web", Source: "quay.io/web:3", Destinations: []string{"a.b/web:3"}},
				{Entry: "web", Source: "quay.io/web:1", Destinations: []string{"a.b/web:1", "c.d/web:1"}},
			},
			"map[quay.io/web:1]",
		},
		{
			"a repository that could not be listed",
			mirror.Retry{{Entry: "web", Source: "quay.io/unlisted", Destinations: []string{"a.b/unlisted"}}},
			"map[quay.io/unlisted:1]",
		},
		{
			"what is not asked for any more",
			mirror.Retry{
				{Entry: "gone", Source: "quay.io/gone:1", Destinations: []string{"a.b/gone:1"}},
				{Entry: "one", Source: "quay.io/one:1", Destinations: []string{"a.b/one:1", "old.b/one:1"}},
				{Entry: "web", Source: "quay.io/web:9"},
			},
			"map[quay.io/web:1]",
		},
		{
			"another entry of the same source",
			mirror.Retry{{Entry: "other", Source: "quay.io/web:1", Destinations: []string{"a.b/web:1"}}},
			"map[]",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			sources := &counting{shelf: &shelf{tags: tags}}
			golden.Text(t, collected(t.Context(), &mirror.Selection{Config: load(t, config), Sources: sources, Only: test.retry}))
			if got := fmt.Sprint(sources.listings()); got != test.listed {
				t.Errorf("listed %s, want %s", got, test.listed)
			}
		})
	}
}

// TestRetryKeepsWhoIsFirst: an image that was refused, because another one is written to its
// tag, is refused again, though nothing of that other one has failed.
func TestRetryKeepsWhoIsFirst(t *testing.T) {
	const config = `
sync:
  - {name: one, from: quay.io/a/x, to: a.b/x}
  - {name: two, from: quay.io/b/x, to: a.b/x, tags: {include: '?'}}
  - {name: three, from: quay.io/c/x, to: a.b/x, tags: {include: '[2-9]'}}
`
	tags := map[string][]string{"quay.io/a/x": {"1", "2"}, "quay.io/b/x": {"2", "3"}, "quay.io/c/x": {"9"}}
	sources := &counting{shelf: &shelf{tags: tags}}
	golden.Text(t, collected(t.Context(), &mirror.Selection{Config: load(t, config), Sources: sources, Only: mirror.Retry{
		{Entry: "two", Source: "quay.io/b/x:2", Destinations: []string{"a.b/x:2"}},
		{Entry: "two", Source: "quay.io/b/x:3", Destinations: []string{"a.b/x:3"}},
	}}))
	if got := fmt.Sprint(sources.listings()); got != "map[quay.io/a/x:1 quay.io/b/x:1]" {
		t.Errorf("listed %s", got)
	}
}

// TestRetryOfANamespace: a pattern of repositories is expanded, and only what has failed is
// listed of it; or all, where the registry's repositories could not be.
func TestRetryOfANamespace(t *testing.T) {
	tags := map[string][]string{"quay.io/team/a": {"1", "2"}, "quay.io/team/b": {"1"}}
	for _, test := range []struct {
		retry mirror.Retry
		want  []string
	}{
		{
			mirror.Retry{{Entry: "all", Source: "quay.io/team/a:2", Destinations: []string{"a.b/team/a:2"}}},
			[]string{"quay.io/team/a:2 → a.b/team/a:2"},
		},
		{
			mirror.Retry{{Entry: "all", Source: "quay.io/team/*", Destinations: []string{"a.b/team/*"}}},
			[]string{"quay.io/team/a:1 → a.b/team/a:1", "quay.io/team/a:2 → a.b/team/a:2", "quay.io/team/b:1 → a.b/team/b:1"},
		},
	} {
		selection := &mirror.Selection{
			Config: namespace(t, "team/*", ""), Sources: &shelf{tags: tags},
			Catalog: &catalog{names: []string{"team/a", "team/b"}}, Only: test.retry,
		}
		compare(t, collect(t.Context(), selection), test.want)
	}
}

// TestRetryThatFailsAgain: what cannot be listed once more is a failure, and no warning that
// it is not asked for.
func TestRetryThatFailsAgain(t *testing.T) {
	selection := &mirror.Selection{Config: load(t, entries("a", "b")), Sources: &shelf{}, Only: mirror.Retry{
		{Entry: "a", Source: "quay.io/a", Destinations: []string{"a.b/a"}},
	}}
	golden.Text(t, collected(t.Context(), selection))
}
