package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

func load(t testing.TB, text string) *config.Config {
	t.Helper()
	cfg, err := config.Load([]string{"-"}, config.Options{Stdin: strings.NewReader("version: 1\n" + text)})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// shelf is an opener of repositories that have nothing but tags.
type shelf struct {
	tags  map[string][]string // by the repository's familiar name
	delay map[string]time.Duration
}

// repository is one of its repositories.
type repository struct {
	content.Source
	at   content.Location
	tags []string
}

func (r repository) Location() content.Location { return r.at }

func (r repository) Tags(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, tag := range r.tags {
			if tag == "BROKEN" {
				yield("", content.ErrUnauthorized)
				return
			}
			if !yield(tag, nil) {
				return
			}
		}
	}
}

func (s *shelf) OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error) {
	name := ref.FamiliarName()
	if wait := s.delay[name]; wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	tags, known := s.tags[name]
	if !known {
		return nil, fmt.Errorf("repository %s: %w", name, content.ErrNotFound)
	}
	return repository{at: content.Location{Registry: ref.Registry, Repository: ref.Repository}, tags: tags}, nil
}

// collect writes jobs, errors and warnings down.
func collect(ctx context.Context, s *mirror.Selection) []string {
	var lines []string
	warn := func(w mirror.Warning) {
		lines = append(lines, "warning "+w.Entry+": "+w.Source.Familiar()+": "+w.Err.Error())
	}
	for job, err := range s.Jobs(ctx, warn) {
		if err != nil {
			lines = append(lines, "error "+job.Entry+": "+err.Error())
			continue
		}
		var to []string
		for _, d := range job.Destinations {
			to = append(to, d.Familiar())
		}
		lines = append(lines, job.Source.Familiar()+" → "+strings.Join(to, " "))
	}
	return lines
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// collected is what a selection gives, a line each.
func collected(ctx context.Context, s *mirror.Selection) string {
	return strings.Join(collect(ctx, s), "\n")
}

func ignore(mirror.Warning) {}

const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestSelectTags(t *testing.T) {
	nginx := []string{
		"1", "1-alpine", "1-alpine3.22-perl", "1.20", "1.20.2", "1.20.2-alpine", "1.27", "1.27.5", "1.28-perl", "1.28.0",
		"alpine", "latest", "mainline", "stable", "stable-otel",
		"sha256-" + digest, "sha256-" + digest + ".sig", "sha256-" + digest + ".att", "sha256-" + digest + ".sbom",
	}
	release := []string{"v1", "v1.0", "v1.0.0", "v1.0.0-rc.1", "v10", "xv1", "v1x", "V1", "010", "2024-01-01", "2024.01.01", "sha256-short", "sha-4f2a"}
	for _, test := range []struct {
		name, tags string
		listed     []string
		want       []string
	}{
		{"all but signatures", "", nginx, nginx[:15]},
		{"a glob", "include: '1.2*'", nginx, []string{"1.20", "1.20.2", "1.20.2-alpine", "1.27", "1.27.5", "1.28-perl", "1.28.0"}},
		{"globs less globs", "include: ['1.2*', stable], exclude: ['*-perl', '*-alpine*']", nginx, []string{"stable", "1.20", "1.20.2", "1.27", "1.27.5", "1.28.0"}},
		{"all less some", "exclude: ['*-*', '?']", nginx, []string{"1.20", "1.20.2", "1.27", "1.27.5", "1.28.0", "alpine", "latest", "mainline", "stable"}},
		{"a class", "include: '1.2[0-7]'", nginx, []string{"1.20", "1.27"}},
		{"a negated class", "include: '1.2[!0]'", nginx, []string{"1.27"}},
		{"a number keeps its text", "include: 1.20", nginx, []string{"1.20"}},
		{"an expression is anchored", "include: '/v[0-9]+/'", release, []string{"v1", "v10"}},
		{"alternatives are anchored", "include: '/v1|v10/'", release, []string{"v1", "v10"}},
		{"an expression of its own flags", "include: '/(?i)v1/'", release, []string{"V1", "v1"}},
		{"a tag that only looks like a signature", "include: 'sha*'", release, []string{"sha-4f2a", "sha256-short"}},
		{"names keep the file's order", "include: [2024-01-01, 010, v1]", release, []string{"2024-01-01", "010", "v1"}},
		{"names need no listing", "include: [gone, v1, gone]", release, []string{"gone", "v1"}},
		{"names beside patterns need not be listed", "include: [gone, 'v1*']", release, []string{"gone", "v1", "v1.0", "v1.0.0", "v1.0.0-rc.1", "v10", "v1x"}},
		{"an excluded one", "include: [v1, 'v10*'], exclude: 'v1?'", release, []string{"v1"}},
		{"twice in the listing", "include: 'v*'", []string{"v2", "v1", "v2"}, []string{"v1", "v2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tags := ""
			if test.tags != "" {
				tags = ", tags: {" + test.tags + "}"
			}
			cfg := load(t, "sync: [{from: quay.io/x, to: a.b/x"+tags+"}]\n")
			s := &mirror.Selection{Config: cfg, Sources: &shelf{tags: map[string][]string{"quay.io/x": test.listed}}}
			var got []string
			for job, err := range s.Jobs(t.Context(), ignore) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, job.Source.Tag)
			}
			compare(t, got, test.want)
		})
	}
}

