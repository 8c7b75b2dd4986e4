package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/retry"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// twoPlatforms is an index of two images that share a layer: 7 blobs.
func twoPlatforms(seed string) contenttest.Image {
	shared := contenttest.NewLayer(seed+"shared", 4000)
	return contenttest.NewIndex(
		contenttest.NewImage("linux/amd64", shared, contenttest.NewLayer(seed+"a", 3000), contenttest.NewLayer(seed+"b", 2000)),
		contenttest.NewImage("linux/arm64", shared, contenttest.NewLayer(seed+"c", 1000), contenttest.NewLayer(seed+"d", 500)),
	)
}

func TestColdCopyTakesTheFewestRequests(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	image.Push(t, w.at("a.test/app").MemoryRepository, "1")
	e := New(w, Options{})
	results := run(t, e, job("a.test/app:1", "b.test/app:1"))
	ok(t, results...)
	image.Check(t, w.at("b.test/app").MemoryRepository)
	if got := w.at("b.test/app").tag("1"); got != image.Digest() {
		t.Errorf("tag points at %s, want %s", got, image.Digest())
	}
	requireCounts(t, "source", w.at("a.test/app"), map[string]int{"resolve": 1, "manifest": 3, "fetch": 7})
	requireCounts(t, "destination", w.at("b.test/app"), map[string]int{
		"resolve": 1, "probe": 7, "has": 0, "start": 0, "commit": 7, "put": 3, "cancel": 0,
	})
	if got, want := e.Counters.Read.Load(), e.Counters.Sent.Load(); got != want || got == 0 {
		t.Errorf("read %d bytes, sent %d", got, want)
	}
}

func TestUnchangedImageIsLookedAtAndLeft(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	image.Push(t, w.at("a.test/app").MemoryRepository, "1")
	image.Push(t, w.at("b.test/app").MemoryRepository, "1")
	results := run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1"))
	ok(t, results...)
	if got := results[0].Destinations[0].Action; got != ActionUnchanged {
		t.Errorf("action %q, want %q", got, ActionUnchanged)
	}
	requireCounts(t, "source", w.at("a.test/app"), map[string]int{"resolve": 1, "manifest": 0})
	requireCounts(t, "destination", w.at("b.test/app"), map[string]int{"resolve": 1, "probe": 0, "put": 0})
}

