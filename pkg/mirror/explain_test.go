package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// explained writes findings down.
func explained(findings []report.Finding) string {
	var lines []string
	for _, f := range findings {
		line := fmt.Sprintf("%s (%s): %s", f.Entry, f.From.Familiar(), f.Image.Familiar())
		switch {
		case f.Err != nil:
			line += " not known: " + f.Err.Error()
		case f.Selected:
			line += " taken, " + held(f.Source)
		default:
			line += " left out, " + f.Rule + ", " + held(f.Source)
		}
		lines = append(lines, line)
		for _, c := range f.Copies {
			line := fmt.Sprintf("  %s %s %s", c.Reference.Familiar(), held(c.Holding), c.Action)
			if c.First != nil {
				line += " but " + c.First.Source.Familiar() + " of " + c.First.Entry
			}
			lines = append(lines, strings.TrimRight(line, " "))
		}
	}
	return strings.Join(lines, "\n")
}

func held(h report.Holding) string {
	switch {
	case errors.Is(h.Err, content.ErrUnauthorized), errors.Is(h.Err, content.ErrDenied):
		return "refused"
	case h.Err != nil:
		return h.Err.Error()
	case h.Digest == "":
		return "absent"
	default:
		return "there"
	}
}

func TestExplain(t *testing.T) {
	const config = `
sync:
  - {name: web, from: src.example/web, to: ['dst.example/{{.Base}}', closed.example/web], tags: {include: ['?', latest], exclude: '3'}}
  - {name: one, from: 'src.example/db:1', to: 'dst.example/db:stable'}
  - {name: also, from: src.example/other, to: dst.example/web}
  - {name: lost, from: nobody.example/lost, to: dst.example/lost}
`
	w := fill(t)
	for _, name := range []string{"src.example/other:2", "src.example/other:7", "dst.example/web:1"} {
		w.push(t, name)
	}
	for _, name := range []string{
		"src.example/web:1", "src.example/web:3", "src.example/web:9", "src.example/web:sha256-" + digest, "dst.example/db:stable",
		"src.example/db:2", "dst.example/web:2", "src.example/other:2", "dst.example/lost:1",
	} {
		t.Run(name, func(t *testing.T) {
			ref, err := reference.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			selection := &mirror.Selection{Config: load(t, config), Sources: w}
			found, err := mirror.Explain(t.Context(), transfer.New(w, transfer.Options{}), selection, ref, report.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range found.Findings {
				if f := &found.Findings[i]; !f.Selected && f.Image.Tag == "3" {
					f.Rule = "RULE" // package tags' own
				} else if errors.Is(f.Err, content.ErrUnauthorized) {
					f.Err = errors.New("source " + f.From.Familiar() + ": REFUSED")
				}
			}
			golden.Text(t, explained(found.Findings))
		})
	}
}

// TestExplainLists: a repository is listed only where names do not tell, and once.
func TestExplainLists(t *testing.T) {
	const config = `
sync:
  - {name: names, from: quay.io/names, to: a.b/names, tags: {include: [1, 2]}}
  - {name: listed, from: quay.io/listed, to: a.b/listed}
  - {name: again, from: quay.io/listed, to: c.d/listed}
  - {name: fixed, from: quay.io/fixed, to: 'a.b/fixed:x-{{.Tag}}', tags: {include: '2*'}}
`
	for ref, want := range map[string]string{
		"quay.io/names:2": "map[]", "quay.io/names:3": "map[]", "a.b/names:1": "map[]",
		"quay.io/listed:sha256-" + digest + ".sig": "map[]", "a.b/listed:sha256-" + digest: "map[]", "a.b/fixed:sha256-" + digest: "map[]",
		"quay.io/listed:1": "map[quay.io/listed:1]", "a.b/fixed:x-2": "map[quay.io/fixed:1]",
	} {
		sources := &counting{shelf: &shelf{tags: map[string][]string{"quay.io/listed": {"1"}, "quay.io/fixed": {"1", "2"}}}}
		asked, err := reference.Parse(ref)
		if err != nil {
			t.Fatal(err)
		}
		found, err := mirror.Explain(t.Context(), transfer.New(worldOf(), transfer.Options{}), &mirror.Selection{Config: load(t, config), Sources: sources}, asked, report.Options{})
		if err != nil || len(found.Findings) == 0 {
			t.Errorf("%s: %v, %v", ref, found.Findings, err)
		}
		if got := fmt.Sprint(sources.listings()); got != want {
			t.Errorf("%s: listed %s, want %s", ref, got, want)
		}
	}
}

// TestExplainOfANamespace: a match of a pattern is explained without asking the registry for
// its repositories; where an image comes from is found with them.
func TestExplainOfANamespace(t *testing.T) {
	w := worldOf("quay.io", "a.b")
	w.push(t, "quay.io/team/app:1")
	for ref, wantAsked := range map[string]int{"quay.io/team/app:1": 0, "a.b/team/app:1": 1, "quay.io/other/app:1": 0} {
		asked, err := reference.Parse(ref)
		if err != nil {
			t.Fatal(err)
		}
		names := &catalog{names: []string{"team/app", "team/web"}}
		selection := &mirror.Selection{Config: namespace(t, "team/*", ""), Sources: w, Catalog: names}
		found, err := mirror.Explain(t.Context(), transfer.New(w, transfer.Options{}), selection, asked, report.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found.Findings {
			if f.Entry != "all" || f.From.Repository != "team/*" || !f.Selected || held(f.Source) != "there" || len(f.Copies) != 1 ||
				f.Copies[0].Reference.Familiar() != "a.b/team/app:1" || f.Copies[0].Action != transfer.ActionAdd {
				t.Errorf("%s: got %s", ref, explained(found.Findings))
			}
		}
		if want := ref != "quay.io/other/app:1"; want != (len(found.Findings) == 1) {
			t.Errorf("%s: got %s", ref, explained(found.Findings))
		}
		listed := len(names.asked())
		if ref == "a.b/team/app:1" && listed < wantAsked || wantAsked == 0 && ref != "quay.io/team/app:1" && listed != 0 {
			t.Errorf("%s: the registry's repositories were asked for %d times", ref, listed)
		}
	}
}

// TestExplainEnds: an interrupted explanation gives the cause.
func TestExplainEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("SIGINT")
	cancel(cause)
	ref, err := reference.Parse("quay.io/a:1")
	if err != nil {
		t.Fatal(err)
	}
	w := worldOf("quay.io")
	if _, err := mirror.Explain(ctx, transfer.New(w, transfer.Options{}), &mirror.Selection{Config: load(t, entries("a")), Sources: w}, ref, report.Options{}); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

// TestExplainRepository: all tags of a repository are explained, at either side, and no side is
// asked what it has.
func TestExplainRepository(t *testing.T) {
	const config = `
sync:
  - {name: web, from: quay.io/web, to: a.b/web, tags: {include: '1*', exclude: '*-perl'}}
  - {name: pinned, from: ['quay.io/web:2', 'quay.io/db:1'], to: 'a.b/{{.Base}}'}
  - {name: other, from: quay.io/other, to: a.b/web, tags: {include: ['1.0', '5']}}
  - {name: lost, from: quay.io/lost, to: a.b/lost}
`
	for _, ref := range []string{"quay.io/web", "a.b/web", "quay.io/lost", "quay.io/none"} {
		t.Run(ref, func(t *testing.T) {
			repository, err := reference.ParseRepository(ref)
			if err != nil {
				t.Fatal(err)
			}
			sources := &counting{shelf: &shelf{tags: map[string][]string{"quay.io/web": {"1.0", "1.0-perl", "2"}}}}
			engine := transfer.New(worldOf(), transfer.Options{})
			found, err := mirror.Explain(t.Context(), engine, &mirror.Selection{Config: load(t, config), Sources: sources}, repository, report.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found.Findings {
				line := fmt.Sprintf("%s %s %v", f.Entry, f.Image.Tag, f.Selected)
				if f.Err != nil {
					line = f.Entry + " " + f.Image.Tag + " not known"
				}
				for _, c := range f.Copies {
					if c.First != nil {
						line += ", but " + c.First.Source.Familiar()
					}
				}
				got = append(got, line)
				if !f.Selected && f.Err == nil && f.Rule == "" {
					t.Errorf("%s has no rule", line)
				}
			}
			golden.Text(t, strings.Join(got, "\n"))
		})
	}
}

// TestExplainNear: where nothing names an image, the closest sources are told.
func TestExplainNear(t *testing.T) {
	const config = `
sync:
  - {name: base, from: quay.io/other/nginx, to: a.b/one}
  - {name: pattern, from: 'quay.io/library/*', to: 'a.b/two/{{.Base}}'}
  - {name: registry, from: quay.io/library/nginx, to: a.b/three}
  - {name: tag, from: 'nginx:1.29', to: a.b/four}
  - {name: far, from: quay.io/library/nginx-exporter, to: a.b/five}
`
	inAllWays := []report.Near{
		{Entry: "tag", Kind: report.NearTag}, {Entry: "pattern", Kind: report.NearRegistry},
		{Entry: "registry", Kind: report.NearRegistry}, {Entry: "base", Kind: report.NearBase},
	}
	for ref, want := range map[string][]report.Near{
		"nginx:1.28": inAllWays,
		"ghcr.io/nginx:1": {
			{Entry: "base", Kind: report.NearBase}, {Entry: "registry", Kind: report.NearBase}, {Entry: "tag", Kind: report.NearBase},
		},
		"docker.io/x/other":      nil,
		"nginx@sha256:" + digest: inAllWays,
	} {
		asked, err := reference.Parse(ref)
		if err != nil {
			t.Fatal(err)
		}
		found, err := mirror.Explain(t.Context(), transfer.New(worldOf(), transfer.Options{}),
			&mirror.Selection{Config: load(t, config), Sources: &shelf{}, Catalog: &catalog{}}, asked, report.Options{})
		if err != nil || len(found.Findings) > 0 {
			t.Fatalf("%s: %+v, %v", ref, found.Findings, err)
		}
		var got []report.Near
		for _, n := range found.Near {
			got = append(got, report.Near{Entry: n.Entry, Kind: n.Kind})
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %+v, want %+v", ref, got, want)
		}
	}
}

// TestExplainUndecided: that nobody knows which image is written to a tag is told.
func TestExplainUndecided(t *testing.T) {
	w := worldOf("src.example", "dst.example")
	w.push(t, "src.example/db:1")
	selection := &mirror.Selection{Sources: w, Config: load(t, `
sync:
  - {name: lost, from: nobody.example/lost, to: dst.example/db}
  - {name: db, from: 'src.example/db:1', to: dst.example/db}
`)}
	ref, err := reference.Parse("src.example/db:1")
	if err != nil {
		t.Fatal(err)
	}
	found, err := mirror.Explain(t.Context(), transfer.New(w, transfer.Options{}), selection, ref, report.Options{})
	if err != nil || len(found.Findings) != 1 {
		t.Fatalf("got %+v, %v", found, err)
	}
	f := found.Findings[0]
	if u := f.Copies[0].Undecided; !f.Selected || u == nil || u.Source.Familiar() != "nobody.example/lost" || u.Entry != "lost" {
		t.Errorf("got %+v", f)
	}
}
