package layout_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

func TestGC(t *testing.T) {
	l := open(t, t.TempDir())
	shared := contenttest.NewLayer("shared", 5000)
	kept := contenttest.NewIndex(contenttest.NewImage("linux/amd64", shared))
	gone := contenttest.NewIndex(contenttest.NewImage("linux/amd64", shared, contenttest.NewLayer("own", 7000)))
	keptSubject, goneSubject := kept.Descriptor(), gone.Children[0].Descriptor()
	keptReferrer := contenttest.NewArtifact("application/vnd.example.signature", &keptSubject, contenttest.NewLayer("kept signature", 50))
	goneReferrer := contenttest.NewArtifact("application/vnd.example.signature", &goneSubject, contenttest.NewLayer("gone signature", 60))
	ofReferrer := goneReferrer.Descriptor()
	goneToo := contenttest.NewArtifact("application/vnd.example.comment", &ofReferrer, contenttest.NewLayer("comment", 70))
	for tag, image := range map[string]contenttest.Image{"kept": kept, "gone": gone} {
		image.Push(t, l, tag)
	}
	for _, referrer := range []contenttest.Image{keptReferrer, goneReferrer, goneToo} {
		referrer.Push(t, l, "")
	}
	loose := contenttest.NewLayer("no image has it", 900)
	loose.Push(t, l)
	bystander := filepath.Join(l.Path(), "blobs", "sha256", "README")
	write(t, bystander, "not ours")
	if err := l.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	var lists int64
	for _, subject := range []contenttest.Image{gone.Children[0], goneReferrer} {
		list, err := l.Resolve(t.Context(), content.FallbackTag(subject.Digest()))
		if err != nil {
			t.Fatal(err)
		}
		lists += list.Size
	}

	if _, err := l.GC(t.Context()); !errors.Is(err, layout.ErrInUse) {
		t.Errorf("while this process writes: got %v, want in use", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wantFreed := lists + loose.Descriptor.Size + gone.Root.Descriptor.Size
	for _, image := range []contenttest.Image{gone.Children[0], goneReferrer, goneToo} {
		wantFreed += image.Root.Descriptor.Size
		for _, blob := range image.Blobs {
			if blob.Descriptor.Digest != shared.Descriptor.Digest && string(blob.Bytes) != "{}" {
				wantFreed += blob.Descriptor.Size
			}
		}
	}
	freed, err := l.GC(t.Context())
	if err != nil || freed != wantFreed {
		t.Errorf("got %d bytes and %v, want %d", freed, err, wantFreed)
	}
	kept.Check(t, l)
	keptReferrer.Check(t, l)
	requireReferrers(t, l, kept, referrer(t, keptReferrer))
	requireHas(t, l, loose, false)
	requireHas(t, l, goneReferrer.Blobs[1], false)
	if _, err := os.Stat(bystander); err != nil {
		t.Errorf("a file that is no blob: %v", err)
	}
	if referrers, err := l.Referrers(t.Context(), gone.Children[0].Digest()); err != nil || len(referrers) != 0 {
		t.Errorf("referrers of what is gone: got %v and %v", referrers, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if freed, err := l.GC(t.Context()); freed != 0 || err != nil {
		t.Errorf("again: got %d and %v, want nothing to free", freed, err)
	}
}

// The Finder of macOS leaves a file in each directory that somebody looks at.
func TestGCPassesFilesAmongTheAlgorithms(t *testing.T) {
	l := open(t, t.TempDir())
	loose := contenttest.NewLayer("no image has it", 900)
	loose.Push(t, l)
	stray := filepath.Join(l.Path(), "blobs", ".DS_Store")
	write(t, stray, "not ours")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if freed, err := l.GC(t.Context()); err != nil || freed != loose.Descriptor.Size {
		t.Errorf("got %d bytes and %v, want %d", freed, err, loose.Descriptor.Size)
	}
	if _, err := os.Stat(stray); err != nil {
		t.Errorf("a file that is no blob: %v", err)
	}
}

// Nothing is freed where one image cannot be read: its layers would look unused.
func TestGCStopsAtWhatItCannotRead(t *testing.T) {
	l := open(t, t.TempDir())
	image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("precious", 100))
	image.Push(t, l, "v1")
	if err := os.WriteFile(blobPath(l, image.Root), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if freed, err := l.GC(t.Context()); freed != 0 || !errors.Is(err, content.ErrMismatch) {
		t.Errorf("got %d and %v, want nothing and a mismatch", freed, err)
	}
	requireHas(t, l, image.Blobs[1], true)
}

// The layers of a cache are children of its index. One of an unknown type may be anything.
func TestGCKeepsBlobsThatAreChildrenOfAnIndex(t *testing.T) {
	l := open(t, t.TempDir())
	cache := contenttest.NewCache(contenttest.NewLayer("cached", 500), contenttest.NewBlob("application/vnd.example.x", "unknown", 60))
	cache.Push(t, l, "cache")
	contenttest.NewLayer("no image has it", 900).Push(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if freed, err := l.GC(t.Context()); err != nil || freed != 900 {
		t.Errorf("got %d bytes and %v, want 900", freed, err)
	}
	cache.Check(t, l)
}