func TestDeletedTagCostsNoBytes(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	image.Push(t, w.at("a.test/app").MemoryRepository, "1")
	image.Push(t, w.at("b.test/app").MemoryRepository, "1")
	if err := w.at("b.test/app").Delete(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	e := New(w, Options{})
	ok(t, run(t, e, job("a.test/app:1", "b.test/app:1"))...)
	if sent := e.Counters.Sent.Load(); sent != 0 {
		t.Errorf("sent %d bytes of blobs that are there", sent)
	}
	if got := w.at("b.test/app").tag("1"); got != image.Digest() {
		t.Errorf("tag points at %q", got)
	}
}

// Three repositories need one layer at the same time: one leads, two mount.
func TestSharedLayerIsSentOnceAndMounted(t *testing.T) {
	w := newWorld()
	layer := contenttest.NewLayer("base", 50_000)
	var jobs []Job
	for _, name := range []string{"x", "y", "z"} {
		contenttest.NewImage("linux/amd64", layer, contenttest.NewLayer(name, 100)).
			Push(t, w.at("a.test/"+name).MemoryRepository, "1")
		jobs = append(jobs, job("a.test/"+name+":1", "b.test/"+name+":1"))
	}
	j := &journal{}
	e := New(w, Options{Observe: j.observe})
	ok(t, run(t, e, jobs...)...)
	fetched := 0
	for _, name := range []string{"x", "y", "z"} {
		fetched += w.at("a.test/" + name).times("fetch " + layer.Descriptor.Digest.String())
	}
	if fetched != 1 {
		t.Errorf("the shared layer left the source %d times, want 1", fetched)
	}
	if got := j.outcomes()[BlobMounted]; got != 2 {
		t.Errorf("%d blobs mounted, want 2: %v", got, j.outcomes())
	}
}

// A registry that refuses to mount what this run has put there gets the bytes for each
// repository, and the source still gives them once.
func TestRegistryWithoutMounts(t *testing.T) {
	w := newWorld()
	layer := contenttest.NewLayer("base", 50_000)
	var jobs []Job
	for _, name := range []string{"x", "y", "z"} {
		contenttest.NewImage("linux/amd64", layer).Push(t, w.at("a.test/all").MemoryRepository, name)
		jobs = append(jobs, job("a.test/all:"+name, "b.test/"+name+":1"))
		w.at("b.test/" + name).onMount = func(from string) error {
			if from != name {
				return content.ErrNotMounted
			}
			return nil
		}
	}
	ok(t, run(t, New(w, Options{}), jobs...)...)
	if got := w.at("a.test/all").times("fetch " + layer.Descriptor.Digest.String()); got != 1 {
		t.Errorf("the shared layer left the source %d times, want 1", got)
	}
	for _, name := range []string{"x", "y", "z"} {
		if got := w.at("b.test/" + name).tag("1"); got == "" {
			t.Errorf("b.test/%s:1 did not arrive", name)
		}
	}
}

func TestLeaderThatFailsIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("base", 5000)
		var jobs []Job
		for _, name := range []string{"x", "y"} {
			contenttest.NewImage("linux/amd64", layer).Push(t, w.at("a.test/"+name).MemoryRepository, "1")
			jobs = append(jobs, job("a.test/"+name+":1", "b.test/"+name+":1"))
		}
		w.at("b.test/x").onCommit = func(content.Descriptor, io.Reader) (io.Reader, error) {
			time.Sleep(2 * time.Second)
			return nil, content.ErrDenied
		}
		w.at("a.test/y").onResolve = func(string) error {
			time.Sleep(time.Second) // so that x leads
			return nil
		}
		results := run(t, New(w, Options{}), jobs...)
		if err := results[0].Err(); !errors.Is(err, content.ErrDenied) {
			t.Errorf("x: %v, want a denial", err)
		}
		ok(t, results[1])
		if got := w.at("b.test/x").tag("1"); got != "" {
			t.Errorf("x has a tag after its blobs failed: %s", got)
		}
	})
}

// One source, three destinations, one of them ten times slower: the source is read once,
// the first byte arrives before the last has left, and the others do not wait.
func TestSlowDestinationHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("big", 2<<20)
		image := contenttest.NewImage("linux/amd64", layer)
		image.Push(t, w.at("a.test/app").MemoryRepository, "1")
		var lastLeft, firstArrived atomic.Int64
		w.at("a.test/app").onFetch = func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
			return readCloser{readHook{slowReader{body, 32 << 10, 10 * time.Millisecond}, func() { lastLeft.Store(time.Now().UnixNano()) }}, body}, nil
		}
		ended := map[string]time.Duration{}
		var mu sync.Mutex
		start := time.Now()
		for name, pause := range map[string]time.Duration{"b.test": 0, "c.test": 0, "d.test": 100 * time.Millisecond} {
			w.at(name + "/app").onCommit = func(d content.Descriptor, r io.Reader) (io.Reader, error) {
				return readHook{slowReader{r, 32 << 10, pause}, func() {
					if d.Digest == layer.Descriptor.Digest {
						firstArrived.CompareAndSwap(0, time.Now().UnixNano())
					}
				}}, nil
			}
		}
		e := New(w, Options{Observe: func(ev Event) {
			if done, isDone := ev.(DestinationDone); isDone {
				mu.Lock()
				defer mu.Unlock()
				ended[done.Result.Reference.Registry] = time.Since(start)
			}
		}})
		ok(t, run(t, e, job("a.test/app:1", "b.test/app:1", "c.test/app:1", "d.test/app:1"))...)
		if got := w.at("a.test/app").times("fetch " + layer.Descriptor.Digest.String()); got != 1 {
			t.Errorf("the layer left the source %d times, want 1", got)
		}
		if firstArrived.Load() >= lastLeft.Load() {
			t.Error("the first byte reached a destination after the last had left the source")
		}
		const alone = 64 * 10 * time.Millisecond // the source's pace
		for _, fast := range []string{"b.test", "c.test"} {
			if ended[fast] > alone*11/10 {
				t.Errorf("%s took %v, alone it takes %v", fast, ended[fast], alone)
			}
		}
		if ended["d.test"] < 3*time.Second {
			t.Errorf("the slow destination took only %v: the test proves nothing", ended["d.test"])
		}
	})
}

