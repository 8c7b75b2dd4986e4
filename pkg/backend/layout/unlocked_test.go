package layout

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// slowDisk blocks while a file whose path contains slow is synced.
type slowDisk struct {
	realDisk
	slow              string
	reached, released chan struct{}
}

func (d *slowDisk) Create(path string) (diskFile, error) {
	file, err := d.realDisk.Create(path)
	if err != nil || !strings.Contains(path, d.slow) {
		return file, err
	}
	return &slowFile{file, d}, nil
}

type slowFile struct {
	diskFile
	disk *slowDisk
}

func (f *slowFile) Sync() error {
	close(f.disk.reached)
	<-f.disk.released
	return f.diskFile.Sync()
}

// The list of a subject's referrers was written while index.lock was held, so that one slow disk stopped the tags of all
// processes. What is made meanwhile, the list of the same subject included, is not lost.
func TestFilesAreWrittenWithoutTheLock(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // where the lock is held, pushes wait for it
	defer cancel()
	path := t.TempDir()
	image := contenttest.NewImage("linux/amd64")
	subject := image.Descriptor()
	ours, theirs := contenttest.NewArtifact("application/x.ours", &subject), contenttest.NewArtifact("application/x.theirs", &subject)
	var lists []content.Descriptor
	for _, image := range []contenttest.Image{ours, theirs} {
		m, err := content.ParseManifest(image.Descriptor(), image.Root.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		list, _, err := content.NewReferrersList([]content.Descriptor{m.Referrer()})
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, list)
	}
	disk := &slowDisk{slow: lists[0].Digest.Encoded(), reached: make(chan struct{}), released: make(chan struct{})}
	slow, err := openOrCreate(path, disk)
	if err != nil {
		t.Fatal(err)
	}
	other := mustOpen(t, path)
	t.Cleanup(func() { _ = slow.Close() })
	image.Push(t, slow, "v1")
	ours.Blobs[0].Push(t, slow)

	push := func(l *Layout, i contenttest.Image, tag string) {
		if _, err := l.PushManifest(ctx, i.Descriptor(), i.Root.Bytes, tag); err != nil {
			t.Errorf("push %s: %v", tag, err)
		}
	}
	var pushes sync.WaitGroup
	pushes.Go(func() { push(slow, ours, "") })
	select {
	case <-disk.reached:
	case <-ctx.Done():
		t.Fatal("the list is not written")
	}
	push(slow, image, "same-handle")
	push(other, image, "another")
	push(other, theirs, "")
	close(disk.released)
	pushes.Wait()

	var tags []string
	for tag, err := range other.Tags(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, tag)
	}
	for _, l := range []*Layout{slow, other} {
		if referrers, err := l.Referrers(ctx, subject.Digest); err != nil || len(referrers) != 2 || len(tags) != 4 {
			t.Errorf("%d referrers of 2, %v; tags %q", len(referrers), err, tags)
		}
	}
	for _, l := range []*Layout{slow, other} {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// The list that was never listed, and the one that another process has replaced.
	if freed, err := other.GC(ctx); err != nil || freed != lists[0].Size+lists[1].Size {
		t.Errorf("freed %d bytes, %v, want %d and %d", freed, err, lists[0].Size, lists[1].Size)
	}
}
