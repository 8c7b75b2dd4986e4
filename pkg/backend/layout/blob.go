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

	"github.com/regsync/regsync/pkg/content"
)

// HasBlob implements [content.BlobPusher]. A blob of another size, or whose bytes do not
// have its digest, is not there: it is to be written again. Bytes are read once for a file
// that stays the same.
func (l *Layout) HasBlob(ctx context.Context, d content.Descriptor) (bool, error) {
	file, err := l.begin(ctx, d)
	if err != nil {
		return false, err
	}
	// Whoever is told that a blob is there relies on it. Where nothing can be locked,
	// nothing can be written either, and the write will say so.
	if err := l.hold(ctx); err != nil && ctx.Err() != nil {
		return false, err
	}
	l.lists.keep(d.Digest)
	return l.intact(ctx, d, file)
}

// intact reports whether file has the size and the digest of d.
func (l *Layout) intact(ctx context.Context, d content.Descriptor, file string) (bool, error) {
	if known, err := l.blobs.check(d, file); known || err != nil {
		return known, notThere(err)
	}
	release, err := l.blobs.lock(ctx, d.Digest)
	if err != nil {
		return false, err
	}
	defer release()
	if known, err := l.blobs.check(d, file); known || err != nil {
		return known, notThere(err)
	}
	stream, err := openRegular(file, os.O_RDONLY)
	if err != nil {
		return false, notThere(err)
	}
	defer stream.Close()
	info, err := stream.Stat()
	if err != nil || info.Size() != d.Size {
		return false, err
	}
	err = readWhole(ctx, content.NewStream(stream, d))
	if errors.Is(err, content.ErrMismatch) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check %s: %w", file, err)
	}
	l.blobs.remember(d.Digest, info)
	return true, nil
}

// readWhole reads to the end, which is no error.
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

// errWrongSize: the file is there, and cannot be the blob.
var errWrongSize = errors.New("wrong size")

// notThere turns the errors that mean "no such blob" into nil.
func notThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errWrongSize) {
		return nil
	}
	return err
}

// FetchBlob implements [content.BlobFetcher].
func (l *Layout) FetchBlob(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	file, err := l.openBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// FetchBlobRange implements [content.RangeFetcher]. A range that is not within the blob is
// an [content.ErrInvalid].
func (l *Layout) FetchBlobRange(ctx context.Context, d content.Descriptor, offset, length int64) (io.ReadCloser, error) {
	file, err := l.openBlob(ctx, d)
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

func (l *Layout) openBlob(ctx context.Context, d content.Descriptor) (*os.File, error) {
	path, err := l.begin(ctx, d)
	if err != nil {
		return nil, err
	}
	file, err := openRegular(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: blob %s: %w", l.path, d.Digest, content.ErrNotFound)
	}
	return file, err
}

// checkedBlobs are the files whose bytes this process has seen to be right. The zero value
// is ready.
type checkedBlobs struct {
	mu    sync.Mutex
	known map[digest.Digest]fs.FileInfo
	busy  map[digest.Digest]chan struct{}
}

func (c *checkedBlobs) remember(d digest.Digest, info fs.FileInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[digest.Digest]fs.FileInfo{}
	}
	c.known[d] = info
}

// forget frees what is remembered of a file that was removed.
func (c *checkedBlobs) forget(d digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, d)
}

// check reports whether file is one that was right and has not changed since. The error is
// that of a file which cannot be d.
func (c *checkedBlobs) check(d content.Descriptor, file string) (bool, error) {
	now, err := os.Stat(file)
	if err != nil {
		return false, err
	}
	if err := checkRegular(file, now); err != nil {
		return false, err
	}
	if now.Size() != d.Size {
		return false, errWrongSize
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	then := c.known[d.Digest]
	return then != nil && os.SameFile(then, now) && then.Size() == now.Size() && then.ModTime().Equal(now.ModTime()), nil
}

// lock waits until nobody else reads the blob to check it.
func (c *checkedBlobs) lock(ctx context.Context, d digest.Digest) (release func(), err error) {
	for {
		c.mu.Lock()
		busy := c.busy[d]
		if busy == nil {
			done := make(chan struct{})
			if c.busy == nil {
				c.busy = map[digest.Digest]chan struct{}{}
			}
			c.busy[d] = done
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				delete(c.busy, d)
				c.mu.Unlock()
				close(done)
			}, nil
		}
		c.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
