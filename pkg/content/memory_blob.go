package content

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
)

// HasBlob implements [BlobPusher].
func (r *MemoryRepository) HasBlob(ctx context.Context, d Descriptor) (bool, error) {
	if err := checkRequest(ctx, d); err != nil {
		return false, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	_, there := r.blobs[d.Digest]
	return there, nil
}

// FetchBlob implements [BlobFetcher].
func (r *MemoryRepository) FetchBlob(ctx context.Context, d Descriptor) (io.ReadCloser, error) {
	blob, err := r.blob(ctx, d)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(blob)), nil
}

// FetchBlobRange implements [RangeFetcher]. A range that is not within the blob is an
// [ErrInvalid].
func (r *MemoryRepository) FetchBlobRange(ctx context.Context, d Descriptor, offset, length int64) (io.ReadCloser, error) {
	blob, err := r.blob(ctx, d)
	if err != nil {
		return nil, err
	}
	size := int64(len(blob))
	if offset < 0 || length < 0 || offset > size || length > size-offset {
		return nil, fmt.Errorf("%s: blob %s: %d bytes from %d of %d: %w", r.Location(), d.Digest, length, offset, size, ErrInvalid)
	}
	return io.NopCloser(bytes.NewReader(blob[offset : offset+length])), nil
}

// Rereadable implements [Rereader].
func (r *MemoryRepository) Rereadable() bool { return true }

func (r *MemoryRepository) blob(ctx context.Context, d Descriptor) ([]byte, error) {
	if err := checkRequest(ctx, d); err != nil {
		return nil, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	blob, there := r.blobs[d.Digest]
	if !there {
		return nil, fmt.Errorf("%s: blob %s: %w", r.Location(), d.Digest, ErrNotFound)
	}
	return blob, nil
}

// Mount implements [Mounter]. Where from lacks the blob, an upload is opened.
func (r *MemoryRepository) Mount(ctx context.Context, d Descriptor, from string) (Upload, error) {
	if err := checkRequest(ctx, d); err != nil {
		return nil, err
	}
	if r.takeFrom(d, from) {
		return nil, nil
	}
	return r.StartUpload(ctx, d)
}

func (r *MemoryRepository) takeFrom(d Descriptor, from string) bool {
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

// StartUpload implements [BlobPusher]. The upload is a [ResumableUpload].
func (r *MemoryRepository) StartUpload(ctx context.Context, d Descriptor) (Upload, error) {
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

// ResumeUpload implements [UploadResumer].
func (r *MemoryRepository) ResumeUpload(ctx context.Context, d Descriptor, session string) (ResumableUpload, error) {
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
	blob       Descriptor
	session    string
}

var _ ResumableUpload = (*memoryUpload)(nil)

func (u *memoryUpload) Session() string { return u.session }

func (u *memoryUpload) Offset(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	held, err := u.held()
	return int64(len(held)), err
}

func (u *memoryUpload) Commit(ctx context.Context, s *Stream) error {
	return u.CommitFrom(ctx, 0, s)
}

// CommitFrom keeps the bytes of a stream that ends early for another attempt.
func (u *memoryUpload) CommitFrom(ctx context.Context, offset int64, s *Stream) error {
	if err := CheckStream(s, u.blob, offset); err != nil {
		return err
	}
	held, err := u.held()
	if err != nil {
		return err
	}
	if offset < 0 || offset > int64(len(held)) {
		return fmt.Errorf("%s: upload of %s holds %d bytes, not %d: %w",
			u.repository.Location(), u.blob.Digest, len(held), offset, ErrInvalid)
	}
	got, err := io.ReadAll(io.MultiReader(bytes.NewReader(held[:offset]), &contextReader{ctx: ctx, r: s}))
	if err == nil && offset > 0 && VerifyBytes(got, u.blob) != nil {
		err = fmt.Errorf("%s: upload of %s held other bytes: %w", u.repository.Location(), u.blob.Digest, ErrMismatch)
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
	case IsCorrupt(err):
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
		return nil, fmt.Errorf("%s: upload %q of %s: %w", u.repository.Location(), u.session, u.blob.Digest, ErrNotFound)
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
