package registrytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// Fixture is a manifest with everything under it. Equal specifications give equal bytes.
type Fixture struct {
	// Descriptor has the platform that an index states.
	Descriptor content.Descriptor
	Raw        []byte
	// Config and Layers are those of an image, as its manifest describes them.
	Config content.Descriptor
	Layers []content.Descriptor
	// Blobs are the bytes of the config and the layers. Foreign layers are not among them.
	Blobs   map[digest.Digest][]byte
	Foreign map[digest.Digest][]byte
	// Children are those of an index.
	Children []*Fixture
}

// Digest is that of the manifest.
func (f *Fixture) Digest() digest.Digest { return f.Descriptor.Digest }

// AllBlobs are the blobs of f and of what is under it, each once, without foreign layers.
func (f *Fixture) AllBlobs() map[digest.Digest][]byte {
	all := maps.Clone(f.Blobs)
	for _, child := range f.Children {
		maps.Copy(all, child.AllBlobs())
	}
	return all
}

// BlobBytes is how many bytes AllBlobs are: what has to move, once.
func (f *Fixture) BlobBytes() (sum int64) {
	for _, blob := range f.AllBlobs() {
		sum += int64(len(blob))
	}
	return sum
}

// Random is size bytes that depend on nothing but the seed.
func Random(seed uint64, size int64) []byte {
	raw := make([]byte, size)
	_, _ = rand.NewChaCha8(seedOf(seed)).Read(raw) // never fails
	return raw
}

func seedOf(seed uint64) (s [32]byte) {
	copy(s[:], fmt.Sprint("regsync ", seed))
	return s
}

// Layer specifies one layer.
type Layer struct {
	// Size is in bytes; 1000 if zero.
	Size int64
	// Seed makes layers of one size differ; if zero, it follows from the image's seed and
	// the layer's position. Images share the layers that they give the same one.
	Seed uint64
	// MediaType is a gzip-compressed layer's if empty.
	MediaType string
	// Foreign layers are non-distributable, and at one of the URLs.
	Foreign bool
	URLs    []string
	// ClaimedSize is what the manifest says instead of the truth, unless zero.
	ClaimedSize int64
}

// ImageSpec specifies an image. The zero value is an OCI image of linux/amd64 with two
// layers.
type ImageSpec struct {
	// Seed makes images differ.
	Seed   uint64
	Layers []Layer
	// Platform is "os/architecture[/variant]", or "windows(version)/architecture".
	Platform string
	// Docker takes the media types of Docker instead of OCI's.
	Docker bool
	// ConfigMediaType makes it an artifact, which has no platform; its config is "{}".
	ConfigMediaType string
	ArtifactType    string
	Subject         *Fixture
	Annotations     map[string]string
	// Edit, unless nil, changes the config of an image before it is encoded.
	Edit func(*ocispec.Image)
}

// Image builds an image or an artifact. The layers are random bytes, not archives.
func Image(spec ImageSpec) *Fixture {
	if spec.Layers == nil {
		spec.Layers = []Layer{{Size: 5000}, {Size: 300}}
	}
	f := &Fixture{Blobs: map[digest.Digest][]byte{}, Foreign: map[digest.Digest][]byte{}, Layers: []content.Descriptor{}}
	for i, layer := range spec.Layers {
		f.addLayer(layer, spec, uint64(i))
	}
	manifestType, configType := ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig
	if spec.Docker {
		manifestType, configType = content.MediaTypeDockerManifest, content.MediaTypeDockerConfig
	}
	var config []byte
	if spec.ConfigMediaType != "" {
		configType, config = spec.ConfigMediaType, []byte("{}")
	} else {
		platform := parsePlatform(spec.Platform)
		image := imageConfig(platform, f.Layers, spec.Seed)
		if spec.Edit != nil {
			spec.Edit(&image)
		}
		config = encode(image)
		f.Descriptor.Platform = &platform
	}
	f.Config = content.NewDescriptor(configType, config)
	f.Blobs[f.Config.Digest] = config
	f.finish(manifestType, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: manifestType,
		Config: f.Config, Layers: f.Layers,
		ArtifactType: spec.ArtifactType, Subject: subject(spec.Subject), Annotations: spec.Annotations,
	})
	return f
}

