package layout

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// upload writes a blob to a file in uploadsDir, which it renames when the blob is complete. The
// file is locked while the upload is open. One without a lock may be continued or removed by any
// process.
type upload struct {
	blobs   *blobs
	blob    content.Descriptor
	session string
	file    diskFile     // nil when the upload has ended
	lock    *flock.Flock // nil when the upload has ended
}

var (
	_ content.ResumableUpload = (*upload)(nil)
	_ content.Suspender       = (*upload)(nil)
)

// StartUpload implements [content.BlobPusher]. The upload is a [content.ResumableUpload].
// Partial files of the same blob that are not in use are removed.
func (b *blobs) StartUpload(ctx context.Context, d content.Descriptor) (content.Upload, error) {
	if _, err := b.begin(ctx, d); err != nil {
		return nil, err
	}
	if err := b.hold(ctx); err != nil {
		return nil, err
	}
	b.removePartials(sessionPrefix(d.Digest), 0)
	for {
		u := &upload{blobs: b, blob: d, session: sessionPrefix(d.Digest) + rand.Text()}
		path := u.path()
		if err := b.disk.MkdirAll(filepath.Dir(path)); err != nil {
			return nil, diskError(filepath.Dir(path), 0, err)
		}
		file, err := b.disk.Create(path)
		if err != nil {
			return nil, diskError(path, d.Size, err)
		}
		took, err := u.take(file)
		if err != nil {
			return nil, err
		}
		if took {
			return u, nil
		}
	}
}

// ResumeUpload implements [content.UploadResumer]. If another process has the session open, the
// error is also an [content.ErrNotFound].
func (b *blobs) ResumeUpload(ctx context.Context, d content.Descriptor, session string) (content.ResumableUpload, error) {
	if _, err := b.begin(ctx, d); err != nil {
		return nil, err
	}
	gone := fmt.Errorf("%s: upload %q of %s: %w", b.path, session, d.Digest, content.ErrNotFound)
	if !validSession(d.Digest, session) {
		return nil, gone
	}
	if err := b.hold(ctx); err != nil {
		return nil, err
	}
	u := &upload{blobs: b, blob: d, session: session}
	file, err := b.disk.OpenFile(u.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, gone
	}
	if err != nil {
		return nil, diskError(u.path(), 0, err)
	}
	if took, err := u.take(file); err != nil {
		return nil, err
	} else if !took {
		return nil, gone
	}
	return u, nil
}

// A session is the name of its file: the digest, a dot, and 26 random letters.
func sessionPrefix(d digest.Digest) string { return d.Algorithm().String() + "-" + d.Encoded() + "." }

