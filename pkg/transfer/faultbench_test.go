package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// The kinds of places.
const (
	atRegistry = "registry"
	inLayout   = "layout"
	inStore    = "store"
)

// place is one end of a copy.
type place struct {
	kind   string
	server *registrytest.Server // of a registry
	dir    string               // of a layout or a store
	base   reference.Reference
}

func (p *place) tag(tag string) reference.Reference { return p.base.WithTag(tag) }

// bench is a copy between two places on an in-memory network. It runs in a testing/synctest bubble, which ends only
// after its last goroutine, and fails on a deadlock.
type bench struct {
	t        *testing.T
	network  *registrytest.Network
	from, to *place
	also     *place // a second destination; may be nil
	login    auth.Credential
	spools   string
	// templates are the result of the function of this name.
	templates map[string]string
	mu        sync.Mutex
}

// inBubble runs a case in a bubble whose clock shows the real time, because Retry-After has dates and files have
// times.
func inBubble(t *testing.T, name string, run func(t *testing.T)) {
	t.Helper()
	now := time.Now()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(now))
			run(t)
		})
	})
}

// destinations returns the one or two destinations.
func (b *bench) destinations() []*place {
	if b.also == nil {
		return []*place{b.to}
	}
	return []*place{b.to, b.also}
}

func newBench(t *testing.T, templates map[string]string) *bench {
	t.Helper()
	return &bench{t: t, network: &registrytest.Network{}, spools: t.TempDir(), templates: templates}
}

// place creates a place of a kind. The options are for a registry.
func (b *bench) place(kind, name string, options ...registrytest.Option) *place {
	b.t.Helper()
	p, text := &place{kind: kind}, ""
	switch kind {
	case atRegistry:
		p.server = registrytest.New(b.t, append([]registrytest.Option{registrytest.In(b.network, name+".test")}, options...)...)
		text = name + ".test/team/app"
	case inLayout:
		p.dir = filepath.Join(b.t.TempDir(), name)
		text = "oci:" + p.dir
	case inStore:
		p.dir = filepath.Join(b.t.TempDir(), name)
		text = "store:any.test/team/app"
	}
	ref, err := reference.Parse(text)
	if err != nil {
		b.t.Fatal(err)
	}
	p.base = ref.WithoutIdentifier()
	return p
}

// process is a client and an opener, like those of a separate process.
type process struct {
	*backend.Opener
	client *registry.Client
}

// open creates a process. Its store is in the directory of the place that is a store.
func (b *bench) open() *process {
	client := registry.New(registry.Options{
		Dial: b.network.Dial, CertsDirs: []string{}, Credentials: credentials{b.login},
		Hosts: func(string) registry.HostConfig {
			return registry.HostConfig{TLS: registry.TLSDisabled, Proxy: "direct"}
		},
	})
	dir := ""
	for _, p := range []*place{b.from, b.to} {
		if p != nil && p.kind == inStore {
			dir = p.dir
		}
	}
	return &process{backend.New(backend.Options{Registry: client, Store: dir}), client}
}

func (s *process) close(t *testing.T) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.client.Close()
}

// fill puts images into a place, bypassing its faults. Layouts and stores are copied from a template.
func (b *bench) fill(p *place, images map[string]*registrytest.Fixture) {
	b.t.Helper()
	if p.kind == atRegistry {
		for _, tag := range slices.Sorted(maps.Keys(images)) {
			p.server.Push(p.base.Repository, tag, images[tag])
		}
		return
	}
	if err := os.CopyFS(p.dir, os.DirFS(b.templates[p.kind+images["1"].Digest().String()])); err != nil {
		b.t.Fatal(err)
	}
}

// templates returns directories of layouts and stores with an image under the tag 1 and its signature, if any, by
// kind and digest.
func templates(t *testing.T) map[string]string {
	t.Helper()
	dirs := map[string]string{}
	for _, kind := range []string{inLayout, inStore} {
		for _, of := range []*registrytest.Fixture{image, index, older} {
			b := &bench{t: t}
			b.from = b.place(kind, "any")
			s := b.open()
			target, err := s.OpenTarget(t.Context(), b.from.base)
			if err == nil {
				err = push(t.Context(), target, "1", of)
			}
			if err == nil && of != older {
				err = push(t.Context(), target, "", signature)
			}
			if err != nil {
				t.Fatal(err)
			}
			s.close(t)
			dirs[kind+of.Digest().String()] = b.from.dir
		}
	}
	return dirs
}

func push(ctx context.Context, target content.Target, tag string, image *registrytest.Fixture) error {
	for _, child := range image.Children {
		if err := push(ctx, target, "", child); err != nil {
			return err
		}
	}
	for d, raw := range image.Blobs {
		blob := content.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: int64(len(raw))}
		upload, err := target.StartUpload(ctx, blob)
		if err == nil {
			err = upload.Commit(ctx, content.NewStream(bytes.NewReader(raw), blob))
		}
		if err != nil {
			return err
		}
	}
	_, err := target.PushManifest(ctx, image.Descriptor, image.Raw, tag)
	return err
}

// outcome is the result of a copy.
type outcome struct {
	err            error
	resent, reread int64    // bytes of blobs, as the run reports them
	refused        int      // referrers that were left out
	lost           []string // registries that do not keep uploads, as the run reports them
}

