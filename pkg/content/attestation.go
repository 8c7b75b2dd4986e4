package content

import "github.com/opencontainers/go-digest"

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