// validSession checks a remembered session before it becomes part of a path.
func validSession(d digest.Digest, session string) bool {
	random, is := strings.CutPrefix(session, sessionPrefix(d))
	return is && random != "" && strings.Trim(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// take assigns file to the upload if no other upload has it, in any process. It does not take a
// file that was removed as abandoned before it was locked.
func (u *upload) take(file diskFile) (bool, error) {
	lock, err := lockFile(u.path(), file)
	if lock == nil {
		_ = file.Close()
		return false, diskError(u.path(), 0, err)
	}
	u.file, u.lock = file, lock
	u.blobs.uploads.Store(u, true)
	return true, nil
}

func (u *upload) path() string { return u.blobs.file(privateDir, uploadsDir, u.session) }

// Session implements [content.ResumableUpload]. It is valid in every process.
func (u *upload) Session() string { return u.session }

// Offset implements [content.ResumableUpload].
func (u *upload) Offset(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if u.file == nil {
		return 0, fmt.Errorf("%s: upload %q has ended: %w", u.blobs.path, u.session, content.ErrNotFound)
	}
	info, err := u.file.Stat()
	if err != nil {
		return 0, diskError(u.path(), 0, err)
	}
	return info.Size(), nil
}

// Commit implements [content.Upload].
func (u *upload) Commit(ctx context.Context, s *content.Stream) error { return u.CommitFrom(ctx, 0, s) }

// CommitFrom implements [content.ResumableUpload]. A file that was not written from one stream is
// read once more, because a power failure may have corrupted its beginning.
func (u *upload) CommitFrom(ctx context.Context, offset int64, s *content.Stream) error {
	if err := content.CheckStream(s, u.blob, offset); err != nil {
		return err
	}
	held, err := u.Offset(ctx)
	if err != nil {
		return err
	}
	if offset < 0 || offset > held {
		return fmt.Errorf("%s has %d bytes, want %d: %w", u.path(), held, offset, content.ErrInvalid)
	}
	err = u.write(ctx, offset, s)
	if err == nil && offset > 0 {
		err = u.check(ctx)
	}
	if content.IsCorrupt(err) {
		return errors.Join(err, u.Cancel(ctx))
	}
	if err != nil {
		return err
	}
	return u.publish(ctx)
}

// check verifies a file that was written in several parts.
func (u *upload) check(ctx context.Context) error {
	file := io.NewSectionReader(u.file, 0, u.blob.Size)
	err := readWhole(ctx, content.NewStream(file, u.blob))
	if errors.Is(err, content.ErrMismatch) {
		return fmt.Errorf("%s: the uploaded parts do not match the digest: %w", u.path(), content.ErrMismatch)
	}
	return err
}

func (u *upload) write(ctx context.Context, offset int64, s *content.Stream) error {
	if err := u.file.Truncate(offset); err != nil {
		return diskError(u.path(), 0, err)
	}
	if _, err := u.file.Seek(offset, io.SeekStart); err != nil {
		return diskError(u.path(), 0, err)
	}
	w := &partialWriter{ctx: ctx, upload: u, written: offset}
	_, err := io.CopyBuffer(w, s, make([]byte, min(128<<10, max(1, u.blob.Size))))
	return err
}

// publish renames the verified file to the blob's name.
func (u *upload) publish(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	blobFile, err := u.blobs.blobFile(u.blob.Digest)
	if err != nil {
		return err
	}
	disk := u.blobs.disk
	if err := u.file.Sync(); err != nil {
		return diskError(u.path(), u.blob.Size, err)
	}
	if err := u.blobs.makeBlobsDir(u.blob.Digest.Algorithm()); err != nil {
		return err
	}
	if err := disk.Rename(u.path(), blobFile); err != nil {
		return diskError(blobFile, 0, err)
	}
	if err := disk.SyncDir(filepath.Dir(blobFile)); err != nil {
		return diskError(filepath.Dir(blobFile), 0, err)
	}
	if info, err := u.file.Stat(); err == nil {
		u.blobs.checked.Keep(u.blob.Digest, info)
	}
	return u.Suspend()
}

// Cancel implements [content.Upload]. It removes the partial file.
func (u *upload) Cancel(context.Context) error {
	if u.file == nil {
		return nil
	}
	err := u.blobs.disk.Remove(u.path())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(diskError(u.path(), 0, err), u.Suspend())
}

// Suspend implements [content.Suspender]. It keeps the partial file.
func (u *upload) Suspend() error {
	if _, open := u.blobs.uploads.LoadAndDelete(u); !open {
		return nil
	}
	err := errors.Join(u.file.Close(), u.lock.Unlock())
	u.file, u.lock = nil, nil
	return err
}

// partialWriter writes to an upload's file until its context ends.
type partialWriter struct {
	ctx     context.Context
	upload  *upload
	written int64
}

func (w *partialWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.upload.file.Write(p)
	w.written += int64(n)
	return n, diskError(w.upload.path(), w.upload.blob.Size-w.written, err)
}

// write writes a blob from memory.
func (b *blobs) write(ctx context.Context, d content.Descriptor, raw []byte) error {
	u, err := b.StartUpload(ctx, d)
	if err != nil {
		return err
	}
	if err := u.Commit(ctx, content.NewStream(bytes.NewReader(raw), d)); err != nil {
		return errors.Join(err, u.Cancel(ctx))
	}
	return nil
}

// abandonedAfter is how long the partial file of a process that has ended is kept to be continued.
const abandonedAfter = 24 * time.Hour

// removePartials removes partial files that are not in use.
func (b *blobs) removePartials(prefix string, olderThan time.Duration) (freed int64) {
	entries, _ := os.ReadDir(b.file(privateDir, uploadsDir))
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasPrefix(entry.Name(), prefix) || time.Since(info.ModTime()) < olderThan {
			continue
		}
		path := b.file(privateDir, uploadsDir, entry.Name())
		lock, _ := lockFile(path, nil)
		if lock == nil {
			continue
		}
		if b.disk.Remove(path) == nil {
			freed += info.Size()
		}
		unlock(lock)
	}
	return freed
}
