package content

import (
	_ "crypto/sha256" // registers the algorithms that digest.Digest verifies with
	_ "crypto/sha512"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Descriptor points at content by digest, size in bytes and media type.
// See the OCI image specification, "descriptor.md".
type Descriptor = ocispec.Descriptor

// Platform is what an image runs on, as an image index states it.
type Platform = ocispec.Platform

// NewDescriptor describes raw as content of the given media type.
func NewDescriptor(mediaType string, raw []byte) Descriptor {
	return Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
}

// maxBlobSize bounds the size that a descriptor states: 256 TiB. The sum of an image's sizes does not overflow.
const maxBlobSize = 1 << 48

// CheckDescriptor refuses a descriptor that nothing may be fetched or named by: a digest
// that is malformed or of an unknown algorithm (it becomes part of URLs and file names),
// or a size that is negative or that no blob has. The error is an [ErrInvalid].
func CheckDescriptor(d Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w: %w", d.Digest, ErrInvalid, err)
	}
	if d.Size < 0 || d.Size > maxBlobSize {
		return fmt.Errorf("%s: invalid size %d: %w", d.Digest, d.Size, ErrInvalid)
	}
	return nil
}

// Media types of the Docker image manifest version 2, schema 2, and of its predecessor.
const (
	MediaTypeDockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaTypeDockerConfig       = "application/vnd.docker.container.image.v1+json"
	MediaTypeDockerLayer        = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	MediaTypeDockerForeignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	MediaTypeSchema1            = "application/vnd.docker.distribution.manifest.v1+json"
	MediaTypeSchema1Signed      = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

// MediaTypeArtifactManifest is that of the artifact manifest of the OCI image specification
// 1.1.0-rc2 ("artifact.md"), which oras and notation wrote in 2022 and 1.1.0 left out.
const MediaTypeArtifactManifest = "application/vnd.oci.artifact.manifest.v1+json"

// ManifestMediaTypes are those that regsync reads, in the order of preference: what an
// Accept header names.
func ManifestMediaTypes() []string {
	return []string{
		ocispec.MediaTypeImageIndex, MediaTypeDockerManifestList,
		ocispec.MediaTypeImageManifest, MediaTypeDockerManifest, MediaTypeArtifactManifest,
	}
}

// IsIndex reports whether a media type is that of a list of manifests.
func IsIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == MediaTypeDockerManifestList
}

// IsImageConfig reports whether a media type is that of a runnable image's configuration,
// which states a platform.
func IsImageConfig(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageConfig || mediaType == MediaTypeDockerConfig
}

// IsManifest reports whether a media type is that of a manifest, schema 1 included.
func IsManifest(mediaType string) bool {
	return slices.Contains(ManifestMediaTypes(), mediaType) || isSchema1(mediaType)
}

// IsBlob reports whether a media type is known to be that of a blob: a layer or a
// configuration.
func IsBlob(mediaType string) bool {
	switch mediaType {
	case ocispec.MediaTypeImageConfig, ocispec.MediaTypeEmptyJSON, MediaTypeDockerConfig,
		"application/vnd.docker.plugin.v1+json", "application/vnd.buildkit.cacheconfig.v0",
		"application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip":
		return true
	}
	return strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.") ||
		strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.")
}

// IsForeign reports whether a layer is one that registries need not hold: Docker's foreign
// and OCI's non-distributable layers.
func IsForeign(d Descriptor) bool {
	return d.MediaType == MediaTypeDockerForeignLayer ||
		strings.HasPrefix(d.MediaType, "application/vnd.oci.image.layer.nondistributable.v1.")
}

func isSchema1(mediaType string) bool {
	return mediaType == MediaTypeSchema1 || mediaType == MediaTypeSchema1Signed
}

// mediaTypePattern is the grammar of RFC 6838, 4.2, as the OCI image specification demands
// ("descriptor.md"). Parameters may follow: some registries send them.
var mediaTypePattern = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}( *;[[:print:]]{1,200})?\z`)

// CheckMediaType checks a media type, which becomes part of request headers.
// The error is an [ErrInvalid].
func CheckMediaType(mediaType string) error {
	if !mediaTypePattern.MatchString(mediaType) {
		return fmt.Errorf("media type %.100q: %w", mediaType, ErrInvalid)
	}
	return nil
}

// VerifyBytes checks raw against d, which has passed [CheckDescriptor], taking a size of zero as unknown.
func VerifyBytes(raw []byte, d Descriptor) error {
	got := d.Digest.Algorithm().FromBytes(raw)
	if got != d.Digest || d.Size > 0 && int64(len(raw)) != d.Size {
		return &MismatchError{Want: d, GotSize: int64(len(raw)), GotDigest: got}
	}
	return nil
}

// BuildKit lists attestations in an index as children of the platform unknown/unknown,
// and names the image that they are about in these annotations
// (BuildKit documentation, "Image attestation storage").
const (
	AnnotationReferenceType   = "vnd.docker.reference.type"
	AnnotationReferenceDigest = "vnd.docker.reference.digest"
	AttestationManifest       = "attestation-manifest"
)

// IsAttestation reports whether a child of an index is an attestation of another one.
func IsAttestation(child Descriptor) bool {
	return child.Annotations[AnnotationReferenceType] == AttestationManifest
}

// mayBeImage reports whether a child of an index may be an image that can run.
func mayBeImage(child Descriptor) bool {
	return !IsAttestation(child) && (child.Platform == nil || child.Platform.OS != "unknown")
}

// AttestationOf returns the digest of the image that an attestation is about.
func AttestationOf(child Descriptor) digest.Digest {
	return digest.Digest(child.Annotations[AnnotationReferenceDigest])
}
