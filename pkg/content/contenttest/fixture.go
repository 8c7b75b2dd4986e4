package contenttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// Blob is a blob and its bytes.
type Blob struct {
	Descriptor content.Descriptor
	Bytes      []byte
}

// NewBlob is a blob of size bytes that do not compress. Equal seeds and sizes give equal
// bytes.
func NewBlob(mediaType, seed string, size int) Blob {
	var key [32]byte
	copy(key[:], digest.FromString(seed).Encoded())
	raw := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(raw)
	blob := Blob{Descriptor: content.NewDescriptor(mediaType, raw), Bytes: raw}
	if content.IsForeign(blob.Descriptor) { // registries refuse one that can be had nowhere
		blob.Descriptor.URLs = []string{"https://layers.invalid/" + blob.Descriptor.Digest.Encoded()}
	}
	return blob
}

// Stream yields the blob from its first byte.
func (b Blob) Stream() *content.Stream { return b.streamOf(b.Bytes) }

// StreamFrom yields the blob from an offset on, as a Stream does whose beginning was read.
func (b Blob) StreamFrom(t testing.TB, offset int64) *content.Stream {
	t.Helper()
	return skip(t, b.Stream(), offset)
}

// streamOf holds other bytes against the blob's descriptor.
func (b Blob) streamOf(raw []byte) *content.Stream {
	return content.NewStream(bytes.NewReader(raw), b.Descriptor)
}

func skip(t testing.TB, s *content.Stream, offset int64) *content.Stream {
	t.Helper()
	if _, err := io.CopyN(io.Discard, s, offset); err != nil {
		t.Fatalf("read %d bytes of %s: %v", offset, s.Descriptor().Digest, err)
	}
	return s
}

// NewLayer is a blob of the media type of a gzipped layer. It is no tar archive.
func NewLayer(seed string, size int) Blob {
	return NewBlob(ocispec.MediaTypeImageLayerGzip, seed, size)
}

// JSON is v as a blob.
func JSON(mediaType string, v any) Blob {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("contenttest: a fixture that is no JSON: %v", err))
	}
	return Blob{Descriptor: content.NewDescriptor(mediaType, raw), Bytes: raw}
}

// Image is a manifest with everything below it.
type Image struct {
	// Root is the top manifest.
	Root Blob
	// Children are the images of an index.
	Children []Image
	// Blobs are the config and the layers of an image, or the children of an index that are
	// blobs. Foreign layers are not among them.
	Blobs []Blob
}

// NewImage is a runnable OCI image of one platform, "linux/amd64" say, with a config that
// names it. Foreign layers are referred to and not part of it.
func NewImage(platform string, layers ...Blob) Image {
	return newImage(ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, platform, layers)
}

// NewDockerImage is the same as a Docker schema 2 manifest.
func NewDockerImage(platform string, layers ...Blob) Image {
	layers = slices.Clone(layers)
	for i := range layers {
		if layers[i].Descriptor.MediaType == ocispec.MediaTypeImageLayerGzip {
			layers[i].Descriptor.MediaType = content.MediaTypeDockerLayer
		}
	}
	return newImage(content.MediaTypeDockerManifest, content.MediaTypeDockerConfig, platform, layers)
}

func newImage(manifestType, configType, platform string, layers []Blob) Image {
	p := content.Platform{OS: "unknown", Architecture: "unknown"} // an attestation's
	if platform != "unknown/unknown" {
		var err error
		if p, err = content.ParsePlatform(platform); err != nil {
			panic("contenttest: " + err.Error())
		}
	}
	config := ocispec.Image{Platform: p, RootFS: ocispec.RootFS{Type: "layers"}}
	for _, layer := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.Descriptor.Digest)
		config.History = append(config.History, ocispec.History{CreatedBy: "ADD " + layer.Descriptor.Digest.Encoded()[:12]})
	}
	return NewManifest(ocispec.Manifest{MediaType: manifestType}, JSON(configType, config), layers...)
}

// NewArtifact is an OCI artifact with the empty config. A subject, where it is not nil,
// makes it a referrer.
func NewArtifact(artifactType string, subject *content.Descriptor, layers ...Blob) Image {
	empty := Blob{Descriptor: ocispec.DescriptorEmptyJSON, Bytes: []byte("{}")}
	empty.Descriptor.Data = nil
	if len(layers) == 0 {
		layers = []Blob{empty}
	}
	return NewManifest(ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType, Subject: subject,
		Annotations: map[string]string{"org.example.note": "ünïcode & <tags>"},
	}, empty, layers...)
}

// NewManifest completes manifest with a config and layers.
func NewManifest(manifest ocispec.Manifest, config Blob, layers ...Blob) Image {
	manifest.Versioned = specs.Versioned{SchemaVersion: 2}
	manifest.Config = config.Descriptor
	manifest.Layers = []content.Descriptor{}
	image := Image{Blobs: []Blob{config}}
	for _, layer := range layers {
		manifest.Layers = append(manifest.Layers, layer.Descriptor)
		if !content.IsForeign(layer.Descriptor) {
			image.Blobs = append(image.Blobs, layer)
		}
	}
	image.Root = JSON(manifest.MediaType, manifest)
	return image
}

