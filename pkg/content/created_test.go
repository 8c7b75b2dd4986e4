package content_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// configs is a source of blobs.
type configs map[digest.Digest][]byte

func (c configs) FetchBlob(_ context.Context, d content.Descriptor) (io.ReadCloser, error) {
	raw, there := c[d.Digest]
	if !there {
		return nil, content.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(raw)), nil
}

// The newest image counts, also below another index; what is no image or not there does not.
func TestCreatedIsThatOfTheNewestImage(t *testing.T) {
	blobs := configs{}
	image := func(created string) contenttest.Image {
		config := contenttest.JSON(ocispec.MediaTypeImageConfig, map[string]string{"created": created, "os": "linux", "architecture": "amd64"})
		blobs[config.Descriptor.Digest] = config.Bytes
		return contenttest.NewManifest(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}, config)
	}
	older, newer, gone := image("2025-01-01T00:00:00Z"), image("2026-02-03T04:05:06Z"), image("2030-01-01T00:00:00Z")
	nonsense, epoch, zip := image("yesterday"), image("1970-01-01T00:00:00Z"), image("1989-12-31T23:59:59Z")
	artifact := contenttest.NewArtifact("application/vnd.example", nil)
	attestation := image("2031-01-01T00:00:00Z")
	var document ocispec.Index
	index := contenttest.NewIndex(older, contenttest.NewIndex(newer), artifact, nonsense, gone, attestation)
	decode(t, index.Root.Bytes, &document)
	document.Manifests[5].Annotations = map[string]string{content.AnnotationReferenceType: content.AttestationManifest}
	index.Root = contenttest.JSON(ocispec.MediaTypeImageIndex, document)

	want := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, test := range []struct {
		name  string
		image contenttest.Image
		want  time.Time
	}{
		{"index", index, want}, {"image", newer, want}, {"artifact", artifact, time.Time{}}, {"nonsense", nonsense, time.Time{}},
		{"epoch", epoch, time.Time{}}, {"before 1990", zip, time.Time{}},
		{"cache", contenttest.NewCache(contenttest.NewLayer("x", 10)), time.Time{}},
	} {
		from := newManifests(test.image)
		delete(from.raw, gone.Digest())
		root, err := content.ParseManifest(test.image.Descriptor(), test.image.Root.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		got, err := content.Created(t.Context(), from, blobs, root)
		if err != nil || !got.Equal(test.want) {
			t.Errorf("%s: got %v and %v, want %v", test.name, got, err, test.want)
		}
		if from.fetched[attestation.Digest()] > 0 {
			t.Errorf("%s: an attestation was read", test.name)
		}
	}
}

// One bad date made the whole configuration unreadable, and so every `images` exit 3. Reproducible builds write the
// epoch, zip files 1980: neither is a date.
func TestDate(t *testing.T) {
	good := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for raw, test := range map[string]struct {
		want time.Time
		bad  bool
	}{
		`"2026-02-03T04:05:06Z"`: {want: good}, `"2026-02-03T05:05:06+01:00"`: {want: good},
		`"1990-01-01T00:00:00Z"`: {want: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)},
		`"1980-01-01T00:00:00Z"`: {}, `"1970-01-01T00:00:00Z"`: {}, `"0001-01-01T00:00:00Z"`: {}, `""`: {}, `null`: {},
		`"yesterday"`: {bad: true}, `1770091506`: {bad: true}, `{"at": 1}`: {bad: true},
	} {
		var config content.ImageConfig
		decode(t, []byte(`{"os": "linux", "created": `+raw+`, "history": [{"comment": "a step", "created": `+raw+`}]}`), &config)
		for _, got := range []content.Date{config.Created, config.History[0].Created} {
			if !got.Equal(test.want) || errors.Is(got.Err, content.ErrInvalid) != test.bad {
				t.Errorf("%s: got %v and %v, want %v", raw, got.Time, got.Err, test.want)
			}
		}
		if config.OS != "linux" || config.History[0].Comment != "a step" {
			t.Errorf("%s: the rest is %+v", raw, config)
		}
	}
}

func decode(t *testing.T, raw []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

// tagOnly is a repository that serves manifests by tag only.
type tagOnly struct{ *contenttest.MemoryRepository }

func (tagOnly) FetchManifest(context.Context, content.Descriptor) ([]byte, error) {
	return nil, content.ErrNotFound
}

func TestFetchResolvedReadsByTagWhereTheDigestIsNotServed(t *testing.T) {
	image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 10))
	r := contenttest.NewMemory("a.test").Repository("app")
	image.Push(t, r, "1")
	m, err := content.FetchResolved(t.Context(), tagOnly{r}, "1", image.Descriptor())
	if err != nil || m.Descriptor.Digest != image.Digest() {
		t.Errorf("got %v and %v", m, err)
	}
	for _, reference := range []string{"2", image.Digest().String()} {
		if m, err := content.FetchResolved(t.Context(), tagOnly{r}, reference, image.Descriptor()); !errors.Is(err, content.ErrNotFound) {
			t.Errorf("%s: got %v and %v, want not found", reference, m, err)
		}
	}
}
