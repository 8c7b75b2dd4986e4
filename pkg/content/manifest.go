package content

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Manifest is a parsed image manifest, artifact manifest or index, and the bytes it was
// parsed from. The bytes are the truth: they are what is stored and what the digest is of.
//
// What may be large and is rarely read is not kept in parsed form: the annotations of the manifest ([Manifest.Referrer]
// reads them), and the annotations and embedded data of its config, layers and subject.
type Manifest struct {
	Descriptor Descriptor
	Raw        []byte

	// Config is that of an image; nil in an index and in an artifact manifest.
	Config *Descriptor
	// Layers are the layers of an image, the blobs of an artifact manifest, or the children of an
	// index that are blobs: BuildKit caches list their layers in an index. They have at most [MaxURLs] URLs.
	Layers []Descriptor
	// Manifests are the other children of an index. One with a media type that [IsManifest] and
	// [IsBlob] do not know may be a blob, too: see [FetchChild].
	Manifests []Descriptor

	Subject      *Descriptor
	ArtifactType string

	values int // in Raw
}

// MaxURLs is how many URLs of a foreign layer are used.
const MaxURLs = 8

// part is what is parsed of a descriptor that a manifest contains.
type part struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	URLs      []string      `json:"urls"`
}

func (p *part) descriptor() *Descriptor {
	if p == nil {
		return nil
	}
	return &Descriptor{MediaType: p.MediaType, Digest: p.Digest, Size: p.Size, URLs: slices.Clone(p.URLs[:min(len(p.URLs), MaxURLs)])}
}

func descriptors(parts []part) []Descriptor {
	all := make([]Descriptor, 0, len(parts))
	for _, p := range parts {
		all = append(all, *p.descriptor())
	}
	return all
}

// ParseManifest reads raw as the manifest that d describes. The manifest's own media type
// wins over d's. Errors are an [ErrInvalid] or, for Docker schema 1, an [ErrSchema1]. The
// caller has checked raw against d's digest.
func ParseManifest(d Descriptor, raw []byte) (*Manifest, error) {
	return parseManifest(d, raw, countValues(raw))
}

func parseManifest(d Descriptor, raw []byte, values int) (*Manifest, error) {
	if isSchema1(d.MediaType) {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, ErrSchema1)
	}
	var doc struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     string          `json:"mediaType"`
		ArtifactType  string          `json:"artifactType"`
		Config        *part           `json:"config"`
		Layers        []part          `json:"layers"`
		Blobs         []part          `json:"blobs"`
		Manifests     []Descriptor    `json:"manifests"`
		FSLayers      json.RawMessage `json:"fsLayers"`
		Subject       *part           `json:"subject"`
	}
	if err := checkValues(values); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("manifest %s: %w: %w", d.Digest, ErrInvalid, err)
	}
	if doc.SchemaVersion == 1 || isSchema1(doc.MediaType) || doc.FSLayers != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, ErrSchema1)
	}
	m := &Manifest{
		Descriptor: d, Raw: raw, values: values,
		Config: doc.Config.descriptor(), Layers: descriptors(doc.Layers), Manifests: doc.Manifests,
		Subject: doc.Subject.descriptor(), ArtifactType: doc.ArtifactType,
	}
	m.Descriptor.Size = int64(len(raw))
	if doc.MediaType != "" {
		m.Descriptor.MediaType = doc.MediaType
	}
	if m.Descriptor.MediaType == "" || m.Descriptor.MediaType == "application/json" {
		m.Descriptor.MediaType = guessMediaType(m)
	}
	err := m.checkFields()
	if m.Descriptor.MediaType == MediaTypeArtifactManifest {
		m.Layers = descriptors(doc.Blobs)
	}
	if err == nil {
		err = m.checkDescriptors()
	}
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	m.takeBlobs(func(child Descriptor) bool { return IsBlob(child.MediaType) })
	return m, nil
}

// takeBlobs moves the children of an index that are blobs to its layers.
func (m *Manifest) takeBlobs(isBlob func(Descriptor) bool) {
	var manifests []Descriptor
	for _, child := range m.Manifests {
		if isBlob(child) {
			m.Layers = append(slices.Clip(m.Layers), child) // the array may be shared
		} else {
			manifests = append(manifests, child)
		}
	}
	m.Manifests = manifests
}