type readCloser struct {
	io.Reader
	io.Closer
}

// readHook calls read after each piece.
type readHook struct {
	io.Reader
	read func()
}

func (r readHook) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.read()
	return n, err
}

func TestTagIsPutLast(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	image.Push(t, w.at("a.test/app").MemoryRepository, "1")
	ok(t, run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1"))...)
	puts := w.at("b.test/app").puts
	if len(puts) != 3 || puts[2] != "1" {
		t.Errorf("manifests were put in the order %v, want the tag last", puts)
	}
}

// Where pulls are counted, the tags of one digest cost one.
func TestEqualTagsShareOneImage(t *testing.T) {
	w := newWorld()
	w.at("a.test/app").countsPulls = true
	image := twoPlatforms("")
	var jobs []Job
	for _, tag := range []string{"1", "1.2", "latest"} {
		image.Push(t, w.at("a.test/app").MemoryRepository, tag)
		jobs = append(jobs, job("a.test/app:"+tag, "b.test/app:"+tag))
	}
	ok(t, run(t, New(w, Options{}), jobs...)...)
	requireCounts(t, "source", w.at("a.test/app"), map[string]int{"resolve": 3, "manifest": 3, "fetch": 7})
	requireCounts(t, "destination", w.at("b.test/app"), map[string]int{"commit": 7, "put": 5})
}

func TestLyingSourceMovesNoTag(t *testing.T) {
	for name, corrupt := range map[string]func([]byte) []byte{
		"other bytes": func(b []byte) []byte { b[0] ^= 1; return b },
		"too long":    func(b []byte) []byte { return append(b, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			layer := contenttest.NewLayer("x", 5000)
			contenttest.NewImage("linux/amd64", layer).Push(t, w.at("a.test/app").MemoryRepository, "1")
			w.at("a.test/app").onFetch = func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
				raw, err := io.ReadAll(body)
				if d.Digest == layer.Descriptor.Digest {
					raw = corrupt(raw)
				}
				return io.NopCloser(strings.NewReader(string(raw))), err
			}
			results := run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1"))
			err := results[0].Err()
			if !errors.Is(err, content.ErrMismatch) {
				t.Errorf("got %v, want a mismatch", err)
			}
			if side, found := errors.AsType[*Error](err); !found || side.Side != SideSource {
				t.Errorf("%v does not blame the source", err)
			}
			if got := w.at("b.test/app").tag("1"); got != "" {
				t.Errorf("a tag stands at the destination: %s", got)
			}
		})
	}
}

func TestBrokenSourceIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 5000))
		image.Push(t, w.at("a.test/app").MemoryRepository, "1")
		var cuts atomic.Int32
		w.at("a.test/app").onFetch = func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
			if d.Size == 5000 && cuts.Add(1) == 1 {
				return io.NopCloser(io.MultiReader(io.LimitReader(body, 1000), brokenReader{})), nil
			}
			return body, nil
		}
		j := &journal{}
		e := New(w, Options{Observe: j.observe})
		ok(t, run(t, e, job("a.test/app:1", "b.test/app:1"))...)
		image.Check(t, w.at("b.test/app").MemoryRepository)
		if got := e.Counters.Reread.Load(); got != 0 {
			t.Errorf("%d bytes counted as read again, want none", got)
		}
		if !slices.ContainsFunc(j.events, func(e Event) bool { _, is := e.(BlobRetrying); return is }) {
			t.Error("no event told of the second attempt")
		}
	})
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

