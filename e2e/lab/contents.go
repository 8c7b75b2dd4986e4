package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Layer puts a layer of so many random bytes, the same for the same name, into the
// repository. It is no archive: only what moves it will ever look at it.
func (r *Repository) Layer(name string, size int64) v1.Descriptor {
	r.storage.t.Helper()
	random := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(random) // has no errors
	return r.blob(types.OCIUncompressedLayer, random)
}

// Image puts an image of layers that are in the repository into it. What tells its
// configuration from all others is its name.
func (r *Repository) Image(platform, name string, layers ...v1.Descriptor) v1.Descriptor {
	r.storage.t.Helper()
	system, machine, _ := strings.Cut(platform, "/")
	config := v1.ConfigFile{OS: system, Architecture: machine, RootFS: v1.RootFS{Type: "layers"}}
	config.Config.Labels = map[string]string{"org.opencontainers.image.title": name}
	for _, layer := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.Digest)
	}
	image := r.manifest(types.OCIManifestSchema1, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: r.blob(types.OCIConfigJSON, encode(r.storage.t, config)),
		Layers: layers,
	})
	image.Platform = &v1.Platform{OS: system, Architecture: machine}
	return image
}

// Index puts an index of images that are in the repository into it.
func (r *Repository) Index(images ...v1.Descriptor) v1.Descriptor {
	r.storage.t.Helper()
	return r.manifest(types.OCIImageIndex, v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: images,
	})
}

// Sign signs a manifest of the repository as cosign does: an image under a tag, two blobs.
func (r *Repository) Sign(subject v1.Descriptor) {
	r.storage.t.Helper()
	payload := r.blob("application/vnd.dev.cosign.simplesigning.v1+json",
		[]byte(`{"critical":{"image":{"docker-manifest-digest":"`+subject.Digest.String()+`"}}}`))
	payload.Annotations = map[string]string{"dev.cosignproject.cosign/signature": "of " + subject.Digest.Hex[:8]}
	signature := r.Image("/", "signature of "+subject.Digest.String(), payload)
	r.Tag(AttachedTag(subject.Digest)+".sig", signature)
}

// Refer puts an artifact about a manifest of the repository into it, and a list of all such
// artifacts under the subject's fallback tag: distribution 3.1 has no referrers API.
func (r *Repository) Refer(subject v1.Descriptor, artifactType types.MediaType, text string) {
	r.storage.t.Helper()
	subject = v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}
	artifact := r.manifest(types.OCIManifestSchema1, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config:  r.blob(artifactType, []byte("{}")),
		Layers:  []v1.Descriptor{r.blob(artifactType, []byte(text))},
		Subject: &subject,
	})
	artifact.ArtifactType = string(artifactType)
	r.referrers[subject.Digest] = append(r.referrers[subject.Digest], artifact)
	r.Tag(AttachedTag(subject.Digest), r.Index(r.referrers[subject.Digest]...))
}

// AttachedTag is the fallback tag of a subject, and what cosign's tags about it begin with.
func AttachedTag(subject v1.Hash) string { return subject.Algorithm + "-" + subject.Hex }

func (r *Repository) blob(mediaType types.MediaType, content []byte) v1.Descriptor {
	r.storage.t.Helper()
	d := describe(r.storage.t, mediaType, content)
	r.storage.keep(d.Digest, content)
	r.linkBlob(d.Digest, d.Size)
	return d
}

func (r *Repository) manifest(mediaType types.MediaType, manifest any) v1.Descriptor {
	r.storage.t.Helper()
	content := encode(r.storage.t, manifest)
	d := describe(r.storage.t, mediaType, content)
	r.storage.keep(d.Digest, content)
	r.linkManifest(d.Digest, d.Size)
	return d
}

func describe(t testing.TB, mediaType types.MediaType, content []byte) v1.Descriptor {
	t.Helper()
	digest, size, err := v1.SHA256(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: mediaType, Digest: digest, Size: size}
}

func encode(t testing.TB, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// SmallImages fills repositories with images of four layers: one that all of them have, one of the
// repository's own, two of the image's own.
func (s *Storage) SmallImages(name string, repositories, tags int, least, most int64) {
	for n := range repositories {
		r := s.Repository(fmt.Sprintf("line/%s%02d", name, n))
		for i := range tags {
			var layers []v1.Descriptor
			for _, name := range []string{"base of " + name, r.Name, fmt.Sprintf("%s %d", r.Name, i), fmt.Sprintf("%s %d, too", r.Name, i)} {
				layers = append(layers, r.Layer(name, least+int64(crc32.ChecksumIEEE([]byte(name)))%(most-least)))
			}
			r.Tag(fmt.Sprint(i), r.Image("linux/amd64", fmt.Sprintf("%s %d", r.Name, i), layers...))
		}
	}
}