// NewArtifactManifest is an artifact manifest, which OCI image-spec 1.1.0-rc2 defined.
func NewArtifactManifest(artifactType string, subject *content.Descriptor, blobs ...Blob) Image {
	document := struct {
		MediaType    string               `json:"mediaType"`
		ArtifactType string               `json:"artifactType"`
		Blobs        []content.Descriptor `json:"blobs"`
		Subject      *content.Descriptor  `json:"subject,omitempty"`
	}{content.MediaTypeArtifactManifest, artifactType, descriptorsOf(blobs), subject}
	return Image{Root: JSON(content.MediaTypeArtifactManifest, document), Blobs: blobs}
}

// NewCache is an index whose children are blobs, as in the caches that BuildKit exports.
func NewCache(blobs ...Blob) Image {
	return Image{Blobs: blobs, Root: JSON(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: descriptorsOf(blobs),
	})}
}

func descriptorsOf(blobs []Blob) []content.Descriptor {
	list := make([]content.Descriptor, 0, len(blobs))
	for _, blob := range blobs {
		list = append(list, blob.Descriptor)
	}
	return list
}

// NewIndex is an OCI image index. Children that name a platform in their config are listed
// with it.
func NewIndex(children ...Image) Image {
	return newIndex(ocispec.MediaTypeImageIndex, children)
}

// NewDockerIndex is the same as a Docker manifest list.
func NewDockerIndex(children ...Image) Image {
	return newIndex(content.MediaTypeDockerManifestList, children)
}

func newIndex(mediaType string, children []Image) Image {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: mediaType, Manifests: []content.Descriptor{},
	}
	for _, child := range children {
		d := child.Root.Descriptor
		d.Platform = child.Platform()
		index.Manifests = append(index.Manifests, d)
	}
	return Image{Root: JSON(mediaType, index), Children: children}
}

// Platform is what the config states; nil for an index and for artifacts.
func (i Image) Platform() *content.Platform {
	if len(i.Blobs) == 0 || !content.IsImageConfig(i.Blobs[0].Descriptor.MediaType) {
		return nil
	}
	var config ocispec.Image
	if err := json.Unmarshal(i.Blobs[0].Bytes, &config); err != nil || config.OS == "" {
		return nil
	}
	return &config.Platform
}

// Descriptor is that of the top manifest.
func (i Image) Descriptor() content.Descriptor { return i.Root.Descriptor }

// Digest is that of the top manifest.
func (i Image) Digest() digest.Digest { return i.Root.Descriptor.Digest }

// Push writes everything below the image and then the image itself to target, tagged where
// tag is not empty. A failure ends the test.
func (i Image) Push(t testing.TB, target content.Target, tag string) {
	t.Helper()
	for _, child := range i.Children {
		child.Push(t, target, "")
	}
	for _, blob := range i.Blobs {
		blob.Push(t, target)
	}
	if _, err := target.PushManifest(t.Context(), i.Root.Descriptor, i.Root.Bytes, tag); err != nil {
		t.Fatalf("push manifest %s: %v", i.Digest(), err)
	}
}

// Push writes the blob to target unless it is there. A failure ends the test.
func (b Blob) Push(t testing.TB, target content.BlobPusher) {
	t.Helper()
	there, err := target.HasBlob(t.Context(), b.Descriptor)
	if err != nil {
		t.Fatalf("has blob %s: %v", b.Descriptor.Digest, err)
	}
	if there {
		return
	}
	upload, err := target.StartUpload(t.Context(), b.Descriptor)
	if err != nil {
		t.Fatalf("start upload of %s: %v", b.Descriptor.Digest, err)
	}
	if err := upload.Commit(t.Context(), b.Stream()); err != nil {
		t.Fatalf("commit %s: %v", b.Descriptor.Digest, err)
	}
}

// Check fails the test unless source has the image, byte for byte.
func (i Image) Check(t testing.TB, source content.Source) {
	t.Helper()
	for _, child := range i.Children {
		child.Check(t, source)
	}
	for _, blob := range i.Blobs {
		blob.Check(t, source)
	}
	raw, err := source.FetchManifest(t.Context(), i.Root.Descriptor)
	if err != nil {
		t.Errorf("fetch manifest %s: %v", i.Digest(), err)
	} else if !bytes.Equal(raw, i.Root.Bytes) {
		t.Errorf("manifest %s: got %q, want %q", i.Digest(), raw, i.Root.Bytes)
	}
}

// Check fails the test unless source has the blob, byte for byte.
func (b Blob) Check(t testing.TB, source content.BlobFetcher) {
	t.Helper()
	stream, err := source.FetchBlob(t.Context(), b.Descriptor)
	if err != nil {
		t.Errorf("fetch blob %s: %v", b.Descriptor.Digest, err)
		return
	}
	defer stream.Close()
	got, err := io.ReadAll(content.NewStream(stream, b.Descriptor))
	if err != nil {
		t.Errorf("read blob %s: %v", b.Descriptor.Digest, err)
	} else if !bytes.Equal(got, b.Bytes) {
		t.Errorf("blob %s: got %d other bytes, want %d", b.Descriptor.Digest, len(got), len(b.Bytes))
	}
}
