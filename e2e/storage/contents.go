package storage

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Layer puts a layer of so many random bytes, the same for the same name, into the
// repository. It is not an archive, because copying never unpacks it.
func (r *Repository) Layer(name string, size int64) v1.Descriptor {
	open := func() io.Reader { return io.LimitReader(rand.NewChaCha8(sha256.Sum256([]byte(name))), size) }
	return r.blob(types.OCIUncompressedLayer, open)
}

// Image puts an image of layers that are in the repository into it. The name makes the image's
// configuration unique.
func (r *Repository) Image(platform, name string, layers ...v1.Descriptor) v1.Descriptor {
	system, machine, _ := strings.Cut(platform, "/")
	config := v1.ConfigFile{OS: system, Architecture: machine, RootFS: v1.RootFS{Type: "layers"}}
	config.Config.Labels = map[string]string{"org.opencontainers.image.title": name}
	for _, layer := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.Digest)
	}
	image := r.manifest(types.OCIManifestSchema1, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: r.blob(types.OCIConfigJSON, r.encode(config)),
		Layers: layers,
	})
	image.Platform = &v1.Platform{OS: system, Architecture: machine}
	return image
}

// Index puts an index of images that are in the repository into it.
func (r *Repository) Index(images ...v1.Descriptor) v1.Descriptor {
	return r.manifest(types.OCIImageIndex, v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: images,
	})
}

// Sign signs a manifest of the repository as cosign does: an image under a tag, two blobs.
func (r *Repository) Sign(subject v1.Descriptor) {
	payload := r.blob("application/vnd.dev.cosign.simplesigning.v1+json",
		text(`{"critical":{"image":{"docker-manifest-digest":"`+subject.Digest.String()+`"}}}`))
	payload.Annotations = map[string]string{"dev.cosignproject.cosign/signature": "of " + subject.Digest.Hex[:8]}
	signature := r.Image("/", "signature of "+subject.Digest.String(), payload)
	r.Tag(AttachedTag(subject.Digest)+".sig", signature)
}

// Refer puts an artifact about a manifest of the repository into it, and a list of all such
// artifacts under the subject's fallback tag: distribution 3.1 has no referrers API.
func (r *Repository) Refer(subject v1.Descriptor, artifactType types.MediaType, content string) {
	subject = v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}
	artifact := r.manifest(types.OCIManifestSchema1, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config:  r.blob(artifactType, text("{}")),
		Layers:  []v1.Descriptor{r.blob(artifactType, text(content))},
		Subject: &subject,
	})
	artifact.ArtifactType = string(artifactType)
	r.referrers[subject.Digest] = append(r.referrers[subject.Digest], artifact)
	r.Tag(AttachedTag(subject.Digest), r.Index(r.referrers[subject.Digest]...))
}

// AttachedTag is the fallback tag of a subject, and what cosign's tags about it begin with.
func AttachedTag(subject v1.Hash) string { return subject.Algorithm + "-" + subject.Hex }

// Tag points a tag at a manifest of the repository.
func (r *Repository) Tag(tag string, manifest v1.Descriptor) {
	current := tagLink(r.storage.Dir, r.Name, tag)
	r.link(current, manifest.Digest)
	history := filepath.Join(filepath.Dir(filepath.Dir(current)), "index", manifest.Digest.Algorithm, manifest.Digest.Hex, "link")
	r.link(history, manifest.Digest)
	r.Tags[tag] = manifest.Digest
}

// blob puts a blob into the repository. It is read twice, and never held in memory: it may be large.
func (r *Repository) blob(mediaType types.MediaType, open func() io.Reader) v1.Descriptor {
	d := r.keep(mediaType, open)
	r.link(layerLink(r.storage.Dir, r.Name, d.Digest), d.Digest)
	r.Blobs[d.Digest] = d.Size
	return d
}

func (r *Repository) manifest(mediaType types.MediaType, manifest any) v1.Descriptor {
	d := r.keep(mediaType, r.encode(manifest))
	r.link(revisionLink(r.storage.Dir, r.Name, d.Digest), d.Digest)
	r.Manifests[d.Digest] = d.Size
	return d
}

func (r *Repository) keep(mediaType types.MediaType, open func() io.Reader) v1.Descriptor {
	digest, size, err := v1.SHA256(open())
	r.storage.setErr(err)
	r.storage.keep(digest, open())
	return v1.Descriptor{MediaType: mediaType, Digest: digest, Size: size}
}

func (r *Repository) link(file string, digest v1.Hash) {
	r.storage.setErr(write(file, strings.NewReader(digest.String())))
}

func (r *Repository) encode(value any) func() io.Reader {
	encoded, err := json.Marshal(value)
	r.storage.setErr(err)
	return text(string(encoded))
}

func text(content string) func() io.Reader {
	return func() io.Reader { return strings.NewReader(content) }
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
