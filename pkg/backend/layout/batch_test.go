package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// brokenDisk cannot create files whose path contains broken.
type brokenDisk struct {
	realDisk
	broken string
}

func (d *brokenDisk) Create(path string) (diskFile, error) {
	if d.broken != "" && strings.Contains(path, d.broken) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EIO}
	}
	return d.realDisk.Create(path)
}

// One file of several could not be written, and all manifests that waited together failed. What failed is not remembered
// as if it had been written.
func TestFileThatCannotBeWrittenAmongOthers(t *testing.T) {
	disk := &brokenDisk{}
	l, err := openOrCreate(t.TempDir(), disk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var batch []*pushed
	for i, platform := range []string{"linux/amd64", "linux/arm64", "linux/s390x"} {
		image := contenttest.NewImage(platform)
		image.Push(t, l, fmt.Sprint("v", i))
		subject := image.Descriptor()
		referrer := contenttest.NewArtifact("application/x", &subject)
		for _, blob := range referrer.Blobs {
			blob.Push(t, l)
		}
		m, err := content.ParseManifest(referrer.Descriptor(), referrer.Root.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.write(t.Context(), m.Descriptor, m.Raw); err != nil {
			t.Fatal(err)
		}
		batch = append(batch, &pushed{Manifest: m})
	}
	list, _, err := content.NewReferrersList([]content.Descriptor{batch[1].Referrer()})
	if err != nil {
		t.Fatal(err)
	}
	disk.broken = list.Digest.Encoded()
	if err := l.enterAll(t.Context(), batch); err != nil {
		t.Errorf("all of them failed: %v", err)
	}
	for i, p := range batch {
		listed, err := l.Referrers(t.Context(), p.Subject.Digest)
		if broken := i == 1; errors.Is(p.unwritten, syscall.EIO) != broken || (len(listed) == 0) != broken || err != nil {
			t.Errorf("referrer %d: failed with %v, listed are %v and %v", i, p.unwritten, listed, err)
		}
	}
	if _, known := l.graph.nodes.Find(list.Digest); known || l.hasFile(list) {
		t.Error("the list that was not written is known")
	}
	disk.broken = ""
	if _, err := l.PushManifest(t.Context(), batch[1].Descriptor, batch[1].Raw, ""); err != nil || !l.hasFile(list) {
		t.Errorf("once more: got %v, want the list written", err)
	}
}
