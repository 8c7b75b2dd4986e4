package content

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Referrer describes m as lists of referrers do (OCI distribution specification, "Listing
// Referrers"): with the annotations of the manifest, and its artifact type, which is the
// media type of the config where the manifest states none. Annotations that are not text are left out.
func (m *Manifest) Referrer() Descriptor {
	var doc struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(m.Raw, &doc); err != nil {
		doc.Annotations = nil
	}
	return Descriptor{
		MediaType: m.Descriptor.MediaType, Digest: m.Descriptor.Digest, Size: m.Descriptor.Size,
		ArtifactType: m.ReferrerType(), Annotations: doc.Annotations,
	}
}

// ReferrerType is the artifact type that lists of referrers state.
func (m *Manifest) ReferrerType() string {
	if m.ArtifactType == "" && m.Config != nil {
		return m.Config.MediaType
	}
	return m.ArtifactType
}

// NewReferrersList writes a list of referrers, which is kept under the [FallbackTag] of their
// subject (OCI distribution specification, "Referrers Tag Schema"). Equal referrers, in any
// order, give equal bytes. The error is an [ErrInvalid] if the list would be larger than [MaxManifestSize].
func NewReferrersList(referrers []Descriptor) (Descriptor, []byte, error) {
	tooLarge := fmt.Errorf("list of %d referrers: %w: it would be larger than %d bytes", len(referrers), ErrInvalid, MaxManifestSize)
	size, _ := ListSize(referrers)
	if size > MaxManifestSize {
		return Descriptor{}, nil, tooLarge
	}
	empty, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []Descriptor{},
	})
	if err != nil {
		return Descriptor{}, nil, err
	}
	// A list of some MiB is encoded piece by piece: json.Marshal would take several times its size.
	beginning, end, _ := bytes.Cut(empty, []byte("]"))
	raw := append(make([]byte, 0, size+len(empty)), beginning...)
	sorted := slices.SortedFunc(slices.Values(referrers), func(a, b Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	for i, d := range sorted {
		entry, err := json.Marshal(Descriptor{
			MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, ArtifactType: d.ArtifactType, Annotations: d.Annotations,
		})
		if err != nil {
			return Descriptor{}, nil, err
		}
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = append(raw, entry...)
	}
	raw = append(append(raw, ']'), end...)
	if len(raw) > MaxManifestSize {
		return Descriptor{}, nil, tooLarge
	}
	return NewDescriptor(ocispec.MediaTypeImageIndex, raw), raw, nil
}

// ListSize returns about how many bytes and JSON values a list of referrers has.
func ListSize(referrers []Descriptor) (bytes, values int) {
	for _, d := range referrers {
		bytes += 80 + len(d.MediaType) + len(d.Digest) + len(d.ArtifactType) + len(d.Data)
		values += 6 + len(d.URLs) + len(d.Annotations)
		for _, url := range d.URLs {
			bytes += 3 + len(url)
		}
		for key, value := range d.Annotations {
			bytes += 6 + len(key) + len(value)
		}
	}
	return bytes, values
}
