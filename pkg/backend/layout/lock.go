package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// Three kinds of locks, all in privateDir, all freed by the death of their holder:
//
//	writers.lock  shared while blobs are written that no image refers to yet, and during
//	              each change of index.json; exclusive during garbage collection
//	index.lock    exclusive during each change of index.json, that of garbage collection too
//	uploads/*     each file exclusive while its upload is open
const (
	writersLock = "writers.lock"
	indexLock   = "index.lock"
	uploadsDir  = "uploads"
)

// lockPoll is how often a lock that another process holds is tried; it is held for a few
// milliseconds.
const lockPoll = 5 * time.Millisecond

// ErrInUse: another writer is at work, so that it is not known which blobs are garbage.
var ErrInUse = errors.New("images are being written to it")

// writing is what this process holds because it writes. Its lock is not held while a file is
// opened, locked or removed.
type writing struct {
	mu      sync.Mutex
	lock    *flock.Flock // shared writers.lock; nil where nothing was written
	uploads map[*upload]bool
}

// hold keeps garbage collection away until Close.
func (l *Layout) hold(ctx context.Context) error {
	if l.writing.holds() {
		return nil
	}
	lock, err := l.lockShared(ctx)
	if err != nil {
		return err
	}
	if l.writing.keep(lock) {
		return nil
	}
	unlock(lock) // another upload was first
	return nil
}

func (w *writing) holds() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lock != nil
}

// keep keeps a lock until the end, unless there is one.
func (w *writing) keep(lock *flock.Flock) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lock != nil {
		return false
	}
	w.lock = lock
	return true
}

func (w *writing) add(u *upload) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.uploads == nil {
		w.uploads = map[*upload]bool{}
	}
	w.uploads[u] = true
}

// remove reports whether the upload was there; then the caller releases it.
func (w *writing) remove(u *upload) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	there := w.uploads[u]
	delete(w.uploads, u)
	return there
}

func (l *Layout) lockShared(ctx context.Context) (*flock.Flock, error) {
	return l.lock(writersLock, func(f *flock.Flock) (bool, error) { return f.TryRLockContext(ctx, lockPoll) })
}

func (l *Layout) lockIndex(ctx context.Context) (*flock.Flock, error) {
	return l.lock(indexLock, func(f *flock.Flock) (bool, error) { return f.TryLockContext(ctx, lockPoll) })
}

// lock takes one of the locks by try, which reports whether it has it. Without it the lock
// is nil.
func (l *Layout) lock(name string, try func(*flock.Flock) (bool, error)) (*flock.Flock, error) {
	if err := l.disk.MkdirAll(l.file(privateDir)); err != nil {
		return nil, diskError(l.file(privateDir), 0, err)
	}
	path := l.file(privateDir, name)
	if info, err := os.Stat(path); err == nil {
		if err := checkRegular(path, info); err != nil {
			return nil, err
		}
	}
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDONLY|nonblock), flock.SetPermissions(0o644))
	got, err := try(lock)
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("lock %s: %w", path, err)
	case err != nil:
		return nil, diskError(path, 0, err)
	case !got:
		return nil, nil
	}
	return lock, nil
}

// lockIfThere takes a lock at once, if its file exists and no process has it; else it is nil.
func (l *Layout) lockIfThere(name string) (*flock.Flock, error) {
	return lockFile(l.file(privateDir, name), nil)
}

// locked runs change as the only editor of index.json, in all processes.
func (l *Layout) locked(ctx context.Context, change func() error) error {
	select {
	case l.editing <- struct{}{}:
		defer func() { <-l.editing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	shared, err := l.lockShared(ctx)
	if err != nil {
		return err
	}
	defer unlock(shared)
	lock, err := l.lockIndex(ctx)
	if err != nil {
		return err
	}
	defer unlock(lock)
	return change()
}

// end closes the open uploads, keeping their files, and lets garbage collection in.
func (w *writing) end() error {
	w.mu.Lock()
	uploads, lock := w.uploads, w.lock
	w.uploads, w.lock = nil, nil
	w.mu.Unlock()
	var errs []error
	for u := range uploads {
		errs = append(errs, u.release())
	}
	if lock != nil {
		errs = append(errs, lock.Unlock())
	}
	return errors.Join(errs...)
}

// lockFile locks a file that exists, for as long as it is the one at path. A nil lock
// means that another process holds it, or that it is gone.
func lockFile(path string, file diskFile) (*flock.Flock, error) {
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY|nonblock))
	got, err := lock.TryLock()
	if errors.Is(err, fs.ErrNotExist) || (err == nil && !got) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if file == nil {
		return lock, nil
	}
	locked, err := file.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Stat(path); err == nil && os.SameFile(locked, there) {
			return lock, nil
		}
	}
	_ = lock.Unlock()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return nil, nil
}

// unlock releases a lock. Errors are ignored: the lock ends with the process at the latest.
func unlock(lock *flock.Flock) { _ = lock.Unlock() }