// A registry may drop blobs that it had, or refuse a manifest for blobs it lost: what is
// missing is sent, and the manifest is put again.
func TestRefusedManifestIsCompleted(t *testing.T) {
	w := newWorld()
	layer := contenttest.NewLayer("x", 5000)
	image := contenttest.NewImage("linux/amd64", layer)
	image.Push(t, w.at("a.test/app").MemoryRepository, "1")
	b := w.at("b.test/app")
	b.onMount = func(string) error { return nil }
	refused := 0
	b.onPushManifest = func(content.Descriptor, string) error {
		if refused++; refused == 1 {
			w.registries["b.test"] = nil
			fresh := contenttest.NewMemory("b.test").Repository("app")
			b.MemoryRepository = fresh // the blobs are gone
			return fmt.Errorf("blob unknown: %w", content.ErrInvalid)
		}
		return nil
	}
	ok(t, run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1"))...)
	image.Check(t, b.MemoryRepository)
	requireCounts(t, "destination", b, map[string]int{"has": 2, "put": 1})
}

// A registry may have collected a blob that waited half an hour for its manifest.
func TestOldBlobsAreAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("x", 5000)
		image := contenttest.NewImage("linux/amd64", layer)
		image.Push(t, w.at("a.test/app").MemoryRepository, "1")
		b := w.at("b.test/app")
		b.hold = func(ctx context.Context, what string, d digest.Digest) error {
			if what == "commit" && d != layer.Descriptor.Digest {
				return retry.Sleep(ctx, 31*time.Minute)
			}
			return nil
		}
		e := New(w, Options{})
		e.moveCheck = 2 * time.Hour
		ok(t, run(t, e, job("a.test/app:1", "b.test/app:1"))...)
		requireCounts(t, "destination", b, map[string]int{"has": 1, "put": 1})
	})
}

func TestTagThatMovesIsReported(t *testing.T) {
	w := newWorld()
	image, other := twoPlatforms(""), twoPlatforms("other")
	a := w.at("a.test/app")
	image.Push(t, a.MemoryRepository, "1")
	var once sync.Once
	a.onFetch = func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
		once.Do(func() { other.Push(t, a.MemoryRepository, "1") })
		return body, nil
	}
	e := New(w, Options{})
	e.moveCheck = 0
	results := run(t, e, job("a.test/app:1", "b.test/app:1"))
	ok(t, results...)
	if got := w.at("b.test/app").tag("1"); got != image.Digest() {
		t.Errorf("copied %s, want the planned %s", got, image.Digest())
	}
	want := warning.Warning{Kind: warning.TagMoved, Digest: image.Digest(), Now: other.Digest()}
	if w := results[0].Warnings; len(w) != 1 || !w[0].Equal(want) {
		t.Errorf("warnings %v, want %v", w, want)
	}
}

// The tag moved and the registry has dropped the old manifest between HEAD and GET.
func TestDigestThatIsGoneIsResolvedOnceMore(t *testing.T) {
	w := newWorld()
	image, other := twoPlatforms(""), twoPlatforms("other")
	a := w.at("a.test/app")
	image.Push(t, a.MemoryRepository, "1")
	w.at("b.test/app").onResolve = func(string) error { return nil }
	looked := 0
	a.onResolve = func(string) error {
		if looked++; looked == 2 {
			other.Push(t, a.MemoryRepository, "1")
		}
		return nil
	}
	gone := &vanishing{wire: a, digest: image.Digest().String()}
	e := New(opener{source: gone, world: w}, Options{})
	results := run(t, e, job("a.test/app:1", "b.test/app:1"))
	ok(t, results...)
	if got := w.at("b.test/app").tag("1"); got != other.Digest() {
		t.Errorf("copied %s, want %s", got, other.Digest())
	}
	want := warning.Warning{Kind: warning.TagMovedWhileRead, Digest: image.Digest(), Now: other.Digest()}
	if w := results[0].Warnings; len(w) != 1 || !w[0].Equal(want) {
		t.Errorf("warnings %v, want %v", w, want)
	}
}

// vanishing is a source that has lost one manifest, and is no content.TagFetcher: what it
// has may go between two requests.
type vanishing struct {
	*wire
	digest string
}

// FetchTag hides that of the wire.
func (*vanishing) FetchTag() {}

func (v *vanishing) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	if d.Digest.String() == v.digest {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, content.ErrNotFound)
	}
	return v.wire.FetchManifest(ctx, d)
}
