// Package layout implements the OCI image layout: a directory of images, as skopeo, crane and
// containerd read and write it (OCI image specification, "image-layout.md").
//
// Start at [Open] and [OpenOrCreate]. A [Layout] has every optional ability of package content
// except mounting, which has no use without repositories.
//
// Several processes may write to one layout at once, and no tag is lost. Everything visible is
// complete: a blob gets its name only after its bytes were checked and synced, and index.json is
// replaced as a whole. A process that is killed leaves only files in the directory .regsync, which
// other tools ignore and the next writer removes.
package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// Layout is one image layout. Open a directory once and share the value: it remembers
// which blobs it has checked. All methods may be called concurrently.
type Layout struct {
	*blobs
	graph  graph
	index  indexFile
	pushes queue
}

var (
	_ content.Target          = (*Layout)(nil)
	_ content.RangeFetcher    = (*Layout)(nil)
	_ content.UploadResumer   = (*Layout)(nil)
	_ content.TagLister       = (*Layout)(nil)
	_ content.ReferrersLister = (*Layout)(nil)
	_ content.Deleter         = (*Layout)(nil)
	_ content.Rereader        = (*Layout)(nil)
)

// Open opens the layout in the directory path. It writes nothing. If there is no
// layout, the error is a [content.ErrNotFound] that says what is missing; if there is
// one of another version, a [content.ErrUnsupported].
func Open(path string) (*Layout, error) {
	l, err := at(path, realDisk{})
	if err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return l, nil
}

// OpenOrCreate opens the layout in the directory path for writing. It creates the directory and the
// layout if they do not exist, and refuses a directory with other files. It removes temporary files
// of earlier writers.
func OpenOrCreate(path string) (*Layout, error) { return openOrCreate(path, realDisk{}) }

func openOrCreate(path string, d disk) (*Layout, error) {
	l, err := at(path, d)
	if err != nil {
		return nil, err
	}
	if err := l.check(); errors.Is(err, content.ErrNotFound) {
		if l, err = create(l); err != nil {
			return nil, fmt.Errorf("create the OCI layout %s: %w", path, err)
		}
	} else if err != nil {
		return nil, err
	}
	l.removePartials("", abandonedAfter)
	if lock, _ := lockFile(l.file(privateDir, indexLock), nil); lock != nil {
		_ = l.disk.Remove(l.file(privateDir, ocispec.ImageIndexFile+".new"))
		_ = l.disk.Remove(l.file(privateDir, ocispec.ImageLayoutFile+".new"))
		unlock(lock)
	}
	return l, nil
}

// Preview opens the layout in the directory path for planning. If it does not exist, it is treated
// as empty. Nothing is created, and the layout must not be written to.
func Preview(path string) (*Layout, error) {
	l, err := at(path, realDisk{})
	if err != nil {
		return nil, err
	}
	l.preview = true
	if err := l.check(); err != nil && !errors.Is(err, content.ErrNotFound) {
		return nil, err
	}
	return l, nil
}

// at returns the layout of a directory, with a canonical path.
func at(path string, d disk) (*Layout, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if resolved, err := filepath.EvalSymlinks(absolute); err == nil {
		absolute = resolved
	}
	b := &blobs{locks: locks{dir: dir{absolute, d}, changing: make(chan struct{}, 1)}}
	return &Layout{blobs: b, graph: graph{blobs: b}, index: indexFile{blobs: b}}, nil
}

// Path returns the absolute path of the layout's directory.
func (l *Layout) Path() string { return l.path }

// Location implements [content.Located]: "oci:" and the absolute path.
func (l *Layout) Location() content.Location {
	return content.Location{Registry: "oci:" + l.path}
}

// Rereadable implements [content.Rereader]: files may be read again.
func (l *Layout) Rereadable() bool { return true }

// Repository returns the repository of a name such as "docker.io/library/nginx". The transport is the
// prefix of its [Repository.Location]: "oci", or that of a store that keeps its images in the layout.
func (l *Layout) Repository(transport, name string) *Repository {
	return &Repository{layout: l, transport: transport, name: name}
}

// Close releases the lock that keeps [Layout.GC] of other processes from removing blobs that no
// image refers to yet, and closes open uploads, which can be resumed. The layout may be used again.
func (l *Layout) Close() error {
	var errs []error
	l.uploads.Range(func(u, _ any) bool {
		errs = append(errs, u.(*upload).Suspend()) //nolint:forcetypeassert // nothing else is in it
		return true
	})
	l.mu.Lock()
	lock := l.writers
	l.writers = nil
	l.mu.Unlock()
	if lock != nil {
		errs = append(errs, lock.Unlock())
	}
	return errors.Join(errs...)
}

