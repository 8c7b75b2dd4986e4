package layout

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// privateDir holds locks, and files that are being written.
const privateDir = ".regsync"

// dir is the directory of a layout.
type dir struct {
	path string // absolute
	disk disk
}

func (d dir) file(elements ...string) string {
	return filepath.Join(append([]string{d.path}, elements...)...)
}

// blobFile returns the path of a blob. The digest must have been checked, because it becomes part of a path.
func (d dir) blobFile(blob digest.Digest) (string, error) {
	if err := content.CheckDescriptor(content.Descriptor{Digest: blob}); err != nil {
		return "", fmt.Errorf("%s: %w", d.path, err)
	}
	return d.file(ocispec.ImageBlobsDir, blob.Algorithm().String(), blob.Encoded()), nil
}

// makeBlobsDir creates the directory of an algorithm's blobs, durably, if it does not exist.
func (d dir) makeBlobsDir(algorithm digest.Algorithm) error {
	blobs := d.file(ocispec.ImageBlobsDir)
	path := filepath.Join(blobs, algorithm.String())
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := d.disk.MkdirAll(path); err != nil {
		return diskError(path, 0, err)
	}
	return diskError(blobs, 0, errors.Join(d.disk.SyncDir(blobs), d.disk.SyncDir(d.path)))
}

// replace writes a file of the layout's top directory as a whole. The caller holds index.lock, so
// one temporary name is enough.
func (d dir) replace(name string, raw []byte) error {
	fresh := d.file(privateDir, name+".new")
	if err := d.disk.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError(fresh, 0, err)
	}
	file, err := d.disk.Create(fresh)
	if err != nil {
		return diskError(fresh, int64(len(raw)), err)
	}
	_, err = file.Write(raw)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = d.disk.Remove(fresh)
		return diskError(fresh, int64(len(raw)), err)
	}
	if err := d.disk.Rename(fresh, d.file(name)); err != nil {
		return diskError(d.file(name), 0, err)
	}
	return diskError(d.path, 0, d.disk.SyncDir(d.path))
}

// disk has the writing operations of a file system. Tests replace it with one that is full or read-only.
type disk interface {
	MkdirAll(path string) error
	// Create creates a file for reading and writing. The file must not exist.
	Create(path string) (diskFile, error)
	// OpenFile opens an existing file for reading and writing.
	OpenFile(path string) (diskFile, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(path string) error
}

type diskFile interface {
	io.Writer
	io.ReaderAt
	io.Seeker
	io.Closer
	Stat() (fs.FileInfo, error)
	Sync() error
	Truncate(size int64) error
}

type realDisk struct{}

func (realDisk) MkdirAll(path string) error { return os.MkdirAll(path, 0o755) }

func (realDisk) Create(path string) (diskFile, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
}

func (realDisk) OpenFile(path string) (diskFile, error) {
	file, err := openRegular(path, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (realDisk) Rename(from, to string) error { return os.Rename(from, to) }

func (realDisk) Remove(path string) error { return os.Remove(path) }

func (realDisk) SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// DiskError reports that a layout cannot be written to, with advice for users. errors.Is finds the
// cause (syscall.ENOSPC, fs.ErrPermission …).
type DiskError struct {
	// Path is what could not be written.
	Path string
	// Need is the number of bytes that must be free in the file system of Path; 0 if space is not the
	// cause, or the number is not known.
	Need int64
	Err  error
}

func (e *DiskError) Error() string {
	switch {
	case e.Full() && e.Need > 0:
		return fmt.Sprintf("%s: %v; free at least %d bytes in its file system", e.Path, e.cause(), e.Need)
	case e.Full():
		return fmt.Sprintf("%s: %v; free space in its file system", e.Path, e.cause())
	case errors.Is(e.Err, syscall.EROFS):
		return fmt.Sprintf("%s: %v; mount it writable, or choose another directory", e.Path, e.cause())
	case errors.Is(e.Err, fs.ErrPermission):
		return fmt.Sprintf("%s: %v; allow this user to write there, or choose another directory", e.Path, e.cause())
	default:
		return fmt.Sprintf("%s: %v", e.Path, e.cause())
	}
}

func (e *DiskError) Unwrap() error { return e.Err }

// Full reports whether the file system, or the user's quota on it, is used up.
func (e *DiskError) Full() bool {
	return errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT)
}

// ReadOnly reports whether this user has no permission to write there.
func (e *DiskError) ReadOnly() bool {
	return errors.Is(e.Err, syscall.EROFS) || errors.Is(e.Err, fs.ErrPermission)
}

// cause removes the path that an fs.PathError repeats.
func (e *DiskError) cause() error {
	if pathErr, is := errors.AsType[*fs.PathError](e.Err); is {
		return pathErr.Err
	}
	if linkErr, is := errors.AsType[*os.LinkError](e.Err); is {
		return linkErr.Err
	}
	return e.Err
}

// diskError wraps err, the result of writing to path, in a DiskError, unless it is one already.
func diskError(path string, need int64, err error) error {
	if err == nil {
		return nil
	}
	if _, is := errors.AsType[*DiskError](err); is {
		return err
	}
	return &DiskError{Path: path, Need: need, Err: err}
}

// openRegular opens a file of a layout, which may come from an untrusted source. If it is not a regular
// file, the error is an [content.ErrInvalid]: opening a named pipe waits for its other end, and opening a
// device may have side effects.
func openRegular(path string, flag int) (*os.File, error) {
	info, err := os.Stat(path)
	if err == nil {
		err = checkRegular(path, info)
	}
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, flag|nonblock(), 0)
	if err != nil {
		return nil, err
	}
	info, err = file.Stat()
	if err == nil {
		err = checkRegular(path, info) // it may have been replaced
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// nonblock is the flag with which opening a named pipe does not wait for the other end. Windows has no named
// pipes in directories, and another meaning for the flag.
func nonblock() int {
	if runtime.GOOS == "windows" {
		return 0
	}
	return syscall.O_NONBLOCK
}

func checkRegular(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("%s is %s, not a regular file: %w", path, kind(info.Mode()), content.ErrInvalid)
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	default:
		return "something else"
	}
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	file, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s is larger than the limit of %d bytes: %w", path, limit, content.ErrInvalid)
	}
	return raw, nil
}
