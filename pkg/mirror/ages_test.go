package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// aging is a repository that counts what is asked of it.
type aging struct {
	*contenttest.MemoryRepository

	pushed map[string]time.Time

	resolves, pulls, askedForPushTime atomic.Int32
}

func (a *aging) Resolve(ctx context.Context, name string) (content.Descriptor, error) {
	a.resolves.Add(1)
	return a.MemoryRepository.Resolve(ctx, name)
}

func (a *aging) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	a.pulls.Add(1)
	return a.MemoryRepository.FetchManifest(ctx, d)
}

func (a *aging) Pushed(context.Context) (map[string]time.Time, error) {
	a.askedForPushTime.Add(1)
	return a.pushed, nil
}

func (a *aging) blob(t *testing.T, mediaType, text string) content.Descriptor {
	t.Helper()
	d := content.NewDescriptor(mediaType, []byte(text))
	upload, err := a.StartUpload(t.Context(), d)
	if err == nil {
		err = upload.Commit(t.Context(), content.NewStream(strings.NewReader(text), d))
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (a *aging) manifest(t *testing.T, mediaType, tag, raw string) content.Descriptor {
	t.Helper()
	d := content.NewDescriptor(mediaType, []byte(raw))
	if _, err := a.PushManifest(t.Context(), d, []byte(raw), tag); err != nil {
		t.Fatal(err)
	}
	return d
}

// image pushes an image whose configuration is text.
func (a *aging) image(t *testing.T, tag, configuration, text string) content.Descriptor {
	t.Helper()
	c := a.blob(t, configuration, text)
	return a.manifest(t, ocispec.MediaTypeImageManifest, tag, fmt.Sprintf(
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`,
		ocispec.MediaTypeImageManifest, c.MediaType, c.Digest, c.Size))
}

func (a *aging) index(t *testing.T, tag string, os []string, children ...content.Descriptor) {
	t.Helper()
	var list []string
	for i, c := range children {
		list = append(list, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":%q,"architecture":"amd64"}}`,
			c.MediaType, c.Digest, c.Size, os[i]))
	}
	a.manifest(t, ocispec.MediaTypeImageIndex, tag, fmt.Sprintf(
		`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, ocispec.MediaTypeImageIndex, strings.Join(list, ",")))
}

// remembered is an AgeMemory.
type remembered map[digest.Digest]time.Time

func (r remembered) Created(d digest.Digest) (time.Time, bool) { at, known := r[d]; return at, known }
func (r remembered) KeepCreated(d digest.Digest, at time.Time) { r[d] = at }

// TestCreated: the age is that of the newest image, told once by its digest; what states
// none has none.
func TestCreated(t *testing.T) {
	source := &aging{MemoryRepository: contenttest.NewMemory("quay.io").Repository("x")}
	image := source.image(t, "plain", ocispec.MediaTypeImageConfig, `{"created":"2026-01-02T03:04:05.123456789Z"}`)
	attestation := source.image(t, "", ocispec.MediaTypeImageConfig, `{"created":"2020-01-01T00:00:00Z"}`)
	older := source.image(t, "", ocispec.MediaTypeImageConfig, `{"created":"2025-01-01T00:00:00Z"}`)
	source.index(t, "index", []string{"unknown", "linux", "linux"}, attestation, older, image)
	source.index(t, "attestations", []string{"unknown"}, attestation)
	source.image(t, "artifact", "application/vnd.example", `{"created":"2020-01-01T00:00:00Z"}`)
	source.image(t, "silent", ocispec.MediaTypeImageConfig, `{}`)
	source.image(t, "nonsense", ocispec.MediaTypeImageConfig, `{"created":"yesterday"}`)
	stated := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)
	memory := remembered{}
	for i := range 2 {
		source.resolves.Store(0)
		source.pulls.Store(0)
		found := newAges(source, memory, new(sync.WaitGroup))
		for tag, want := range map[string]time.Time{
			"plain": stated, "index": stated, "attestations": {}, "artifact": {}, "silent": {}, "nonsense": {},
		} {
			for range 2 {
				if got, err := found.Created(t.Context(), tag); err != nil || !got.Equal(want) {
					t.Errorf("%s: got %v, %v, want %v", tag, got, err, want)
				}
			}
		}
		if got := source.resolves.Load(); got != 6 {
			t.Errorf("%d tags were resolved, want 6: each once", got)
		}
		pulls := source.pulls.Load()
		cost := found.cost("docker.io")
		if found.cost("docker.io") != "" {
			t.Error("the cost is told twice")
		}
		if i == 1 && (cost != "" || pulls != 0 || len(memory) != 6) {
			t.Errorf("%d pulls for what is remembered, told as %q", pulls, cost)
		}
		if i == 0 {
			if pulls != 8 {
				t.Errorf("%d pulls, want 8", pulls)
			}
			golden.Text(t, cost)
		}
	}
	if got := source.pulls.Load(); got != 0 {
		t.Errorf("%d pulls for what is remembered", got)
	}
	if _, err := (newAges(source, nil, new(sync.WaitGroup))).Created(t.Context(), "gone"); err != nil {
		t.Errorf("a tag that has gone fails all others: %v", err)
	}
}

// TestUnreadableImageHasNoDate: one image that regsync cannot read, such as one of Docker's schema 1, once failed the
// age rules of its whole repository.
func TestUnreadableImageHasNoDate(t *testing.T) {
	for mediaType, raw := range map[string]string{
		"application/vnd.docker.distribution.manifest.v1+json": `{"schemaVersion":1}`,
		ocispec.MediaTypeImageManifest:                         `{"schemaVersion":2}`,
	} {
		source := unreadable{mediaType: mediaType, raw: []byte(raw)}
		if at, err := newAges(source, remembered{}, new(sync.WaitGroup)).Created(t.Context(), "1"); err != nil || !at.IsZero() {
			t.Errorf("%s: got %v, %v", mediaType, at, err)
		}
	}
}

// unreadable is a repository of one manifest that no repository of ours would take.
type unreadable struct {
	content.Source
	mediaType string
	raw       []byte
}

func (u unreadable) Resolve(context.Context, string) (content.Descriptor, error) {
	return content.NewDescriptor(u.mediaType, u.raw), nil
}

func (u unreadable) FetchManifest(context.Context, content.Descriptor) ([]byte, error) {
	return u.raw, nil
}

// TestCostOfOne: it is told with its grammar.
func TestCostOfOne(t *testing.T) {
	source := &aging{MemoryRepository: contenttest.NewMemory("quay.io").Repository("x")}
	source.image(t, "1", ocispec.MediaTypeImageConfig, `{}`)
	found := newAges(source, nil, new(sync.WaitGroup))
	if _, err := found.Created(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	golden.Text(t, found.cost("quay.io"))
}

// TestPushed: the registry is asked once for all tags; one that does not tell is unsupported.
func TestPushed(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	source := &aging{MemoryRepository: contenttest.NewMemory("quay.io").Repository("x"), pushed: map[string]time.Time{"1": at, "2": at}}
	found := newAges(source, nil, new(sync.WaitGroup))
	for _, tag := range []string{"1", "2"} {
		if got, err := found.Pushed(t.Context(), tag); err != nil || !got.Equal(at) {
			t.Errorf("%s: got %v, %v", tag, got, err)
		}
	}
	if got := source.askedForPushTime.Load(); got != 1 {
		t.Errorf("asked %d times", got)
	}
	if got, err := found.Pushed(t.Context(), "3"); err != nil || !got.IsZero() {
		t.Errorf("a tag that is not told: got %v, %v", got, err)
	}
	if _, err := newAges(source.MemoryRepository, nil, new(sync.WaitGroup)).Pushed(t.Context(), "1"); !errors.Is(err, content.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// slowToTell tells push times once it is released.
type slowToTell struct {
	*contenttest.MemoryRepository

	asked, release chan struct{}
}

func (s *slowToTell) Pushed(context.Context) (map[string]time.Time, error) {
	close(s.asked)
	<-s.release
	return nil, nil
}

// TestPushedHoldsUpNobody: an entry whose time is up used to wait for the push times that
// another one had asked for, because a lock was held all the while.
func TestPushedHoldsUpNobody(t *testing.T) {
	source := &slowToTell{contenttest.NewMemory("quay.io").Repository("x"), make(chan struct{}), make(chan struct{})}
	found := newAges(source, nil, new(sync.WaitGroup))
	var first sync.WaitGroup
	first.Go(func() { _, _ = found.Pushed(t.Context(), "1") })
	<-source.asked
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := found.Pushed(late, "1"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if cost := found.cost("quay.io"); cost != "" {
		t.Errorf("got %q", cost)
	}
	close(source.release)
	first.Wait()
}