// GC removes blobs that no listed image needs, referrers of images that no longer exist, and
// partial uploads that no process has open. It returns the number of bytes freed.
//
// While a process writes to the layout, this one or another, it does nothing and returns an
// [ErrInUse]; this process writes until its [Layout.Close]. Other tools do not use that lock: do
// not call GC while they write. If it cannot read everything that an image refers to, it removes
// nothing.
func (l *Layout) GC(ctx context.Context) (freed int64, err error) {
	lock, err := l.lock(ctx, writersLock, func(lock *flock.Flock, _ context.Context, _ time.Duration) (bool, error) { return lock.TryLock() })
	if err != nil {
		return 0, err
	}
	if lock == nil {
		return 0, fmt.Errorf("delete unused blobs of %s: %w", l.path, ErrInUse)
	}
	defer unlock(lock)
	c := &collector{Layout: l, used: map[digest.Digest]bool{}, lists: map[string]bool{}}
	if freed, err = c.run(ctx); err != nil {
		err = fmt.Errorf("delete unused blobs of %s: %w", l.path, err)
	}
	return freed, err
}

// check returns an error if there is no layout, which says what is missing.
func (l *Layout) check() error {
	raw, err := readBounded(l.file(ocispec.ImageLayoutFile), content.MaxManifestSize)
	if errors.Is(err, fs.ErrNotExist) {
		missing := "no file " + ocispec.ImageLayoutFile
		if _, err := os.Stat(l.path); errors.Is(err, fs.ErrNotExist) {
			missing = "no such directory"
		}
		return &NoLayoutError{l.path, missing}
	}
	if err != nil {
		return fmt.Errorf("open the OCI layout %s: %w", l.path, err)
	}
	var version ocispec.ImageLayout
	if err := json.Unmarshal(raw, &version); err != nil {
		return fmt.Errorf("%s: %w: %w", l.file(ocispec.ImageLayoutFile), content.ErrInvalid, err)
	}
	if version.Version != ocispec.ImageLayoutVersion {
		return fmt.Errorf("%s: layout version %q, want %q: %w",
			l.file(ocispec.ImageLayoutFile), version.Version, ocispec.ImageLayoutVersion, content.ErrUnsupported)
	}
	if _, err := os.Stat(l.file(ocispec.ImageIndexFile)); errors.Is(err, fs.ErrNotExist) {
		return &NoLayoutError{l.path, "no file " + ocispec.ImageIndexFile}
	}
	return nil
}

// create makes an empty layout; the file oci-layout, which marks it as one, is written last.
func create(l *Layout) (*Layout, error) {
	if err := l.checkForeignFiles(); err != nil {
		return nil, err
	}
	if err := l.disk.MkdirAll(l.path); err != nil {
		return nil, diskError(l.path, 0, err)
	}
	l, err := at(l.path, l.disk) // its symbolic links can be resolved now
	if err != nil {
		return nil, err
	}
	err = l.exclusively(context.Background(), func() error {
		if err := l.makeBlobsDir(digest.SHA256); err != nil {
			return err
		}
		if _, err := os.Stat(l.file(ocispec.ImageIndexFile)); errors.Is(err, fs.ErrNotExist) {
			if err := l.index.write(newIndex()); err != nil {
				return err
			}
		}
		version, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
		if err != nil {
			return err
		}
		return l.replace(ocispec.ImageLayoutFile, version)
	})
	return l, err
}

// checkForeignFiles refuses to make a layout in a directory with other files.
func (l *Layout) checkForeignFiles() error {
	entries, err := os.ReadDir(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError(l.path, 0, err)
	}
	for _, entry := range entries {
		switch entry.Name() {
		case privateDir, ocispec.ImageBlobsDir, ocispec.ImageIndexFile, ocispec.ImageLayoutFile, "lost+found":
		default:
			return fmt.Errorf("the directory is not an OCI layout, and not empty: it contains %q", entry.Name())
		}
	}
	return nil
}

// CheckWrite checks whether the layout in the directory path can be written to or, if it does not
// exist, created. It leaves no files.
func CheckWrite(path string) error {
	l, err := at(path, realDisk{})
	if err != nil {
		return err
	}
	if err = l.check(); errors.Is(err, content.ErrNotFound) {
		err = l.checkForeignFiles()
	}
	if err != nil {
		return err
	}
	dir, err := nearest(l.path)
	if err != nil {
		return diskError(l.path, 0, err)
	}
	// Only an attempt shows what permissions, mounts and quotas allow.
	probe, err := os.MkdirTemp(dir, ".regsync-check-")
	if err != nil {
		return diskError(dir, 0, err)
	}
	return diskError(dir, 0, os.Remove(probe))
}

// nearest returns the innermost existing directory of a path.
func nearest(path string) (string, error) {
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s: %w", path, syscall.ENOTDIR)
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path):
			return "", err
		}
		path = filepath.Dir(path)
	}
}

// NoLayoutError is the error for a path without a layout. It is a [content.ErrNotFound].
type NoLayoutError struct {
	Path string
	// Missing is the part of a layout that was not found.
	Missing string
}

func (e *NoLayoutError) Error() string {
	return fmt.Sprintf("%s is not an OCI layout: %s", e.Path, e.Missing)
}

func (e *NoLayoutError) Unwrap() error { return content.ErrNotFound }
