package mirror_test

import (
	"errors"
	"testing"

	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/transfer"
)

// When the listing of a source failed, a later entry took over the tags that the source writes
// in other nights, and the next run moved them back. Such a tag is left to the next run; the
// failure is that of the listing, and is counted once.
func TestFailedListingGivesNoTagAway(t *testing.T) {
	tags := map[string][]string{
		"quay.io/broken": {"1", "BROKEN"}, "quay.io/second": {"1", "v1", "1-cn", "latest"}, "quay.io/team/x": {"1", "2"},
	}
	const second = "  - {name: second, from: quay.io/second, to: a.b/x, tags: {include: '?*'}}\n"
	for _, test := range []struct {
		name, config string
		written      []string // of the last entry
		undecided    []string
	}{
		{"any tag", "  - {name: first, from: quay.io/broken, to: a.b/x}\n" + second, nil, []string{"1", "1-cn", "latest", "v1"}},
		{
			"what its tags cannot select", "  - {name: first, from: quay.io/broken, to: a.b/x, tags: {include: ['v*', '1*'], exclude: '*-cn', newest: 1}}\n" + second,
			[]string{"1-cn", "latest"}, []string{"1", "v1"},
		},
		{"no version", "  - {name: first, from: quay.io/broken, to: a.b/x, tags: {semver: '<2'}}\n" + second, []string{"1-cn", "latest"}, []string{"1", "v1"}},
		{"what rename does not make", "  - {name: first, from: quay.io/broken, to: a.b/x, rename: '{{.Tag}}-cn'}\n" + second, []string{"1", "latest", "v1"}, []string{"1-cn"}},
		{"another repository", "  - {name: first, from: quay.io/broken, to: a.b/y}\n" + second, []string{"1", "1-cn", "latest", "v1"}, nil},
		{"the later source fails", "  - {name: first, from: quay.io/second, to: a.b/x}\n  - {name: second, from: quay.io/broken, to: a.b/x, tags: {include: '?*'}}\n", nil, nil},
		{
			"the same image", "  - {name: first, from: quay.io/broken, to: a.b/x}\n  - {name: second, from: 'quay.io/broken:1', to: a.b/x}\n",
			[]string{"1"}, nil,
		},
		{
			"the same image for other platforms", "  - {name: first, from: quay.io/broken, to: a.b/x, platforms: linux/amd64}\n" +
				"  - {name: second, from: 'quay.io/broken:1', to: a.b/x}\n", nil, []string{"1"},
		},
		{
			"a pattern, and what it would find", "  - {name: first, from: 'quay.io/team/*', to: 'a.b/{{.Base}}'}\n  - {name: second, from: quay.io/team/x, to: a.b/x}\n",
			[]string{"1", "2"}, nil,
		},
		{
			"a pattern, and another repository", "  - {name: first, from: 'quay.io/team/*', to: 'a.b/{{.Base}}'}\n" + second,
			nil, []string{"1", "1-cn", "latest", "v1"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			selection := &mirror.Selection{
				Config: load(t, "sync:\n"+test.config), Sources: &shelf{tags: tags}, Catalog: &catalog{names: []string{"team/x", "BROKEN"}},
			}
			var written, undecided []string
			ended, err := runFor(t.Context(), instant{}, selection, func(r *transfer.Result) {
				switch _, is := errors.AsType[*mirror.UndecidedError](r.Err()); {
				case is:
					undecided = append(undecided, r.Job.Source.Tag)
				case r.Err() == nil && r.Job.Entry == "second" && len(r.Destinations) > 0:
					written = append(written, r.Job.Source.Tag)
				}
			})
			if err != nil || len(ended.Failures()) != 1 {
				t.Errorf("%d failures, want that of the listing alone; %v", len(ended.Failures()), err)
			}
			compare(t, written, test.written)
			compare(t, undecided, test.undecided)
		})
	}
}

// An entry of which nothing has failed is listed for --failed-only only to know what it writes
// first. When that fails, it is a failure of the run.
func TestFailedListingIsToldInARetry(t *testing.T) {
	selection := &mirror.Selection{
		Config:  load(t, "sync:\n  - {name: first, from: quay.io/broken, to: a.b/x}\n  - {name: second, from: quay.io/second, to: a.b/x, tags: {include: '?*'}}\n"),
		Sources: &shelf{tags: map[string][]string{"quay.io/broken": {"BROKEN"}, "quay.io/second": {"1"}}},
		Only:    mirror.Retry{{Entry: "second", Source: "quay.io/second:1", Destinations: []string{"a.b/x:1"}}},
	}
	ended, err := runFor(t.Context(), instant{}, selection, nil)
	if err != nil || len(ended.Entries[0].Failures) != 0 || len(ended.Entries[0].Warnings) != 1 || ended.Entries[1].Deferred != 1 || ended.Entries[1].Unlisted || ended.Right() != 0 {
		t.Errorf("got %+v, %v", ended.Entries, err)
	}
}

// TestOnlyKeepsConflicts: a run of one entry does not give it a tag that an entry before it writes in a run of all.
func TestOnlyKeepsConflicts(t *testing.T) {
	cfg, _ := load(t, `
sync:
  - {name: first, from: quay.io/a, to: a.b/app, tags: {include: '1'}}
  - {name: second, from: quay.io/b, to: a.b/app}
`).Only([]string{"second"})
	sources := &shelf{tags: map[string][]string{"quay.io/a": {"1", "2"}, "quay.io/b": {"1", "2"}}}
	ended, err := runFor(t.Context(), instant{}, &mirror.Selection{Config: cfg, Sources: sources}, nil)
	if err != nil || len(ended.Entries) != 1 || ended.Right() != 1 || len(ended.Failures()) != 1 {
		t.Fatalf("got %+v, %v", ended.Entries, err)
	}
	if _, ok := errors.AsType[*mirror.CollisionError](ended.Failures()[0].Err); !ok {
		t.Errorf("got %v, want a collision", ended.Failures()[0].Err)
	}
}
