package contenttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
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
			manifests: map[digest.Digest]*content.Manifest{},
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
	manifests map[digest.Digest]*content.Manifest
	tags      map[string]digest.Digest
	uploads   map[string]*memorySession
	sessions  int
}

var (
	_ content.Target          = (*MemoryRepository)(nil)
	_ content.Mounter         = (*MemoryRepository)(nil)
	_ content.RangeFetcher    = (*MemoryRepository)(nil)
	_ content.UploadResumer   = (*MemoryRepository)(nil)
	_ content.TagLister       = (*MemoryRepository)(nil)
	_ content.ReferrersLister = (*MemoryRepository)(nil)
	_ content.Deleter         = (*MemoryRepository)(nil)
	_ content.Rereader        = (*MemoryRepository)(nil)
	_ content.TagFetcher      = (*MemoryRepository)(nil)
)

// Location implements [content.Located].
func (r *MemoryRepository) Location() content.Location {
	return content.Location{Registry: r.registry.name, Repository: r.name}
}

// Resolve implements [content.Resolver].
func (r *MemoryRepository) Resolve(ctx context.Context, reference string) (content.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return content.Descriptor{}, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	m, err := r.lookup(reference)
	if err != nil {
		return content.Descriptor{}, err
	}
	return content.Descriptor{MediaType: m.Descriptor.MediaType, Digest: m.Descriptor.Digest, Size: m.Descriptor.Size}, nil
}

// lookup finds what a tag or a digest names. The caller holds the lock.
func (r *MemoryRepository) lookup(reference string) (*content.Manifest, error) {
	if err := content.CheckReference(reference); err != nil {
		return nil, fmt.Errorf("%s: %w", r.Location(), err)
	}
	d, tagged := r.tags[reference]
	if !tagged {
		d = digest.Digest(reference)
	}
	m := r.manifests[d]
	if m == nil {
		return nil, fmt.Errorf("%s: manifest %s: %w", r.Location(), reference, content.ErrNotFound)
	}
	return m, nil
}

// FetchManifest implements [content.ManifestFetcher].
func (r *MemoryRepository) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	if err := checkRequest(ctx, d); err != nil {
		return nil, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	m, err := r.lookup(d.Digest.String())
	if err != nil {
		return nil, err
	}
	return append([]byte(nil), m.Raw...), content.VerifyBytes(m.Raw, d)
}

// CountsPulls implements [content.TagFetcher].
func (r *MemoryRepository) CountsPulls() bool { return false }

// FetchTag implements [content.TagFetcher].
func (r *MemoryRepository) FetchTag(ctx context.Context, tag string) (content.Descriptor, []byte, error) {
	d, err := r.Resolve(ctx, tag)
	if err != nil {
		return content.Descriptor{}, nil, err
	}
	raw, err := r.FetchManifest(ctx, d)
	return d, raw, err
}

// PushManifest implements [content.ManifestPusher]. It refuses manifests that refer to what is not
// in this repository with an [content.ErrNotFound]; foreign layers and subjects may be missing.
func (r *MemoryRepository) PushManifest(ctx context.Context, d content.Descriptor, raw []byte, tag string) (content.ManifestPushed, error) {
	if err := checkRequest(ctx, d); err != nil {
		return content.ManifestPushed{}, err
	}
	if tag != "" {
		if err := content.CheckTag(tag); err != nil {
			return content.ManifestPushed{}, fmt.Errorf("%s: %w", r.Location(), err)
		}
	}
	if err := content.VerifyBytes(raw, d); err != nil {
		return content.ManifestPushed{}, err
	}
	m, err := content.ParseManifest(d, append([]byte(nil), raw...))
	if err != nil {
		return content.ManifestPushed{}, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	if err := r.checkComplete(m); err != nil {
		return content.ManifestPushed{}, fmt.Errorf("%s: push manifest %s: %w", r.Location(), d.Digest, err)
	}
	r.manifests[d.Digest] = m
	if tag != "" {
		r.tags[tag] = d.Digest
	}
	if m.Subject == nil {
		return content.ManifestPushed{}, nil
	}
	return content.ManifestPushed{Subject: m.Subject.Digest}, nil
}

func (r *MemoryRepository) checkComplete(m *content.Manifest) error {
	for _, d := range m.Manifests {
		if _, blob := r.blobs[d.Digest]; !blob && r.manifests[d.Digest] == nil {
			return fmt.Errorf("child %s: %w", d.Digest, content.ErrNotFound)
		}
	}
	for _, d := range m.Blobs() {
		if _, there := r.blobs[d.Digest]; !there && !content.IsForeign(d) {
			return fmt.Errorf("blob %s: %w", d.Digest, content.ErrNotFound)
		}
	}
	return nil
}

// checkRequest is what every request about d begins with.
func checkRequest(ctx context.Context, d content.Descriptor) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return content.CheckDescriptor(d)
}