// TestNamesAreNotListed: a registry is not asked for what the file says.
func TestNamesAreNotListed(t *testing.T) {
	cfg := load(t, "sync: [{from: [nginx:1, 'nginx@sha256:"+digest+"'], to: a.b/x}, {from: httpd, to: a.b/h, tags: {include: [2, 3]}}]\n")
	got := collect(t.Context(), &mirror.Selection{Config: cfg, Sources: &shelf{}})
	compare(t, got, []string{
		"nginx:1 → a.b/x:1",
		"nginx@sha256:" + digest + " → a.b/x@sha256:" + digest,
		"httpd:2 → a.b/h:2",
		"httpd:3 → a.b/h:3",
	})
}

// TestOneFailsAlone: what cannot be listed is told, and the others go on.
func TestOneFailsAlone(t *testing.T) {
	cfg := load(t, `
defaults: {to: 'a.b/{{.Base}}'}
sync:
  - {name: gone, from: quay.io/gone}
  - {name: half, from: quay.io/half}
  - {name: fine, from: [quay.io/fine, quay.io/lost]}
`)
	got := collect(t.Context(), &mirror.Selection{Config: cfg, Sources: &shelf{tags: map[string][]string{
		"quay.io/half": {"1", "BROKEN"}, "quay.io/fine": {"1"},
	}}})
	golden.Text(t, strings.Join(got, "\n"))
}

func TestPlaceThatCannotList(t *testing.T) {
	cfg := load(t, "sync: [{from: quay.io/x, to: a.b/x}]\n")
	plain := opener(func(reference.Reference) (content.Source, error) { return struct{ content.Source }{}, nil })
	for job, err := range (&mirror.Selection{Config: cfg, Sources: plain}).Jobs(t.Context(), ignore) {
		if !errors.Is(err, content.ErrUnsupported) || fmt.Sprint(job.Destinations) != "[a.b/x]" {
			t.Errorf("got %+v, %v", job, err)
		}
	}
}

type opener func(reference.Reference) (content.Source, error)

func (o opener) OpenSource(_ context.Context, ref reference.Reference) (content.Source, error) {
	return o(ref)
}

// TestManyTagsOfDockerHub: thousands of tags are not taken without being asked for.
func TestManyTagsOfDockerHub(t *testing.T) {
	many := make([]string, 201)
	for i := range many {
		many[i] = fmt.Sprintf("v%03d", i)
	}
	tags := map[string][]string{"nginx": many, "httpd": many[:200], "quay.io/nginx": many}
	for _, test := range []struct {
		from, tags string
		want       int
		refused    bool
	}{
		{"nginx", "", 0, true},
		{"nginx", ", tags: {exclude: 'v1*'}", 0, true},
		{"nginx", ", tags: {include: '*'}", 201, false},
		{"httpd", "", 200, false},
		{"quay.io/nginx", "", 201, false},
	} {
		cfg := load(t, "sync: [{from: "+test.from+", to: a.b/x"+test.tags+"}]\n")
		jobs, refused := 0, false
		for _, err := range (&mirror.Selection{Config: cfg, Sources: &shelf{tags: tags}}).Jobs(t.Context(), ignore) {
			if _, ok := errors.AsType[*mirror.ManyTagsError](err); ok {
				refused = true
			} else if err != nil {
				t.Fatal(err)
			} else {
				jobs++
			}
		}
		if jobs != test.want || refused != test.refused {
			t.Errorf("%s%s: %d jobs, refused %v; want %d, %v", test.from, test.tags, jobs, refused, test.want, test.refused)
		}
	}
}

