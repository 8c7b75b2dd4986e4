package layout_test

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	ggcr "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// crane reads what we write.
func TestReadByGGCR(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "layout"))
	amd64 := contenttest.NewImage("linux/amd64", contenttest.NewLayer("a", 2000))
	index := contenttest.NewIndex(amd64, contenttest.NewImage("linux/arm64", contenttest.NewLayer("b", 3000)))
	index.Push(t, l, "docker.io/library/app:1")
	amd64.Push(t, l, "amd64")

	path, err := ggcr.FromPath(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	root, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 2 || manifest.Manifests[0].Annotations[ocispec.AnnotationRefName] != "docker.io/library/app:1" {
		t.Fatalf("got %+v", manifest.Manifests)
	}
	readIndex, err := root.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := readIndex.RawManifest()
	if err != nil || !bytes.Equal(raw, index.Root.Bytes) {
		t.Errorf("index: got %q and %v", raw, err)
	}
	image, err := root.Image(manifest.Manifests[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("layers: got %v and %v", layers, err)
	}
	stream, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, amd64.Blobs[1].Bytes) {
		t.Errorf("layer: got %d bytes and %v", len(got), err)
	}
}

// We read what crane writes, and add to it what crane reads.
func TestWrittenByGGCR(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	index, err := random.Index(1000, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	path, err := ggcr.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendIndex(index, ggcr.WithAnnotations(map[string]string{ocispec.AnnotationRefName: "index"})); err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(image); err != nil {
		t.Fatal(err)
	}

	read, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	d, err := read.Resolve(t.Context(), "index")
	if err != nil || d.Digest.String() != want.String() {
		t.Fatalf("resolve: got %s and %v, want %s", d.Digest, err, want)
	}
	root, err := content.FetchAndParse(t.Context(), read, d)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := content.FetchTree(t.Context(), read, root, content.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	blobs := 0
	for blob := range tree.Blobs() {
		blobs++
		if there, err := read.HasBlob(t.Context(), blob); !there || err != nil {
			t.Errorf("blob %s: got %v and %v", blob.Digest, there, err)
		}
	}
	if blobs != 9 { // three images of two layers and a config
		t.Errorf("got %d blobs, want 9", blobs)
	}
	imageDigest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read.Resolve(t.Context(), imageDigest.String()); err != nil {
		t.Errorf("resolve an image without a tag: %v", err)
	}

	ours := contenttest.NewImage("linux/amd64")
	ours.Push(t, open(t, dir), "ours")
	all, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := all.IndexManifest()
	if err != nil || len(manifest.Manifests) != 3 {
		t.Fatalf("got %+v and %v, want three images", manifest, err)
	}
	again, err := all.Image(imageDigest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(again); err != nil {
		t.Errorf("crane's image after our write: %v", err)
	}
}
