package layout

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
)

// interruptedDisk does something else just before index.json gets its name.
type interruptedDisk struct {
	realDisk
	interrupt func()
}

func (d *interruptedDisk) Rename(from, to string) error {
	if filepath.Base(to) == "index.json" && d.interrupt != nil {
		d.interrupt()
	}
	return d.realDisk.Rename(from, to)
}

// Garbage collection rewrote index.json without index.lock, so that whoever opened the
// layout in the meantime swept the new file away as a dead writer's.
func TestGCWritesTheIndexUnderItsLock(t *testing.T) {
	disk := &interruptedDisk{}
	l, err := openOrCreate(t.TempDir(), disk)
	if err != nil {
		t.Fatal(err)
	}
	image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("layer", 100))
	subject := image.Descriptor()
	referrer := contenttest.NewArtifact("application/vnd.example.signature", &subject, contenttest.NewLayer("signature", 50))
	image.Push(t, l, "gone")
	referrer.Push(t, l, "")
	if err := l.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	disk.interrupt = func() { _ = mustOpen(t, l.path) }
	if freed, err := l.GC(t.Context()); err != nil || freed == 0 {
		t.Errorf("got %d bytes and %v, want some and no error", freed, err)
	}
}

// FuzzIndex: whatever index.json holds, every listed name is valid, and writing the file again
// loses no entry.
func FuzzIndex(f *testing.F) {
	d := contenttest.NewImage("linux/amd64").Digest().String()
	for _, seed := range []string{
		"", "{}", `{"schemaVersion":2}`, `{"schemaVersion":2,"manifests":null}`,
		`{"schemaVersion":2,"manifests":[{"digest":"` + d + `","size":1,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`,
		`{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","annotations":{"org.opencontainers.image.ref.name":"v1"}},null]}`,
		`{"schemaVersion":2,"manifests":[{"digest":"` + d + `","annotations":{"org.opencontainers.image.ref.name":"../../team/victim/manifests/stable"}}]}`,
		`{"schemaVersion":2,"manifests":[{"digest":"` + d + `","annotations":{"io.containerd.image.name":"docker.io/library/nginx:1.25"}}]}`,
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	if _, err := OpenOrCreate(dir); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		parsed, err := parseIndex(raw)
		if err != nil {
			return
		}
		l := mustOpen(t, dir)
		if err := l.index.write(parsed); err != nil {
			t.Fatal(err)
		}
		entries, err := l.Entries(t.Context())
		invalid, failure := content.SplitInvalidNames(err)
		count := 0
		if invalid != nil {
			count = invalid.Count
		}
		if failure != nil || len(entries) != len(parsed.Manifests) || count != len(parsed.invalid) {
			t.Fatalf("%d entries, %d left out, and %v; want %d and %d", len(entries), count, failure, len(parsed.Manifests), len(parsed.invalid))
		}
		for _, entry := range entries {
			if _, err := l.blobFile(entry.Digest); err != nil {
				t.Error(err)
			}
		}
		for tag, err := range l.Tags(t.Context()) {
			invalid, failure := content.SplitInvalidNames(err)
			if failure != nil || invalid == nil && reference.CheckTag(tag) != nil {
				t.Errorf("tag %q, %v", tag, failure)
			}
		}
	})
}

// The specification wants an array, also where the last image is gone ("image-index.md").
func TestIndexWithoutImagesHasAnEmptyList(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	contenttest.NewImage("linux/amd64").Push(t, l, "1")
	err := l.Update(t.Context(), func([]content.Descriptor) ([]content.Descriptor, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(l.file("index.json"))
	if err != nil || !strings.Contains(string(raw), `"manifests": []`) {
		t.Errorf("got %s and %v, want an empty list of manifests", raw, err)
	}
}
