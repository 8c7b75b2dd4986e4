package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// world is all registries of a test, in memory.
type world map[string]*contenttest.Memory

func (w world) repository(ref reference.Reference) *contenttest.MemoryRepository {
	if w[ref.Registry] == nil {
		w[ref.Registry] = contenttest.NewMemory(ref.Registry)
	}
	return w[ref.Registry].Repository(ref.Repository)
}

// worldOf makes an opener over fixed registries, so that concurrent opens write no map.
func worldOf(names ...string) world {
	w := world{}
	for _, name := range names {
		w[name] = contenttest.NewMemory(name)
	}
	return w
}

func (w world) OpenSource(_ context.Context, ref reference.Reference) (content.Source, error) {
	if w[ref.Registry] == nil {
		return nil, &transfer.Error{Side: transfer.SideSource, Reference: ref, Err: content.ErrUnauthorized}
	}
	return w.repository(ref), nil
}

func (w world) OpenTarget(_ context.Context, ref reference.Reference) (content.Target, error) {
	if w[ref.Registry] == nil {
		return nil, &transfer.Error{Side: transfer.SideDestination, Reference: ref, Err: content.ErrDenied}
	}
	return w.repository(ref), nil
}

// push puts an image with one layer of its own.
func (w world) push(t *testing.T, name string) {
	t.Helper()
	ref, err := reference.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	to := w.repository(ref)
	layer, configuration := []byte("layer of "+name), []byte("{}")
	ld := content.NewDescriptor(ocispec.MediaTypeImageLayer, layer)
	cd := content.NewDescriptor(ocispec.MediaTypeImageConfig, configuration)
	for _, blob := range []struct {
		d   content.Descriptor
		raw []byte
	}{{ld, layer}, {cd, configuration}} {
		upload, err := to.StartUpload(t.Context(), blob.d)
		if err != nil {
			t.Fatal(err)
		}
		if err := upload.Commit(t.Context(), content.NewStream(bytes.NewReader(blob.raw), blob.d)); err != nil {
			t.Fatal(err)
		}
	}
	raw := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ocispec.MediaTypeImageManifest, cd.MediaType, cd.Digest, cd.Size, ld.MediaType, ld.Digest, ld.Size)
	if _, err := to.PushManifest(t.Context(), content.NewDescriptor(ocispec.MediaTypeImageManifest, raw), raw, ref.Tag); err != nil {
		t.Fatal(err)
	}
}

const fiveOfSix = `
sync:
  - {name: web, from: src.example/web, to: 'dst.example/web', tags: {include: ['?', '9*']}}
  - {name: lost, from: nobody.example/x, to: 'dst.example/x'}
  - {name: db, from: ['src.example/db:1', 'src.example/db:9'], to: ['dst.example/db', 'closed.example/db']}
`

func fill(t *testing.T) world {
	w := worldOf("src.example", "dst.example")
	for _, name := range []string{"web:1", "web:2", "web:3", "db:1"} {
		w.push(t, path.Join("src.example", name))
	}
	return w
}

func TestRun(t *testing.T) {
	w := fill(t)
	run := func() *outcome {
		t.Helper()
		results := 0
		ended, err := runFor(t.Context(), transfer.New(w, transfer.Options{}),
			&mirror.Selection{Config: load(t, fiveOfSix), Sources: w}, func(*transfer.Result) { results++ })
		if err != nil {
			t.Fatal(err)
		}
		if results != 7 {
			t.Errorf("%d results, want 7: three web, two db, a warning, and a repository that cannot be listed", results)
		}
		return ended
	}
	golden.Text(t, strings.Join(summary(run()), "\n"))
	w.push(t, "src.example/web:3") // the same again
	moved := reference.Reference{Registry: "src.example", Repository: "web"}
	d, err := w.repository(moved).Resolve(t.Context(), "2")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.repository(moved).FetchManifest(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.repository(moved).PushManifest(t.Context(), d, raw, "1"); err != nil {
		t.Fatal(err)
	}
	ended := run()
	if web := ended.Entries[0]; web.Name != "web" || web.Added != 0 || web.Moved != 1 || web.Unchanged != 2 {
		t.Errorf("got %+v, want one moved tag and two unchanged", web)
	}
	if ended.Right() != 4 || len(ended.Failures()) != 4 {
		t.Errorf("%d right and %d failures, want 4 and 4", ended.Right(), len(ended.Failures()))
	}
}

func summary(o *outcome) []string {
	conditions := []error{content.ErrUnauthorized, content.ErrDenied, content.ErrNotFound}
	var lines []string
	for _, e := range o.Entries {
		lines = append(lines, fmt.Sprintf("%s: %d added, %d moved, %d unchanged", e.Name, e.Added, e.Moved, e.Unchanged))
		var failures []string
		for _, f := range e.Failures {
			cause := f.Err
			for _, condition := range conditions {
				if errors.Is(f.Err, condition) {
					cause = condition
				}
			}
			failures = append(failures, fmt.Sprintf("  %s → %s: %v", f.Source.Familiar(), f.Destination.Familiar(), cause))
		}
		slices.Sort(failures)
		lines = append(lines, failures...)
		for _, w := range e.Warnings {
			lines = append(lines, "  warning: "+w.Source.Familiar()+": "+w.Err.Error())
		}
	}
	return lines
}

// TestPlan: the order is the file's, also for what never becomes a job, and nothing is
// written.
func TestPlan(t *testing.T) {
	w := fill(t)
	w.push(t, "dst.example/web:2") // another image under this name
	plan := func(stop int) []string {
		var lines []string
		for p, err := range mirror.Plan(t.Context(), transfer.New(w, transfer.Options{}), &mirror.Selection{Config: load(t, fiveOfSix), Sources: w}) {
			if len(lines) == stop {
				break
			}
			if len(p.Destinations) == 0 && err == nil {
				lines = append(lines, "warning "+p.Job.Entry)
				continue
			}
			if err != nil {
				want := content.ErrNotFound
				if p.Job.Entry == "lost" {
					want = content.ErrUnauthorized
				}
				if !errors.Is(err, want) {
					t.Errorf("%s: got %v, want %v", p.Job.Entry, err, want)
				}
				lines = append(lines, "error "+p.Job.Entry)
				continue
			}
			lines = append(lines, p.Job.Source.Familiar()+" "+string(p.Destinations[0].Action))
		}
		return lines
	}
	want := []string{
		"warning web",
		"src.example/web:1 add", "src.example/web:2 move", "src.example/web:3 add",
		"error lost",
		"src.example/db:1 add", "error db",
	}
	compare(t, plan(-1), want)
	compare(t, plan(2), want[:2])
	var tags []string
	for tag, err := range w["dst.example"].Repository("web").Tags(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, tag)
	}
	compare(t, tags, []string{"2"})
}

