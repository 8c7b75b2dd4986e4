package content

import (
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

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

// ManifestMediaTypes are those that regsync reads, in the order of preference: what an
// Accept header names.
func ManifestMediaTypes() []string {
	return []string{
		ocispec.MediaTypeImageIndex, MediaTypeDockerManifestList,
		ocispec.MediaTypeImageManifest, MediaTypeDockerManifest,
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

// IsForeign reports whether a layer is one that registries need not hold: Docker's foreign
// and OCI's non-distributable layers.
func IsForeign(d Descriptor) bool {
	return d.MediaType == MediaTypeDockerForeignLayer ||
		strings.HasPrefix(d.MediaType, "application/vnd.oci.image.layer.nondistributable.v1.")
}

func isSchema1(mediaType string) bool {
	return mediaType == MediaTypeSchema1 || mediaType == MediaTypeSchema1Signed
}
