package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
)

// uploadAge is how long an upload that broke is remembered: registries purge their sessions after hours or days.
const uploadAge = 24 * time.Hour

// Uploads remembers uploads that are in progress, so that a later process continues what was killed. There is one file
// for each, which the process that has the upload locks: the lock ends with the process. What the file says is a hint:
// the registry says how much it has, and verifies the whole blob in the end.
//
// They are not in the database, because an upload is saved several times a second, and each time would cost a
// transaction.
type Uploads struct {
	dir string

	mu      sync.Mutex
	changed map[*Upload]struct{} // to be written
	writing chan struct{}        // closed when the goroutine that writes them has ended; nil if there is none
}

// NewUploads keeps uploads in a directory, which is created when it is needed. Only its owner may read it, because the
// session of an upload may hold a secret. Files of uploads that broke more than a day ago are removed.
func NewUploads(dir string) *Uploads {
	return &Uploads{dir: dir, changed: map[*Upload]struct{}{}}
}

// Upload is one upload. Its methods may be called concurrently; after Forget and Release they do nothing.
type Upload struct {
	of   *Uploads
	path string
	lock *flock.Flock

	// Guarded by of.mu.
	newest []byte // to be written
	found  bool   // an earlier process saved it
	ended  bool

	disk sync.Mutex // held while the file is written or closed
	file *os.File   // nil when the upload has ended
}

type uploadFile struct {
	Session string `json:"session"`
	State   []byte `json:"state"` // of the hash
}

// Open takes the upload of a blob to a place, for this process alone. It returns nil if another process has it, or if
// nothing can be remembered.
func (u *Uploads) Open(place string, d digest.Digest) *Upload {
	// Windows keeps a locked file from being written through another handle, and from being removed.
	if runtime.GOOS == "windows" || os.MkdirAll(u.dir, 0o700) != nil {
		return nil
	}
	sum := sha256.Sum256([]byte(place + " " + d.String()))
	path := filepath.Join(u.dir, hex.EncodeToString(sum[:16]))
	for range 3 {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil
		}
		lock := flock.New(path)
		locked, err := lock.TryLock()
		if err == nil && locked && isAt(file, path) {
			return &Upload{of: u, path: path, lock: lock, file: file}
		}
		_, _ = lock.Close(), file.Close()
		if err != nil || !locked {
			return nil
		}
	}
	return nil // it was removed each time
}

func isAt(file *os.File, path string) bool {
	held, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(held, there)
}

// Saved returns what was saved last; known is false if nothing was, or too long ago.
func (l *Upload) Saved() (session string, state []byte, known bool) {
	l.disk.Lock()
	defer l.disk.Unlock()
	if l.file == nil {
		return "", nil, false
	}
	info, err := l.file.Stat()
	if err != nil || time.Since(info.ModTime()) > uploadAge {
		return "", nil, false
	}
	raw, err := io.ReadAll(io.NewSectionReader(l.file, 0, maxValue))
	var f uploadFile
	if err != nil || json.Unmarshal(raw, &f) != nil || f.Session == "" {
		return "", nil, false
	}
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	l.found = true
	return f.Session, f.State, true
}

// Save saves the session and the state of the hash. It does not wait for the disk; what a disk does not take is not
// remembered.
func (l *Upload) Save(session string, state []byte) {
	raw, err := json.Marshal(uploadFile{session, state})
	if err != nil {
		return
	}
	u := l.of
	u.mu.Lock()
	defer u.mu.Unlock()
	if l.ended {
		return
	}
	l.newest = raw
	u.changed[l] = struct{}{}
	if u.writing == nil {
		u.writing = make(chan struct{})
		go u.write()
	}
}

// write writes what has changed until nothing has.
func (u *Uploads) write() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.changed) > 0 {
		changed := u.changed
		u.changed = map[*Upload]struct{}{}
		for l := range changed {
			raw := l.newest
			if l.ended {
				continue
			}
			u.mu.Unlock()
			l.disk.Lock()
			l.write(raw)
			l.disk.Unlock()
			u.mu.Lock()
		}
	}
	close(u.writing)
	u.writing = nil
}

// write is called with disk held.
func (l *Upload) write(raw []byte) {
	if l.file == nil {
		return
	}
	if n, err := l.file.WriteAt(raw, 0); err != nil || l.file.Truncate(int64(n)) != nil {
		_ = l.file.Truncate(0)
	}
}

// Forget ends the upload, which is over.
func (l *Upload) Forget() { l.end(true) }

// Release leaves the upload, as it was saved last, to a later process.
func (l *Upload) Release() { l.end(false) }

func (l *Upload) end(over bool) {
	l.of.mu.Lock()
	raw, found, ended := l.newest, l.found, l.ended
	l.ended = true
	l.of.mu.Unlock()
	if ended {
		return
	}
	l.disk.Lock()
	defer l.disk.Unlock()
	switch {
	case over || raw == nil && !found:
		_ = os.Remove(l.path)
	case raw != nil:
		l.write(raw)
	}
	_ = l.file.Close()
	l.file = nil
	_ = l.lock.Close()
}

// Close waits for pending writes, two seconds at most, and removes the files of uploads that broke more than a day ago.
func (u *Uploads) Close() {
	u.mu.Lock()
	writing := u.writing
	u.mu.Unlock()
	if writing != nil {
		select {
		case <-writing:
		case <-time.After(closeWait):
			return // the disk hangs
		}
	}
	entries, _ := os.ReadDir(u.dir)
	for _, entry := range entries {
		if strings.Trim(entry.Name(), "0123456789abcdef") == "" {
			removeOld(filepath.Join(u.dir, entry.Name()))
		}
	}
}

func removeOld(path string) {
	isOld := func() bool {
		info, err := os.Stat(path)
		return err == nil && time.Since(info.ModTime()) > uploadAge
	}
	if !isOld() {
		return
	}
	lock := flock.New(path)
	defer func() { _ = lock.Close() }()
	if locked, err := lock.TryLock(); err == nil && locked && isOld() {
		_ = os.Remove(path)
	}
}