func (f *Fixture) addLayer(layer Layer, spec ImageSpec, position uint64) {
	if layer.Size == 0 {
		layer.Size = 1000
	}
	if layer.Seed == 0 {
		layer.Seed = 1<<32 + spec.Seed<<8 + position
	}
	raw := Random(layer.Seed, layer.Size)
	d := content.NewDescriptor(layer.mediaType(spec.Docker), raw)
	d.URLs = layer.URLs
	if layer.Foreign {
		if d.URLs == nil {
			d.URLs = []string{"https://layers.invalid/" + d.Digest.Encoded()}
		}
		f.Foreign[d.Digest] = raw
	} else {
		f.Blobs[d.Digest] = raw
	}
	if layer.ClaimedSize != 0 {
		d.Size = layer.ClaimedSize
	}
	f.Layers = append(f.Layers, d)
}

func (l Layer) mediaType(docker bool) string {
	switch {
	case l.MediaType != "":
		return l.MediaType
	case l.Foreign && docker:
		return content.MediaTypeDockerForeignLayer
	case l.Foreign:
		return "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
	case docker:
		return content.MediaTypeDockerLayer
	}
	return ocispec.MediaTypeImageLayerGzip
}

func imageConfig(platform content.Platform, layers []content.Descriptor, seed uint64) ocispec.Image {
	created := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	config := ocispec.Image{
		Created: &created, Platform: platform, RootFS: ocispec.RootFS{Type: "layers"},
		Config:  ocispec.ImageConfig{Cmd: []string{"/hello"}, Labels: map[string]string{"seed": strconv.FormatUint(seed, 10)}},
		History: []ocispec.History{{Created: &created, CreatedBy: "CMD [\"/hello\"]", EmptyLayer: true}},
	}
	for i, layer := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.Digest)
		config.History = append(config.History, ocispec.History{Created: &created, CreatedBy: fmt.Sprintf("COPY layer %d", i)})
	}
	return config
}

// IndexSpec specifies an index. The zero value is OCI's.
type IndexSpec struct {
	Docker       bool
	ArtifactType string
	Subject      *Fixture
	Annotations  map[string]string
}

// Index builds an index over children, which may be indexes themselves.
func Index(spec IndexSpec, children ...*Fixture) *Fixture {
	f := &Fixture{Children: children, Blobs: map[digest.Digest][]byte{}}
	mediaType := ocispec.MediaTypeImageIndex
	if spec.Docker {
		mediaType = content.MediaTypeDockerManifestList
	}
	manifests := []content.Descriptor{}
	for _, child := range children {
		manifests = append(manifests, child.Descriptor)
	}
	f.finish(mediaType, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: mediaType, Manifests: manifests,
		ArtifactType: spec.ArtifactType, Subject: subject(spec.Subject), Annotations: spec.Annotations,
	})
	return f
}

// Platforms builds an index of one image for each platform, which share a first layer.
func Platforms(seed uint64, platforms ...string) *Fixture {
	var images []*Fixture
	for i, platform := range platforms {
		images = append(images, Image(ImageSpec{
			Seed: seed + uint64(i), Platform: platform,
			Layers: []Layer{{Size: 4000, Seed: 1<<40 + seed}, {Size: 2000}, {Size: 700}},
		}))
	}
	return Index(IndexSpec{}, images...)
}

// Attestation builds the attestation of an image as BuildKit puts it into the image's index.
func Attestation(of *Fixture) *Fixture {
	f := Image(ImageSpec{ConfigMediaType: ocispec.MediaTypeEmptyJSON, Layers: []Layer{{MediaType: "application/vnd.in-toto+json"}}})
	f.Descriptor.Platform = &content.Platform{OS: "unknown", Architecture: "unknown"}
	f.Descriptor.Annotations = map[string]string{
		content.AnnotationReferenceType: content.AttestationManifest, content.AnnotationReferenceDigest: of.Digest().String(),
	}
	return f
}

func (f *Fixture) finish(mediaType string, manifest any) {
	f.Raw = encode(manifest)
	platform := f.Descriptor.Platform
	f.Descriptor = content.NewDescriptor(mediaType, f.Raw)
	f.Descriptor.Platform = platform
}

func subject(of *Fixture) *content.Descriptor {
	if of == nil {
		return nil
	}
	d := of.Descriptor
	d.Platform = nil
	return &d
}

func parsePlatform(text string) content.Platform {
	if text == "" {
		text = "linux/amd64"
	}
	parts := append(strings.SplitN(text, "/", 3), "", "")
	os, version, _ := strings.Cut(strings.TrimSuffix(parts[0], ")"), "(")
	return content.Platform{OS: os, OSVersion: version, Architecture: parts[1], Variant: parts[2]}
}

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // values of our own
	}
	return raw
}
