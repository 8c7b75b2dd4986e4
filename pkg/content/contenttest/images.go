package contenttest

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// Images has one image of each kind that real registries hold, by its description.
func Images() map[string]Image {
	amd64 := NewImage("linux/amd64", NewLayer("base", 5000), NewLayer("amd64", 3000))
	arm64 := NewImage("linux/arm64/v8", NewLayer("base", 5000), NewLayer("arm64", 3000))
	attestation := NewManifest(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest},
		JSON("application/vnd.example.unknown.config.v1+json", map[string]string{"a": "b"}),
		NewBlob("application/vnd.in-toto+json", "attestation", 700))
	index := NewIndex(amd64, arm64, attestation)
	empty := NewBlob("application/octet-stream", "", 0)
	absent := content.NewDescriptor(ocispec.MediaTypeImageManifest, []byte("not there"))
	return map[string]Image{
		"OCI image":              amd64,
		"Docker image":           NewDockerImage("linux/amd64", NewLayer("docker", 4000)),
		"OCI index":              index,
		"Docker manifest list":   NewDockerIndex(NewDockerImage("linux/amd64", NewLayer("d1", 10)), NewDockerImage("linux/s390x", NewLayer("d2", 20))),
		"nested index":           NewIndex(index, amd64),
		"artifact":               NewArtifact("application/vnd.example.sbom", nil, NewBlob("application/spdx+json", "sbom", 900)),
		"empty artifact":         NewArtifact("application/vnd.example.flag", nil),
		"unknown config":         attestation,
		"no layers":              NewImage("linux/amd64"),
		"one layer twice":        NewImage("linux/amd64", NewLayer("same", 40), NewLayer("same", 40)),
		"zstd layer":             NewImage("linux/amd64", NewBlob(ocispec.MediaTypeImageLayerZstd, "zstd", 2000)),
		"uncompressed layer":     NewImage("linux/amd64", NewBlob(ocispec.MediaTypeImageLayer, "tar", 2000)),
		"foreign layer":          NewDockerImage("windows/amd64", NewBlob(content.MediaTypeDockerForeignLayer, "windows", 2000), NewLayer("top", 300)),
		"nondistributable layer": NewImage("linux/amd64", NewBlob("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "nondistributable", 2000)),
		"index of an index":      NewIndex(NewIndex(NewIndex(amd64))),
		"index without children": NewIndex(),
		"empty blob":             NewImage("linux/amd64", empty, NewLayer("beside nothing", 10)),
		"empty JSON for a layer": NewArtifact("application/vnd.example.flag", nil, JSON(ocispec.MediaTypeEmptyJSON, struct{}{})),
		"no subject there":       NewArtifact("application/vnd.example.sbom", &absent),
		"index with a subject":   withFields(index, "subject", absent, "artifactType", "application/vnd.example.set"),
		"data":                   withData(NewArtifact("application/vnd.example.data", nil, NewBlob("text/plain", "data", 60))),
		"fields of an image":     withFields(amd64, "com.example.field", map[string]any{"b": nil, "a": []int{1}}),
		"fields of an index":     withFields(index, "com.example.field", "<ü>", "annotations", map[string]string{"org.example": "&"}),
		"large manifest":         withSize(amd64, content.MaxManifestSize),
		"sha512 of blobs":        NewImage("linux/amd64", NewLayer("base", 5000), NewLayer("sha512", 3000).As(digest.SHA512)),
		"sha512 of everything":   NewIndex(sha512Image("linux/amd64"), sha512Image("linux/arm64")).As(digest.SHA512),
		"sha384":                 NewImage("linux/amd64", NewLayer("sha384", 300).As(digest.SHA384)).As(digest.SHA384),
		"BuildKit cache": NewCache(NewLayer("cached", 3000),
			JSON("application/vnd.buildkit.cacheconfig.v0", map[string][]string{"layers": nil})),
		"artifact manifest":     NewArtifactManifest("application/vnd.example.signature", nil, NewBlob("text/plain", "signature", 80)),
		"layer like a manifest": NewImage("linux/amd64", Blob{Descriptor: amd64.Descriptor(), Bytes: amd64.Root.Bytes}),
	}
}

// As is the same blob under a digest of another algorithm.
func (b Blob) As(algorithm digest.Algorithm) Blob {
	b.Descriptor.Digest = algorithm.FromBytes(b.Bytes)
	return b
}

// As is the same image with a digest of another algorithm for its top manifest.
func (i Image) As(algorithm digest.Algorithm) Image {
	i.Root = i.Root.As(algorithm)
	return i
}

// sha512Image names everything by sha512.
func sha512Image(platform string) Image {
	image := NewImage(platform, NewLayer(platform, 700).As(digest.SHA512))
	return NewManifest(ocispec.Manifest{MediaType: image.Descriptor().MediaType},
		image.Blobs[0].As(digest.SHA512), image.Blobs[1]).As(digest.SHA512)
}

// withManifest is an image with another manifest, which refers to the same content. It is
// indented, as some tools write it.
func (i Image) withManifest(change func(fields map[string]json.RawMessage)) Image {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(i.Root.Bytes, &fields); err != nil {
		panic("contenttest: " + err.Error())
	}
	change(fields)
	var raw bytes.Buffer
	if err := json.Indent(&raw, JSON("", fields).Bytes, "", "   "); err != nil {
		panic("contenttest: " + err.Error())
	}
	i.Root = Blob{Descriptor: content.NewDescriptor(i.Descriptor().MediaType, raw.Bytes()), Bytes: raw.Bytes()}
	return i
}

// withFields adds fields to a manifest: name, value, name, value.
func withFields(i Image, added ...any) Image {
	return i.withManifest(func(fields map[string]json.RawMessage) {
		for pair := range slices.Chunk(added, 2) {
			fields[pair[0].(string)] = JSON("", pair[1]).Bytes
		}
	})
}

// withData carries the content of blobs in their descriptors, too (OCI image specification,
// "descriptor.md", "Embedded Content").
func withData(i Image) Image {
	return i.withManifest(func(fields map[string]json.RawMessage) {
		var layers []content.Descriptor
		for _, blob := range i.Blobs {
			d := blob.Descriptor
			d.Data = blob.Bytes
			layers = append(layers, d)
		}
		maps.Copy(fields, map[string]json.RawMessage{
			"config": JSON("", layers[0]).Bytes, "layers": JSON("", layers[1:]).Bytes,
		})
	})
}

// withSize makes a manifest so many bytes long.
func withSize(i Image, size int) Image {
	pad := func(n int) Image {
		return withFields(i, "annotations", map[string]string{"org.example.padding": strings.Repeat("x", n)})
	}
	return pad(size - len(pad(0).Root.Bytes))
}
