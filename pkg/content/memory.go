package content

import (
	"context"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
)

// Memory is a registry that keeps everything in memory: for tests, and for programs that
// build or inspect images without a disk. It is as strict as strict registries are: a
// manifest whose blobs or children are not in its repository is refused, and blobs of one
// repository are seen in another only after a mount.
//
// All methods of it and of its repositories may be called concurrently.
type Memory struct {
	name string

	mu           sync.Mutex
	repositories map[string]*MemoryRepository
}

// NewMemory makes an empty registry. The name is what Locations and errors call it; two
// registries of one name are taken for one place.
func NewMemory(name string) *Memory {
	return &Memory{name: name, repositories: map[string]*MemoryRepository{}}
}

// Repository is the repository of that name, made if need be; the same one each time.
func (m *Memory) Repository(name string) *MemoryRepository {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.repositories[name]
	if r == nil {
		r = &MemoryRepository{
			registry: m, name: name,
			blobs:     map[digest.Digest][]byte{},
			manifests: map[digest.Digest]*Manifest{},
			tags:      map[string]digest.Digest{},
			uploads:   map[string]*memorySession{},
		}
		m.repositories[name] = r
	}
	return r
}

// MemoryRepository is one repository of a [Memory]. It has every optional ability.
type MemoryRepository struct {
	registry *Memory
	name     string

	// Guarded by registry.mu. Stored bytes are never written to again.
	blobs     map[digest.Digest][]byte
	manifests map[digest.Digest]*Manifest
	tags      map[string]digest.Digest
	uploads   map[string]*memorySession
	sessions  int
}

var (
	_ Target          = (*MemoryRepository)(nil)
	_ Mounter         = (*MemoryRepository)(nil)
	_ RangeFetcher    = (*MemoryRepository)(nil)
	_ UploadResumer   = (*MemoryRepository)(nil)
	_ TagLister       = (*MemoryRepository)(nil)
	_ ReferrersLister = (*MemoryRepository)(nil)
	_ Deleter         = (*MemoryRepository)(nil)
	_ Rereader        = (*MemoryRepository)(nil)
	_ TagFetcher      = (*MemoryRepository)(nil)
)

// Location implements [Located].
func (r *MemoryRepository) Location() Location {
	return Location{Registry: r.registry.name, Repository: r.name}
}

// Resolve implements [Resolver].
func (r *MemoryRepository) Resolve(ctx context.Context, reference string) (Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return Descriptor{}, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	m, err := r.lookup(reference)
	if err != nil {
		return Descriptor{}, err
	}
	return Descriptor{MediaType: m.Descriptor.MediaType, Digest: m.Descriptor.Digest, Size: m.Descriptor.Size}, nil
}

// lookup finds what a tag or a digest names. The caller holds the lock.
func (r *MemoryRepository) lookup(reference string) (*Manifest, error) {
	if err := CheckReference(reference); err != nil {
		return nil, fmt.Errorf("%s: %w", r.Location(), err)
	}
	d, tagged := r.tags[reference]
	if !tagged {
		d = digest.Digest(reference)
	}
	m := r.manifests[d]
	if m == nil {
		return nil, fmt.Errorf("%s: manifest %s: %w", r.Location(), reference, ErrNotFound)
	}
	return m, nil
}

// FetchManifest implements [ManifestFetcher].
func (r *MemoryRepository) FetchManifest(ctx context.Context, d Descriptor) ([]byte, error) {
	if err := checkRequest(ctx, d); err != nil {
		return nil, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	m, err := r.lookup(d.Digest.String())
	if err != nil {
		return nil, err
	}
	return append([]byte(nil), m.Raw...), VerifyBytes(m.Raw, d)
}

// CountsPulls implements [TagFetcher].
func (r *MemoryRepository) CountsPulls() bool { return false }

// FetchTag implements [TagFetcher].
func (r *MemoryRepository) FetchTag(ctx context.Context, tag string) (Descriptor, []byte, error) {
	d, err := r.Resolve(ctx, tag)
	if err != nil {
		return Descriptor{}, nil, err
	}
	raw, err := r.FetchManifest(ctx, d)
	return d, raw, err
}

// PushManifest implements [ManifestPusher]. It refuses manifests that refer to what is not
// in this repository with an [ErrNotFound]; foreign layers and subjects may be missing.
func (r *MemoryRepository) PushManifest(ctx context.Context, d Descriptor, raw []byte, tag string) (ManifestPushed, error) {
	if err := checkRequest(ctx, d); err != nil {
		return ManifestPushed{}, err
	}
	if tag != "" {
		if err := CheckTag(tag); err != nil {
			return ManifestPushed{}, fmt.Errorf("%s: %w", r.Location(), err)
		}
	}
	if err := VerifyBytes(raw, d); err != nil {
		return ManifestPushed{}, err
	}
	m, err := ParseManifest(d, append([]byte(nil), raw...))
	if err != nil {
		return ManifestPushed{}, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	if err := r.checkComplete(m); err != nil {
		return ManifestPushed{}, fmt.Errorf("%s: push manifest %s: %w", r.Location(), d.Digest, err)
	}
	r.manifests[d.Digest] = m
	if tag != "" {
		r.tags[tag] = d.Digest
	}
	if m.Subject == nil {
		return ManifestPushed{}, nil
	}
	return ManifestPushed{Subject: m.Subject.Digest}, nil
}

func (r *MemoryRepository) checkComplete(m *Manifest) error {
	for _, d := range m.Manifests {
		if _, blob := r.blobs[d.Digest]; !blob && r.manifests[d.Digest] == nil {
			return fmt.Errorf("child %s: %w", d.Digest, ErrNotFound)
		}
	}
	for _, d := range m.Blobs() {
		if _, there := r.blobs[d.Digest]; !there && !IsForeign(d) {
			return fmt.Errorf("blob %s: %w", d.Digest, ErrNotFound)
		}
	}
	return nil
}

// checkRequest is what every request about d begins with.
func checkRequest(ctx context.Context, d Descriptor) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return CheckDescriptor(d)
}