func guessMediaType(m *Manifest) string {
	if m.Config == nil && m.Manifests != nil {
		return ocispec.MediaTypeImageIndex
	}
	return ocispec.MediaTypeImageManifest
}

// checkFields refuses documents that two readers could interpret differently
// (CVE-2021-41190).
func (m *Manifest) checkFields() error {
	switch mt := m.Descriptor.MediaType; {
	case IsIndex(mt):
		if m.Config != nil || len(m.Layers) > 0 {
			return fmt.Errorf("%w: an index with layers or a config", ErrInvalid)
		}
	case mt == ocispec.MediaTypeImageManifest || mt == MediaTypeDockerManifest:
		if len(m.Manifests) > 0 {
			return fmt.Errorf("%w: an image with children", ErrInvalid)
		}
		if m.Config == nil {
			return fmt.Errorf("%w: an image without a config", ErrInvalid)
		}
	case mt == MediaTypeArtifactManifest:
		if m.Config != nil || len(m.Layers) > 0 || len(m.Manifests) > 0 {
			return fmt.Errorf("%w: an artifact manifest with a config, layers or children", ErrInvalid)
		}
	default:
		return fmt.Errorf("%w: unknown manifest media type %q", ErrInvalid, mt)
	}
	return nil
}

// checkDescriptors refuses documents with invalid descriptors.
func (m *Manifest) checkDescriptors() error {
	for _, d := range m.Manifests {
		if err := CheckDescriptor(d); err != nil {
			return err
		}
		if d.Digest == m.Descriptor.Digest {
			return fmt.Errorf("%w: an index that contains itself", ErrInvalid)
		}
	}
	for _, d := range m.Blobs() {
		if err := CheckDescriptor(d); err != nil {
			return err
		}
	}
	if m.Subject != nil {
		return CheckDescriptor(*m.Subject)
	}
	return nil
}

// IsIndex reports whether m is a list of manifests.
func (m *Manifest) IsIndex() bool { return IsIndex(m.Descriptor.MediaType) }

// LooksLikeManifest reports whether raw has the fields of a manifest or index, whatever its media
// type.
func LooksLikeManifest(raw []byte) bool {
	var doc struct {
		MediaType     string          `json:"mediaType"` // an artifact manifest has no version
		SchemaVersion json.RawMessage `json:"schemaVersion"`
		Manifests     json.RawMessage `json:"manifests"`
		Config        struct{ Digest string }
	}
	return json.Unmarshal(raw, &doc) == nil && (IsManifest(doc.MediaType) || doc.SchemaVersion != nil || doc.Manifests != nil || doc.Config.Digest != "")
}

// Blobs are the config and the layers, each digest once, in the manifest's order with the
// config last, as images are pushed. Foreign layers are among them.
func (m *Manifest) Blobs() []Descriptor {
	blobs := make([]Descriptor, 0, len(m.Layers)+1)
	seen := make(map[string]bool, len(m.Layers)+1)
	add := func(d Descriptor) {
		if !seen[d.Digest.String()] {
			seen[d.Digest.String()] = true
			blobs = append(blobs, d)
		}
	}
	for _, d := range m.Layers {
		add(d)
	}
	if m.Config != nil {
		add(*m.Config)
	}
	return blobs
}

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

// maxValues bounds the values of a JSON document, and of all manifests of an image: members of objects and elements of
// arrays. It is ten for each of the 10,000 manifests and blobs that an image may have.
const maxValues = 100_000

// CheckJSON refuses a document that takes far more memory when it is decoded than it has bytes: "{},{},…" as a
// list of descriptors takes sixty times as much. It does not check the syntax. The error is an [ErrInvalid].
func CheckJSON(raw []byte) error { return checkValues(countValues(raw)) }

func checkValues(n int) error {
	if n > maxValues {
		return fmt.Errorf("%w: more than %d values in a JSON document", ErrInvalid, maxValues)
	}
	return nil
}

// countValues counts the values of a JSON document.
func countValues(raw []byte) (values int) {
	quoted := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '{' || c == '['):
			values++
		}
	}
	return values
}