// TestCollisions: equal copies are done once, unequal ones to one tag are refused, whether
// or not the file alone tells.
func TestCollisions(t *testing.T) {
	tags := map[string][]string{"quay.io/a/x": {"1", "2"}, "quay.io/b/x": {"2", "3"}}
	cfg := load(t, `
defaults: {to: 'a.b/{{.Base}}'}
sync:
  - {name: one, from: quay.io/a/x}
  - {name: two, from: quay.io/b/x, tags: {include: '?'}}
  - {name: again, from: 'quay.io/a/x:1', to: [a.b/x, c.d/x]}
  - {name: twice, from: 'quay.io/a/x:1', to: [e.f/x, 'e.f/x:1']}
`)
	got := collect(t.Context(), &mirror.Selection{Config: cfg, Sources: &shelf{tags: tags}})
	golden.Text(t, strings.Join(got, "\n"))
}

// TestPatternsThatSelectNothing: a mistyped pattern that leaves an entry with nothing is a
// failure, because as a warning the mirror would stay empty, and nobody would know.
func TestPatternsThatSelectNothing(t *testing.T) {
	tags := map[string][]string{"quay.io/x": {"1", "2"}, "quay.io/one": {"1"}, "quay.io/empty": {}}
	cfg := load(t, `
defaults: {to: 'a.b/{{.Base}}'}
sync:
  - {name: one, from: quay.io/x, tags: {include: ['1*', '9*']}}
  - {name: two, from: [quay.io/x, quay.io/one], to: 'c.d/{{.Base}}', tags: {include: ['z*', 'y*'], exclude: '?'}}
  - {name: three, from: quay.io/empty}
  - {name: four, from: quay.io/empty, to: e.f/x, tags: {include: ['a*', 'b*', 'c*', 'd*', 'e*', 'f*', 'g*']}}
  - {name: five, from: quay.io/x, to: g.h/x, tags: {exclude: '?'}}
`)
	got := collect(t.Context(), &mirror.Selection{Config: cfg, Sources: &shelf{tags: tags}})
	golden.Text(t, strings.Join(got, "\n"))
}

// slowShelf has 40 repositories of one tag; every listing takes a second, some more.
func slowShelf(more map[int]time.Duration) (*shelf, string) {
	s := &shelf{tags: map[string][]string{}, delay: map[string]time.Duration{}}
	text := "defaults: {to: 'a.b/{{.Base}}'}\nsync:\n"
	for i := range 40 {
		name := fmt.Sprintf("quay.io/r%02d", i)
		s.tags[name] = []string{"1"}
		s.delay[name] = time.Second + more[i]
		text += "  - from: " + name + "\n"
	}
	return s, text
}

// TestListingIsConcurrentAndOrdered: repositories are listed side by side, and yielded in
// the file's order.
func TestListingIsConcurrentAndOrdered(t *testing.T) {
	sources, text := slowShelf(map[int]time.Duration{3: time.Second})
	cfg := load(t, text)
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		got := collect(t.Context(), &mirror.Selection{Config: cfg, Sources: sources})
		if took := time.Since(started); took > 6*time.Second {
			t.Errorf("took %s: one after the other?", took)
		}
		if len(got) != 40 || !slices.IsSorted(got) {
			t.Errorf("got %q", got)
		}
	})
}

// TestJobsEndWithTheContext: a listing that hangs is left, and no goroutine stays behind
// (synctest would see it).
func TestJobsEndWithTheContext(t *testing.T) {
	sources, text := slowShelf(map[int]time.Duration{1: time.Hour})
	cfg := load(t, text)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		got := collect(ctx, &mirror.Selection{Config: cfg, Sources: sources})
		if fmt.Sprint(got) != "[quay.io/r00:1 → a.b/r00:1]" {
			t.Errorf("got %q", got)
		}
	})
}

// TestJobsStopWhenTheCallerDoes: leaving the loop ends the listings.
func TestJobsStopWhenTheCallerDoes(t *testing.T) {
	sources, text := slowShelf(map[int]time.Duration{1: time.Hour})
	cfg := load(t, text)
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		for _, err := range (&mirror.Selection{Config: cfg, Sources: sources}).Jobs(t.Context(), ignore) {
			if err != nil {
				t.Error(err)
			}
			break
		}
		if took := time.Since(started); took > time.Minute {
			t.Errorf("took %s", took)
		}
	})
}
