package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
)

// world is a set of registries in memory behind wires.
type world struct {
	// watch is called at every request, if it is set.
	watch func()

	mu         sync.Mutex
	registries map[string]*contenttest.Memory
	sessions   map[string]*sessions // by registry
	wires      map[string]*wire
}

func newWorld() *world {
	return &world{
		registries: map[string]*contenttest.Memory{}, sessions: map[string]*sessions{}, wires: map[string]*wire{},
	}
}

// at is the repository "registry/repository"; the same wire each time.
func (w *world) at(name string) *wire {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wires[name] == nil {
		ref, err := reference.ParseRepository(name)
		if err != nil {
			panic(err)
		}
		registry := w.registries[ref.Registry]
		if registry == nil {
			registry = contenttest.NewMemory(ref.Registry)
			w.registries[ref.Registry], w.sessions[ref.Registry] = registry, &sessions{}
		}
		w.wires[name] = &wire{
			MemoryRepository: registry.Repository(ref.Repository),
			world:            w, sessions: w.sessions[ref.Registry], counts: map[string]int{},
		}
	}
	return w.wires[name]
}

// attachedTags are those of a repository that the run has listed before.
func (w *world) attachedTags(at content.Location) (tags []string, listed bool) {
	for tag, err := range w.at(at.String()).MemoryRepository.Tags(context.Background()) {
		if err == nil && content.IsAttachedTag(tag) {
			tags = append(tags, tag)
		}
	}
	return tags, true
}

// sessionsOf are the upload sessions of a registry.
func (w *world) sessionsOf(registry string) *sessions {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sessions[registry]
}

// sessions counts the upload sessions of a registry: from the answer that opens one, that to
// a mount included, until the end of its commit or of its cancellation.
type sessions struct {
	mu         sync.Mutex
	open, most int
}

func (s *sessions) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	s.most = max(s.most, s.open)
}

func (s *sessions) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

// counted are the sessions that are open, and the most that were at a time.
func (s *sessions) counted() (open, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open, s.most
}

func (w *world) OpenSource(_ context.Context, ref reference.Reference) (content.Source, error) {
	return w.at(ref.Name()), nil
}

func (w *world) OpenTarget(_ context.Context, ref reference.Reference) (content.Target, error) {
	return w.at(ref.Name()), nil
}

// wire is a repository that is reached over a network: what is asked of it is counted, and
// it can be made slow or faulty.
type wire struct {
	*contenttest.MemoryRepository
	world    *world
	sessions *sessions // of the registry

	// Hooks, all optional, are set before the engine runs.
	onResolve      func(reference string) error
	onFetch        func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error)
	onBody         func(ctx context.Context, offset int64, body io.ReadCloser) io.ReadCloser
	onRange        func(d content.Descriptor, offset int64, body io.ReadCloser) (io.ReadCloser, error)
	onMount        func(from string) error
	onHas          func(d content.Descriptor) error
	onCommit       func(d content.Descriptor, r io.Reader) (io.Reader, error)
	onPushManifest func(d content.Descriptor, tag string) error
	onList         func() error
	onReferrers    func() error
	noReferrers    bool
	countsPulls    bool
	// sessionLife is how long the registry keeps an upload session that nothing is sent to;
	// for ever if zero.
	sessionLife time.Duration
	// hold is called before what is asked: "resolve", "manifest", "fetch", "probe", "mount",
	// "start", "commit" or "put", of a digest where there is one. Its error is the answer.
	hold func(ctx context.Context, what string, d digest.Digest) error

	mu     sync.Mutex
	counts map[string]int
	puts   []string // tags and digests of manifests, in their order
}

func (w *wire) count(what string) {
	if w.world.watch != nil {
		w.world.watch()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// forget begins to count anew.
func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.counts)
	w.puts = nil
}

// times is how often something was asked for: "resolve", "resolve <reference>", "list",
// "referrers", "manifest", "fetch", "fetch <digest>", "range", "has", "mount", "probe", "start", "opened", "commit", "put", "cancel".
func (w *wire) times(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[what]
}

func (w *wire) held(ctx context.Context, what string, d digest.Digest) error {
	if w.hold == nil {
		return nil
	}
	return w.hold(ctx, what, d)
}

func (w *wire) Rereadable() bool { return false }

func (w *wire) CountsPulls() bool { return w.countsPulls }

func (w *wire) Resolve(ctx context.Context, ref string) (content.Descriptor, error) {
	w.count("resolve")
	w.count("resolve " + ref)
	if err := w.held(ctx, "resolve", ""); err != nil {
		return content.Descriptor{}, err
	}
	if w.onResolve != nil {
		if err := w.onResolve(ref); err != nil {
			return content.Descriptor{}, err
		}
	}
	return w.MemoryRepository.Resolve(ctx, ref)
}