// HasBlob implements [content.BlobPusher].
func (r *MemoryRepository) HasBlob(ctx context.Context, d content.Descriptor) (bool, error) {
	if err := checkRequest(ctx, d); err != nil {
		return false, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	_, there := r.blobs[d.Digest]
	return there, nil
}

// FetchBlob implements [content.BlobFetcher].
func (r *MemoryRepository) FetchBlob(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	blob, err := r.blob(ctx, d)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(blob)), nil
}

// FetchBlobRange implements [content.RangeFetcher]. A range that is not within the blob is an
// [content.ErrInvalid].
func (r *MemoryRepository) FetchBlobRange(ctx context.Context, d content.Descriptor, offset, length int64) (io.ReadCloser, error) {
	blob, err := r.blob(ctx, d)
	if err != nil {
		return nil, err
	}
	size := int64(len(blob))
	if offset < 0 || length < 0 || offset > size || length > size-offset {
		return nil, fmt.Errorf("%s: blob %s: %d bytes from %d of %d: %w", r.Location(), d.Digest, length, offset, size, content.ErrInvalid)
	}
	return io.NopCloser(bytes.NewReader(blob[offset : offset+length])), nil
}

// Rereadable implements [content.Rereader].
func (r *MemoryRepository) Rereadable() bool { return true }