// TestRunEnds: an interrupted run gives its outcome and the cause.
func TestRunEnds(t *testing.T) {
	w := fill(t)
	cause := errors.New("SIGINT")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	ended, err := runFor(ctx, transfer.New(w, transfer.Options{}), &mirror.Selection{Config: load(t, fiveOfSix), Sources: w}, nil)
	if !errors.Is(err, cause) || len(ended.Entries) != 3 || ended.Right() != 0 {
		t.Errorf("got %+v, %v", ended, err)
	}
}

// hanging is a world in which the images of some repositories never answer.
type hanging struct {
	world

	repositories []string
}

type hangingSource struct{ content.Source }

func (h hangingSource) Resolve(ctx context.Context, _ string) (content.Descriptor, error) {
	<-ctx.Done()
	return content.Descriptor{}, ctx.Err()
}

func (h *hanging) OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error) {
	source, err := h.world.OpenSource(ctx, ref)
	if slices.Contains(h.repositories, ref.Repository) {
		return hangingSource{source}, err
	}
	return source, err
}

// TestHangingSource: with the engine itself, a source that does not answer keeps no place
// from the others, and is left to the next run when this one ends.
func TestHangingSource(t *testing.T) {
	w := worldOf("src.example", "dst.example")
	for _, name := range []string{"a", "b", "c"} {
		for _, tag := range tagsOf(30) {
			w.push(t, "src.example/"+name+":"+tag)
		}
	}
	cfg := load(t, "defaults: {to: 'dst.example/{{.Base}}'}\nsync: [{name: a, from: src.example/a}, {name: b, from: src.example/b}, {name: c, from: src.example/c}]\n")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, &transfer.DeferredError{Reason: "enough"})
		defer cancel()
		engine := transfer.New(&hanging{w, []string{"a"}}, transfer.Options{Window: 16})
		ended, err := runFor(ctx, engine, &mirror.Selection{Config: cfg, Sources: w}, nil)
		if !errors.Is(err, transfer.ErrDeferred) || len(ended.Failures()) != 0 {
			t.Errorf("got %v, %v", ended.Failures(), err)
		}
		for _, e := range ended.Entries {
			if e.Name != "a" && e.Added != 30 || e.Name == "a" && (e.Added != 0 || e.Deferred+e.NotBegun != 30 || e.Deferred == 0) {
				t.Errorf("got %+v", e)
			}
		}
	})
}

// TestSkipped: what a rule leaves as it is counts neither as right nor as failed.
func TestSkipped(t *testing.T) {
	w := fill(t)
	w.push(t, "dst.example/db:1") // another image under this name
	cfg := load(t, "sync: [{name: db, from: 'src.example/db:1', to: dst.example/db, overwrite: never}]\n")
	ended, err := runFor(t.Context(), transfer.New(w, transfer.Options{}), &mirror.Selection{Config: cfg, Sources: w}, nil)
	if err != nil || ended.Entries[0].Skipped != 1 || ended.Right() != 0 || len(ended.Failures()) != 0 {
		t.Errorf("got %+v, %v", ended.Entries, err)
	}
}

// TestService: each run loads the configuration anew and has a report of its own; a configuration that cannot be loaded
// is an error, and leaves the service as it was.
func TestService(t *testing.T) {
	w := fill(t)
	text, broken := "sync: [{name: web, from: 'src.example/web:1', to: dst.example/web}]\n", false
	service := mirror.Service{
		Load: func() (*config.Config, error) {
			if broken {
				return nil, content.ErrInvalid
			}
			return load(t, text), nil
		},
		Connect: func(*config.Config) (*mirror.Connection, error) {
			return &mirror.Connection{Sources: w, Engine: func(s *mirror.Selection) (*transfer.Engine, error) {
				return transfer.New(w, transfer.Options{AttachedTags: s.AttachedTags}), nil
			}}, nil
		},
	}
	run := func() report.Counts {
		t.Helper()
		r, err := service.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r.Counts
	}
	if got := run(); got.Copied != 1 || got.Tags != 1 {
		t.Errorf("the first run: %+v", got)
	}
	broken = true
	if r, err := service.Run(t.Context()); r != nil || !errors.Is(err, content.ErrInvalid) {
		t.Errorf("with a broken configuration: %v, %v", r, err)
	}
	broken, text = false, "sync: [{name: web, from: src.example/web, to: dst.example/web}]\n"
	if got := run(); got.Copied != 2 || got.Unchanged != 1 {
		t.Errorf("with another configuration: %+v", got)
	}
}