// copy copies a tag in a separate run.
func (b *bench) copy(tag string, job transfer.Job, options transfer.Options) outcome {
	b.t.Helper()
	s := b.open()
	defer s.close(b.t)
	job.Source = b.from.tag(tag)
	for _, to := range b.destinations() {
		job.Destinations = append(job.Destinations, to.tag(tag))
	}
	var o outcome
	options.SpoolDir = b.spools
	options.Observe = func(e transfer.Event) {
		if w, is := e.(transfer.Warned); is && w.Warning.Kind == warning.UploadsLost {
			b.mu.Lock()
			defer b.mu.Unlock()
			o.lost = append(o.lost, w.Warning.Registry)
		}
	}
	engine := transfer.New(s, options)
	err := engine.Run(b.t.Context(), slices.Values([]transfer.Job{job}), func(r *transfer.Result) {
		o.err, o.refused = r.Err(), r.Destinations[0].Refused
	})
	if err != nil {
		b.t.Errorf("run: %v", err)
	}
	o.resent, o.reread = engine.Counters.Resent.Load(), engine.Counters.Reread.Load()
	return o
}

// heal ends the faults of single requests.
func (b *bench) heal() {
	for _, p := range []*place{b.from, b.to} {
		if p.server != nil {
			p.server.Heal()
		}
	}
}

// arrived checks an image at a place byte for byte, bypassing the faults and quirks of a registry.
func (b *bench) arrived(p *place, tag string, image *registrytest.Fixture) {
	b.t.Helper()
	if got := b.pointsAt(p, tag); got != image.Digest() {
		b.t.Errorf("%s points at %q, want %s", p.tag(tag), got, image.Digest())
	}
	b.complete(p, image)
}

// complete checks a manifest and everything below it.
func (b *bench) complete(p *place, image *registrytest.Fixture) {
	b.t.Helper()
	if p.kind == atRegistry {
		if err := p.server.Complete(p.base.Repository, image.Digest().String()); err != nil {
			b.t.Error(err)
		}
		return
	}
	s := b.open()
	defer s.close(b.t)
	source, err := s.OpenSource(b.t.Context(), p.base)
	if err == nil {
		err = verify(b.t.Context(), source, image)
	}
	if err != nil {
		b.t.Errorf("%s: %v", p.base, err)
	}
}

func verify(ctx context.Context, source content.Source, image *registrytest.Fixture) error {
	var errs []error
	for _, child := range image.Children {
		errs = append(errs, verify(ctx, source, child))
	}
	raw, err := source.FetchManifest(ctx, image.Descriptor)
	if err == nil && !bytes.Equal(raw, image.Raw) {
		err = content.ErrMismatch
	}
	errs = append(errs, err)
	for d, want := range image.Blobs {
		body, err := source.FetchBlob(ctx, content.Descriptor{Digest: d, Size: int64(len(want))})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		got, err := io.ReadAll(body)
		if errs = append(errs, err, body.Close()); !bytes.Equal(got, want) {
			errs = append(errs, content.ErrMismatch)
		}
	}
	return errors.Join(errs...)
}

// pointsAt returns the digest of a tag, or "" if there is no such tag.
func (b *bench) pointsAt(p *place, tag string) digest.Digest {
	b.t.Helper()
	if p.kind == atRegistry {
		return p.server.ManifestDigest(p.base.Repository, tag)
	}
	s := b.open()
	defer s.close(b.t)
	source, err := s.OpenSource(b.t.Context(), p.base)
	if err != nil {
		b.t.Fatal(err)
	}
	d, err := source.Resolve(b.t.Context(), p.tag(tag).Tag)
	if err != nil && !errors.Is(err, content.ErrNotFound) {
		b.t.Error(err)
	}
	return d.Digest
}

// nothingLeft checks that a run has left no connection, session, file or lock. sessions is the number of upload
// sessions that it cannot remove at this registry.
func (b *bench) nothingLeft(sessions int) {
	b.t.Helper()
	synctest.Wait()
	if open := b.network.Open(); open > 0 {
		b.t.Errorf("%d connections are open", open)
	}
	if files, err := os.ReadDir(b.spools); err != nil || len(files) > 0 {
		b.t.Errorf("spools are left: %v, %v", files, err)
	}
	for _, p := range append(b.destinations(), b.from) {
		if p.server != nil {
			if left := p.server.Sessions(); len(left) > sessions {
				b.t.Errorf("%d sessions are open at %s, want at most %d", len(left), p.base, sessions)
			}
			continue
		}
		if left, _ := filepath.Glob(filepath.Join(p.dir, ".regsync", "uploads", "*")); len(left) > 0 {
			b.t.Errorf("partial files are left: %q", left)
		}
		if left, _ := filepath.Glob(filepath.Join(p.dir, ".regsync", "*.new")); len(left) > 0 {
			b.t.Errorf("temporary files are left: %q", left)
		}
		if _, err := os.Stat(p.dir); errors.Is(err, os.ErrNotExist) {
			continue // nothing was written
		}
		l, err := layout.Open(p.dir)
		if err == nil {
			_, err = l.GC(b.t.Context()) // takes all locks
		}
		if err != nil {
			b.t.Errorf("the layout cannot be locked: %v", err)
		}
	}
}
