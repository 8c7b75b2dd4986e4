package content

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Referrer describes m as lists of referrers do (OCI distribution specification, "Listing
// Referrers"): with the annotations of the manifest, and its artifact type, which is the
// media type of the config where the manifest states none.
func (m *Manifest) Referrer() Descriptor {
	d := Descriptor{
		MediaType: m.Descriptor.MediaType, Digest: m.Descriptor.Digest, Size: m.Descriptor.Size,
		ArtifactType: m.ArtifactType, Annotations: m.Annotations,
	}
	if d.ArtifactType == "" && m.Config != nil {
		d.ArtifactType = m.Config.MediaType
	}
	return d
}

// NewReferrersList writes a list of referrers, which is kept under the [FallbackTag] of their
// subject (OCI distribution specification, "Referrers Tag Schema"). Equal referrers, in any
// order, give equal bytes.
func NewReferrersList(referrers []Descriptor) (Descriptor, []byte, error) {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: make([]Descriptor, 0, len(referrers)),
	}
	for _, d := range referrers {
		index.Manifests = append(index.Manifests, Descriptor{
			MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, ArtifactType: d.ArtifactType, Annotations: d.Annotations,
		})
	}
	slices.SortFunc(index.Manifests, func(a, b Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	raw, err := json.Marshal(index)
	return NewDescriptor(ocispec.MediaTypeImageIndex, raw), raw, err
}