func (w *wire) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	w.count("manifest")
	if err := w.held(ctx, "manifest", d.Digest); err != nil {
		return nil, err
	}
	return w.MemoryRepository.FetchManifest(ctx, d)
}

func (w *wire) FetchTag(ctx context.Context, tag string) (content.Descriptor, []byte, error) {
	w.count("manifest")
	w.count("pull " + tag)
	if err := cmp.Or(w.held(ctx, "resolve", ""), w.held(ctx, "manifest", "")); err != nil {
		return content.Descriptor{}, nil, err
	}
	if w.onResolve != nil {
		if err := w.onResolve(tag); err != nil {
			return content.Descriptor{}, nil, err
		}
	}
	return w.MemoryRepository.FetchTag(ctx, tag)
}

func (w *wire) FetchBlob(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	w.count("fetch")
	w.count("fetch " + d.Digest.String())
	if err := w.held(ctx, "fetch", d.Digest); err != nil {
		return nil, err
	}
	body, err := w.MemoryRepository.FetchBlob(ctx, d)
	if err == nil && w.onBody != nil {
		body = w.onBody(ctx, 0, body)
	}
	if err == nil && w.onFetch != nil {
		return w.onFetch(d, body)
	}
	return body, err
}

func (w *wire) FetchBlobRange(ctx context.Context, d content.Descriptor, offset, length int64) (io.ReadCloser, error) {
	w.count("range")
	if err := w.held(ctx, "fetch", d.Digest); err != nil {
		return nil, err
	}
	body, err := w.MemoryRepository.FetchBlobRange(ctx, d, offset, length)
	if err == nil && w.onBody != nil {
		body = w.onBody(ctx, offset, body)
	}
	if err == nil && w.onRange != nil {
		return w.onRange(d, offset, body)
	}
	return body, err
}

func (w *wire) HasBlob(ctx context.Context, d content.Descriptor) (bool, error) {
	w.count("has")
	if w.onHas != nil {
		if err := w.onHas(d); err != nil {
			if errors.Is(err, content.ErrNotFound) {
				err = nil
			}
			return false, err
		}
	}
	return w.MemoryRepository.HasBlob(ctx, d)
}

func (w *wire) Mount(ctx context.Context, d content.Descriptor, from string) (content.Upload, error) {
	what := "mount"
	if from == w.Location().Repository {
		what = "probe"
	}
	w.count(what)
	if err := w.held(ctx, what, d.Digest); err != nil {
		return nil, err
	}
	if w.onMount != nil {
		if err := w.onMount(from); err != nil {
			return nil, err
		}
	}
	upload, err := w.MemoryRepository.Mount(ctx, d, from)
	if upload == nil {
		return nil, err
	}
	return w.newUpload(d, upload), err
}

func (w *wire) StartUpload(ctx context.Context, d content.Descriptor) (content.Upload, error) {
	w.count("start")
	if err := w.held(ctx, "start", d.Digest); err != nil {
		return nil, err
	}
	upload, err := w.MemoryRepository.StartUpload(ctx, d)
	if err != nil {
		return nil, err
	}
	return w.newUpload(d, upload), nil
}

func (w *wire) newUpload(d content.Descriptor, upload content.Upload) *wireUpload {
	w.count("opened")
	w.sessions.begin()
	return &wireUpload{wire: w, blob: d, upload: upload, opened: time.Now(), end: sync.OnceFunc(w.sessions.end)}
}

func (w *wire) PushManifest(ctx context.Context, d content.Descriptor, raw []byte, tag string) (content.ManifestPushed, error) {
	if err := w.held(ctx, "put", d.Digest); err != nil {
		return content.ManifestPushed{}, err
	}
	if w.onPushManifest != nil {
		if err := w.onPushManifest(d, tag); err != nil {
			return content.ManifestPushed{}, err
		}
	}
	pushed, err := w.MemoryRepository.PushManifest(ctx, d, raw, tag)
	if err != nil {
		return pushed, err
	}
	w.count("put")
	w.mu.Lock()
	defer w.mu.Unlock()
	if tag == "" {
		tag = d.Digest.String()
	}
	w.puts = append(w.puts, tag)
	if w.noReferrers {
		pushed.Subject = ""
	}
	return pushed, nil
}

func (w *wire) Tags(ctx context.Context) iter.Seq2[string, error] {
	w.count("list")
	if w.onList != nil {
		if err := w.onList(); err != nil {
			return func(yield func(string, error) bool) { yield("", err) }
		}
	}
	return w.MemoryRepository.Tags(ctx)
}

