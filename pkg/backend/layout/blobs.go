package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
)

// blobs are the files of a layout's blobs and manifests.
type blobs struct {
	locks
	checked  flight.Memo[digest.Digest, fs.FileInfo] // files that this process has verified
	checking flight.Locks[digest.Digest]

	// own has the digests of lists of referrers that this process has written and to which, as far as it
	// knows, only their entry in index.json refers. A list that is read as a blob or manifest is removed
	// from it.
	own sync.Map
}

// begin is the first step of every operation on d.
func (b *blobs) begin(ctx context.Context, d content.Descriptor) (file string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := content.CheckDescriptor(d); err != nil {
		return "", fmt.Errorf("%s: %w", b.path, err)
	}
	return b.blobFile(d.Digest)
}

// HasBlob implements [content.BlobPusher]. It returns false for a file that has another size or digest, so that it is
// written again.
func (b *blobs) HasBlob(ctx context.Context, d content.Descriptor) (bool, error) {
	file, err := b.begin(ctx, d)
	if err != nil {
		return false, err
	}
	// A blob that was reported as existing must not be removed. If the lock cannot be taken, nothing can be written
	// either, and the write returns the error.
	if err := b.hold(ctx); err != nil && ctx.Err() != nil {
		return false, err
	}
	b.own.Delete(d.Digest)
	return b.intact(ctx, d, file)
}

// intact reports whether file has the size and the digest of d. Its bytes are read only if the file has changed since
// the last time.
func (b *blobs) intact(ctx context.Context, d content.Descriptor, file string) (bool, error) {
	unlock, err := b.checking.Lock(ctx, d.Digest)
	if err != nil {
		return false, err
	}
	defer unlock()
	stream, err := openRegular(file, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer stream.Close()
	info, err := stream.Stat()
	if err != nil || info.Size() != d.Size {
		return false, err
	}
	if checked, found := b.checked.Find(d.Digest); found && unchanged(checked, info) {
		return true, nil
	}
	err = readWhole(ctx, content.NewStream(stream, d))
	if errors.Is(err, content.ErrMismatch) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check %s: %w", file, err)
	}
	b.checked.Keep(d.Digest, info)
	return true, nil
}

// unchanged reports whether a file is the same as before, according to its metadata.
func unchanged(then, now fs.FileInfo) bool {
	return os.SameFile(then, now) && then.Size() == now.Size() && then.ModTime().Equal(now.ModTime())
}

// hasFile compares sizes only: bytes were checked when they were written.
func (b *blobs) hasFile(d content.Descriptor) bool {
	b.own.Delete(d.Digest)
	file, err := b.blobFile(d.Digest)
	if err != nil {
		return false
	}
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Size() == d.Size
}

// readWhole reads to the end. The end is not an error.
func readWhole(ctx context.Context, s *content.Stream) error {
	for buffer := make([]byte, 256<<10); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := s.Read(buffer); err != nil {
			return s.Err()
		}
	}
}

// FetchBlob implements [content.BlobFetcher].
func (b *blobs) FetchBlob(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	file, err := b.openBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// FetchBlobRange implements [content.RangeFetcher]. A range that is not within the blob is
// an [content.ErrInvalid].
func (b *blobs) FetchBlobRange(ctx context.Context, d content.Descriptor, offset, length int64) (io.ReadCloser, error) {
	file, err := b.openBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && (offset < 0 || length < 0 || offset > info.Size() || length > info.Size()-offset) {
		err = fmt.Errorf("%s: %d bytes from %d of %d: %w", file.Name(), length, offset, info.Size(), content.ErrInvalid)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return section{io.NewSectionReader(file, offset, length), file}, nil
}

type section struct {
	*io.SectionReader
	io.Closer
}

func (b *blobs) openBlob(ctx context.Context, d content.Descriptor) (*os.File, error) {
	path, err := b.begin(ctx, d)
	if err != nil {
		return nil, err
	}
	file, err := openRegular(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: blob %s: %w", b.path, d.Digest, content.ErrNotFound)
	}
	return file, err
}

// FetchManifest implements [content.ManifestFetcher].
func (b *blobs) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	file, err := b.begin(ctx, d)
	if err != nil {
		return nil, err
	}
	raw, err := readBounded(file, content.MaxManifestSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", file, content.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if err := content.VerifyBytes(raw, d); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return raw, nil
}
