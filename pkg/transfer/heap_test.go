package transfer

import (
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
)

// endless is a source of as many images as are asked for, and a registry that takes them. It
// stores neither, so that a run's memory can be told from that of its doubles.
type endless struct {
	mu   sync.Mutex
	read map[digest.Digest]int // images that were resolved and not read yet
}

// endlessBlobs is how many blobs an image has.
const endlessBlobs = 11

// image is the image of a number. Its descriptors say how to make the blobs again.
func (e *endless) image(n int) contenttest.Blob {
	blob := func(k int) contenttest.Blob {
		text := fmt.Sprintf("%d %d", n, k)
		d := content.NewDescriptor(ocispec.MediaTypeImageLayerGzip, []byte(text))
		d.URLs = []string{text} // a source is given no annotations
		return contenttest.Blob{Descriptor: d}
	}
	config := blob(0)
	config.Descriptor.MediaType = ocispec.MediaTypeImageConfig
	var layers []contenttest.Blob
	for k := range endlessBlobs - 1 {
		layers = append(layers, blob(k+1))
	}
	return contenttest.NewManifest(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}, config, layers...).Root
}

func (e *endless) OpenSource(context.Context, reference.Reference) (content.Source, error) {
	return endlessSource{e}, nil
}

func (e *endless) OpenTarget(_ context.Context, ref reference.Reference) (content.Target, error) {
	return endlessTarget{endlessSource{e}, ref.Repository}, nil
}

type endlessSource struct{ *endless }

func (s endlessSource) Location() content.Location {
	return content.Location{Registry: "a.test", Repository: "app"}
}

func (s endlessSource) Resolve(_ context.Context, tag string) (content.Descriptor, error) {
	n, err := strconv.Atoi(tag)
	if err != nil {
		return content.Descriptor{}, err
	}
	d := s.image(n).Descriptor
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read[d.Digest] = n
	return d, nil
}

func (s endlessSource) FetchManifest(_ context.Context, d content.Descriptor) ([]byte, error) {
	s.mu.Lock()
	n, known := s.read[d.Digest]
	delete(s.read, d.Digest)
	s.mu.Unlock()
	if !known {
		return nil, content.ErrNotFound
	}
	return s.image(n).Bytes, nil
}

func (s endlessSource) FetchBlob(_ context.Context, d content.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(d.URLs[0])), nil
}

// endlessTarget is a repository that has nothing and takes everything.
type endlessTarget struct {
	endlessSource
	repository string
}

var _ content.Mounter = endlessTarget{}

func (t endlessTarget) Location() content.Location {
	return content.Location{Registry: "b.test", Repository: t.repository}
}

func (t endlessTarget) Resolve(context.Context, string) (content.Descriptor, error) {
	return content.Descriptor{}, content.ErrNotFound
}

func (t endlessTarget) Tags(context.Context) iter.Seq2[string, error] {
	return func(func(string, error) bool) {}
}

func (t endlessTarget) HasBlob(context.Context, content.Descriptor) (bool, error) { return false, nil }

func (t endlessTarget) Mount(context.Context, content.Descriptor, string) (content.Upload, error) {
	return endlessUpload{}, nil
}

func (t endlessTarget) StartUpload(context.Context, content.Descriptor) (content.Upload, error) {
	return endlessUpload{}, nil
}

func (t endlessTarget) PushManifest(context.Context, content.Descriptor, []byte, string) (content.ManifestPushed, error) {
	return content.ManifestPushed{}, nil
}

type endlessUpload struct{}

func (endlessUpload) Commit(_ context.Context, s *content.Stream) error {
	_, err := io.Copy(io.Discard, s)
	return err
}

func (endlessUpload) Cancel(context.Context) error { return nil }

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one has only found to be dead
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// grown is how many bytes the heap of one run grows by for each blob, between the moments at
// which so many images have ended. Nothing is under way then. cached are those of the cache of
// manifests, which is bounded.
func grown(t testing.TB, from, to int) (perBlob, cached float64) {
	t.Helper()
	w := &endless{read: map[digest.Digest]int{}}
	e := New(w, Options{})
	var left sync.WaitGroup // images that have not ended
	var before, after, cacheBefore, cacheAfter int64
	jobs := func(yield func(Job) bool) {
		for n := range to {
			if n == from {
				left.Wait()
				before, cacheBefore = heap(), int64(e.manifests.Bytes())
			}
			left.Add(1)
			if !yield(job(fmt.Sprint("a.test/app:", n), fmt.Sprintf("b.test/repository%d:%d", n%20, n))) {
				return
			}
		}
		left.Wait()
		after, cacheAfter = heap(), int64(e.manifests.Bytes())
	}
	err := e.Run(t.Context(), jobs, func(r *Result) {
		left.Done()
		if r.Err() != nil {
			t.Error(r.Err())
		}
	})
	if err != nil || len(w.read) > 0 {
		t.Fatalf("%v, %d images were not read", err, len(w.read))
	}
	blobs := float64((to - from) * endlessBlobs)
	return float64(after-before) / blobs, float64(cacheAfter-cacheBefore) / blobs
}

// mostGrowth is how many bytes of memory a run keeps for each blob of images that have ended.
const mostGrowth = 300

// The memory of a run does not grow with the images that have ended, but for what is kept of
// each blob.
func TestRunKeepsLittleOfABlob(t *testing.T) {
	perBlob, cached := grown(t, 300, 1500)
	t.Logf("%.0f bytes a blob, %.0f of them in the cache of manifests", perBlob, cached)
	if perBlob-cached > mostGrowth {
		t.Errorf("the heap grows by %.0f bytes a blob, want at most %d", perBlob-cached, mostGrowth)
	}
}

// BenchmarkRunHeap is how much the heap of a run grows by a blob from 2,000 to 20,000 images.
func BenchmarkRunHeap(b *testing.B) {
	for b.Loop() {
		perBlob, cached := grown(b, 2000, 20_000)
		b.ReportMetric(perBlob, "bytes/blob")
		b.ReportMetric(cached, "cached-bytes/blob")
	}
}