func (w *wire) Referrers(ctx context.Context, subject digest.Digest) ([]content.Descriptor, error) {
	w.count("referrers")
	if w.onReferrers != nil {
		if err := w.onReferrers(); err != nil {
			return nil, err
		}
	}
	if w.noReferrers {
		return nil, content.ErrUnsupported
	}
	return w.MemoryRepository.Referrers(ctx, subject)
}

// putNames are the tags and digests of the manifests that were put.
func (w *wire) putNames() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.puts)
}

// tag is what a tag points at, or nothing.
func (w *wire) tag(name string) digest.Digest {
	d, err := w.MemoryRepository.Resolve(context.Background(), name)
	if err != nil {
		return ""
	}
	return d.Digest
}

// wireUpload counts the end of an upload.
type wireUpload struct {
	wire   *wire
	blob   content.Descriptor
	upload content.Upload
	opened time.Time
	end    func() // of the session
}

func (u *wireUpload) Commit(ctx context.Context, s *content.Stream) error {
	u.wire.count("commit")
	if life := u.wire.sessionLife; life > 0 && time.Since(u.opened) > life {
		u.end()
		return fmt.Errorf("upload of %s: %w", u.blob.Digest, content.ErrNotFound)
	}
	if err := u.wire.held(ctx, "commit", u.blob.Digest); err != nil {
		return err
	}
	if u.wire.onCommit != nil {
		r, err := u.wire.onCommit(u.blob, s)
		if err != nil {
			return err
		}
		if r != io.Reader(s) {
			s = content.NewStream(r, u.blob)
		}
	}
	err := u.upload.Commit(ctx, s)
	if err == nil {
		u.end()
	}
	return err
}

func (u *wireUpload) Cancel(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.wire.count("cancel")
	u.end()
	return u.upload.Cancel(ctx)
}

// slowReader takes a pause before every piece.
type slowReader struct {
	io.Reader
	piece int
	pause time.Duration
}

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(r.pause)
	return r.Reader.Read(p[:min(len(p), r.piece)])
}

func (r slowReader) Close() error { return nil }

// journal keeps the events of a run.
type journal struct {
	mu     sync.Mutex
	events []Event
}

func (j *journal) observe(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

// outcomes counts the blobs by outcome.
func (j *journal) outcomes() map[BlobOutcome]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := map[BlobOutcome]int{}
	for _, e := range j.events {
		if done, ok := e.(BlobDone); ok {
			n[done.Outcome]++
		}
	}
	return n
}

// ref parses a reference that is right.
func ref(s string) reference.Reference {
	r, err := reference.Parse(s)
	if err != nil {
		panic(err)
	}
	return r
}

// job is a copy of source to destinations.
func job(source string, destinations ...string) Job {
	j := Job{Source: ref(source)}
	for _, d := range destinations {
		j.Destinations = append(j.Destinations, ref(d))
	}
	return j
}

// run executes jobs and returns their results in the jobs' order.
func run(t *testing.T, e *Engine, jobs ...Job) []*Result {
	t.Helper()
	results := make([]*Result, 0, len(jobs))
	err := e.Run(t.Context(), slices.Values(jobs), func(r *Result) { results = append(results, r) })
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	slices.SortFunc(results, func(a, b *Result) int { return indexOf(jobs, a) - indexOf(jobs, b) })
	return results
}

func indexOf(jobs []Job, r *Result) int {
	return slices.IndexFunc(jobs, func(j Job) bool {
		return j.Source == r.Job.Source && len(j.Destinations) == len(r.Job.Destinations) &&
			(len(j.Destinations) == 0 || j.Destinations[0].Name() == r.Job.Destinations[0].Name())
	})
}

// ok fails the test unless all results are right.
func ok(t *testing.T, results ...*Result) {
	t.Helper()
	for _, r := range results {
		if err := r.Err(); err != nil {
			t.Fatalf("%s: %v", r.Job.Source.Familiar(), err)
		}
	}
}

func platforms(names ...string) []content.Platform {
	var all []content.Platform
	for _, name := range names {
		p, err := content.ParsePlatform(name)
		if err != nil {
			panic(err)
		}
		all = append(all, p)
	}
	return all
}

// requireCounts compares how often a wire was asked for things.
func requireCounts(t *testing.T, name string, w *wire, want map[string]int) {
	t.Helper()
	for what, n := range want {
		if got := w.times(what); got != n {
			t.Errorf("%s: %s %d times, want %d", name, what, got, n)
		}
	}
}

var errBroken = fmt.Errorf("connection broke: %w", io.ErrUnexpectedEOF)
