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

// The locks are files in privateDir. The end of a process releases its locks. A process that holds
// index.lock reads and replaces index.json, and writes nothing else.
//
//	writers.lock  shared while there may be blobs that no image refers to yet, and during
//	              each change of index.json; exclusive during garbage collection
//	index.lock    exclusive during each change of index.json, that of garbage collection too
//	uploads/*     each file exclusive while its upload is open
const (
	writersLock = "writers.lock"
	indexLock   = "index.lock"
	uploadsDir  = "uploads"
)

// lockPoll is the interval between attempts to take a lock that another process holds, usually for some milliseconds.
const lockPoll = 5 * time.Millisecond

// ErrInUse reports that another process is writing, so it is not known which blobs are garbage.
var ErrInUse = errors.New("in use: images are being written")

// locks are the locks of a layout, and those that this process holds while it writes. Order:
// changing, writers.lock, index.lock. mu is a leaf: nothing waits while it is held.
type locks struct {
	dir
	preview  bool          // nothing is written, and so nothing is locked
	changing chan struct{} // full while this process changes index.json

	uploads sync.Map // the open ones: *upload

	mu      sync.Mutex
	writers *flock.Flock // shared; nil if nothing was written
}

// hold prevents garbage collection until [Layout.Close].
func (l *locks) hold(ctx context.Context) error {
	l.mu.Lock()
	held := l.preview || l.writers != nil
	l.mu.Unlock()
	if held {
		return nil
	}
	lock, err := l.lock(ctx, writersLock, (*flock.Flock).TryRLockContext)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writers != nil { // another upload was first
		unlock(lock)
	} else {
		l.writers = lock
	}
	return nil
}

// tryLock is a method of Flock that takes the lock. It reports whether it has.
type tryLock func(lock *flock.Flock, ctx context.Context, poll time.Duration) (bool, error)

// lock takes one of the locks. It returns nil if try could not take it.
func (l *locks) lock(ctx context.Context, name string, try tryLock) (*flock.Flock, error) {
	if err := l.disk.MkdirAll(l.file(privateDir)); err != nil {
		return nil, diskError(l.file(privateDir), 0, err)
	}
	path := l.file(privateDir, name)
	if info, err := os.Stat(path); err == nil {
		if err := checkRegular(path, info); err != nil {
			return nil, err
		}
	}
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDONLY|nonblock()), flock.SetPermissions(0o644))
	got, err := try(lock, ctx, lockPoll)
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

// exclusively runs change while no other change of index.json runs, in any process.
func (l *locks) exclusively(ctx context.Context, change func() error) error {
	select {
	case l.changing <- struct{}{}:
		defer func() { <-l.changing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	shared, err := l.lock(ctx, writersLock, (*flock.Flock).TryRLockContext)
	if err != nil {
		return err
	}
	defer unlock(shared)
	lock, err := l.lock(ctx, indexLock, (*flock.Flock).TryLockContext)
	if err != nil {
		return err
	}
	defer unlock(lock)
	return change()
}

// lockFile locks a file that exists, for as long as it is the one at path. A nil lock means that
// another process holds it, or that the file was removed.
func lockFile(path string, file diskFile) (*flock.Flock, error) {
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY|nonblock()))
	switch got, err := lock.TryLock(); {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !got:
		return nil, nil
	case err != nil:
		return nil, err
	case file == nil:
		return lock, nil
	}
	locked, err := file.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Stat(path); err == nil && os.SameFile(locked, there) {
			return lock, nil
		}
	}
	unlock(lock)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return nil, err
}

// unlock releases a lock. Errors are ignored: the lock ends with the process at the latest.
func unlock(lock *flock.Flock) { _ = lock.Unlock() }