func (r *MemoryRepository) blob(ctx context.Context, d content.Descriptor) ([]byte, error) {
	if err := checkRequest(ctx, d); err != nil {
		return nil, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	blob, there := r.blobs[d.Digest]
	if !there {
		return nil, fmt.Errorf("%s: blob %s: %w", r.Location(), d.Digest, content.ErrNotFound)
	}
	return blob, nil
}

// Mount implements [content.Mounter]. Where from lacks the blob, an upload is opened.
func (r *MemoryRepository) Mount(ctx context.Context, d content.Descriptor, from string) (content.Upload, error) {
	if err := checkRequest(ctx, d); err != nil {
		return nil, err
	}
	if r.takeFrom(d, from) {
		return nil, nil
	}
	return r.StartUpload(ctx, d)
}

func (r *MemoryRepository) takeFrom(d content.Descriptor, from string) bool {
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	other := r.registry.repositories[from]
	if other == nil {
		return false
	}
	blob, there := other.blobs[d.Digest]
	if there {
		r.blobs[d.Digest] = blob
	}
	return there
}

// StartUpload implements [content.BlobPusher]. The upload is a [content.ResumableUpload].
func (r *MemoryRepository) StartUpload(ctx context.Context, d content.Descriptor) (content.Upload, error) {
	if err := checkRequest(ctx, d); err != nil {
		return nil, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	r.sessions++
	name := strconv.Itoa(r.sessions)
	r.uploads[name] = &memorySession{}
	return &memoryUpload{repository: r, blob: d, session: name}, nil
}

// ResumeUpload implements [content.UploadResumer].
func (r *MemoryRepository) ResumeUpload(ctx context.Context, d content.Descriptor, session string) (content.ResumableUpload, error) {
	if err := checkRequest(ctx, d); err != nil {
		return nil, err
	}
	u := &memoryUpload{repository: r, blob: d, session: session}
	_, err := u.held()
	return u, err
}

// memorySession is what is kept of an upload that has not ended. Its bytes are guarded by
// the registry's lock.
type memorySession struct {
	bytes []byte
}

type memoryUpload struct {
	repository *MemoryRepository
	blob       content.Descriptor
	session    string
}

var _ content.ResumableUpload = (*memoryUpload)(nil)

func (u *memoryUpload) Session() string { return u.session }

func (u *memoryUpload) Offset(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	held, err := u.held()
	return int64(len(held)), err
}

func (u *memoryUpload) Commit(ctx context.Context, s *content.Stream) error {
	return u.CommitFrom(ctx, 0, s)
}

// CommitFrom keeps the bytes of a stream that ends early for another attempt.
func (u *memoryUpload) CommitFrom(ctx context.Context, offset int64, s *content.Stream) error {
	if err := content.CheckStream(s, u.blob, offset); err != nil {
		return err
	}
	held, err := u.held()
	if err != nil {
		return err
	}
	if offset < 0 || offset > int64(len(held)) {
		return fmt.Errorf("%s: upload of %s holds %d bytes, not %d: %w",
			u.repository.Location(), u.blob.Digest, len(held), offset, content.ErrInvalid)
	}
	got, err := io.ReadAll(io.MultiReader(bytes.NewReader(held[:offset]), &contextReader{ctx: ctx, r: s}))
	if err == nil && offset > 0 && content.VerifyBytes(got, u.blob) != nil {
		err = fmt.Errorf("%s: upload of %s held other bytes: %w", u.repository.Location(), u.blob.Digest, content.ErrMismatch)
	}
	u.settle(got, err)
	return err
}

// settle makes a complete blob visible and ends its session, or keeps what came of it.
func (u *memoryUpload) settle(got []byte, err error) {
	r := u.repository
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	switch {
	case err == nil:
		r.blobs[u.blob.Digest] = got
		delete(r.uploads, u.session)
	case content.IsCorrupt(err):
		delete(r.uploads, u.session)
	case r.uploads[u.session] != nil:
		r.uploads[u.session].bytes = got
	}
}

func (u *memoryUpload) Cancel(context.Context) error {
	u.repository.registry.mu.Lock()
	defer u.repository.registry.mu.Unlock()
	delete(u.repository.uploads, u.session)
	return nil
}

func (u *memoryUpload) held() ([]byte, error) {
	u.repository.registry.mu.Lock()
	defer u.repository.registry.mu.Unlock()
	s := u.repository.uploads[u.session]
	if s == nil {
		return nil, fmt.Errorf("%s: upload %q of %s: %w", u.repository.Location(), u.session, u.blob.Digest, content.ErrNotFound)
	}
	return s.bytes, nil
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if ended := c.ctx.Err(); ended != nil {
		return n, ended
	}
	return n, err
}

// Tags implements [content.TagLister], in the order of the alphabet.
func (r *MemoryRepository) Tags(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, tag := range r.tagNames() {
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
			if !yield(tag, nil) {
				return
			}
		}
	}
}

func (r *MemoryRepository) tagNames() []string {
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	return slices.Sorted(maps.Keys(r.tags))
}

// Referrers implements [content.ReferrersLister].
func (r *MemoryRepository) Referrers(ctx context.Context, subject digest.Digest) ([]content.Descriptor, error) {
	if err := checkRequest(ctx, content.Descriptor{Digest: subject}); err != nil {
		return nil, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	var referrers []content.Descriptor
	for _, m := range r.manifests {
		if m.Subject != nil && m.Subject.Digest == subject {
			referrers = append(referrers, m.Referrer())
		}
	}
	slices.SortFunc(referrers, func(a, b content.Descriptor) int {
		return strings.Compare(a.Digest.String(), b.Digest.String())
	})
	return referrers, nil
}

// Delete implements [content.Deleter].
func (r *MemoryRepository) Delete(ctx context.Context, reference string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	m, err := r.lookup(reference)
	if err != nil {
		return err
	}
	if _, tagged := r.tags[reference]; tagged {
		delete(r.tags, reference)
		return nil
	}
	delete(r.manifests, m.Descriptor.Digest)
	maps.DeleteFunc(r.tags, func(_ string, d digest.Digest) bool { return d == m.Descriptor.Digest })
	return nil
}
