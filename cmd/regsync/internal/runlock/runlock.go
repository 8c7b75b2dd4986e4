// Package runlock keeps two runs of one configuration on a host from overlapping. Start at [Lock.Run]. The locks are
// those of flock: the end of a process frees them, even if it was killed.
package runlock

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/regsync/regsync/pkg/mirror/config"
)

// poll is how often a lock that another run holds is tried.
const poll = 200 * time.Millisecond

// Lock is the lock of one configuration. It consists of one lock in the state directory, which says who holds it, and
// one on each file that has entries, which holds whatever state directory the other run has and whichever user started it.
type Lock struct {
	// Files are the files of the configuration as the user named them; "-" is standard input.
	Files []string
	// Stdin identifies what came from standard input.
	Stdin string
	// EntryFiles are those that have entries. Files that have only registries are shared by many configurations.
	EntryFiles []string
	// StateDir is the state directory; empty if there is none.
	StateDir string
	// Wait is how long to wait for the other run; 0 does not wait.
	Wait time.Duration
	// Warn takes messages for the user.
	Warn   func(format string, args ...any)
	Logger *slog.Logger
}

// HeldError reports that another run of the same configuration is in progress.
type HeldError struct {
	Files []string
	// Holder is the other run; zero if it is not known.
	Holder Holder
}

// Holder is the process that holds a lock.
type Holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Started time.Time `json:"started"`
}

func (e *HeldError) Error() string {
	files := strings.Join(e.Files, ", ")
	if e.Holder.PID == 0 {
		return fmt.Sprintf("another run of %s is in progress", files)
	}
	return fmt.Sprintf("another run of %s has been in progress since %s (PID %d on %s)",
		files, e.Holder.Started.Format(time.RFC3339), e.Holder.PID, e.Holder.Host)
}

// errWaited is the cause after [Lock.Wait].
var errWaited = errors.New("the other run is still in progress")

// Run calls run while it holds the lock, and returns its error, or a [HeldError] if another run still has the lock after
// [Lock.Wait]. If nothing can be locked, it warns and calls run without a lock: concurrent runs are better than no run.
func (l *Lock) Run(ctx context.Context, run func() error) error {
	waiting, cancel := context.WithTimeoutCause(ctx, l.Wait, errWaited)
	defer cancel()
	state, trouble := l.stateLock()
	locks := l.fileLocks()
	if state != nil {
		locks = slices.Insert(locks, 0, state)
	}
	defer release(locks, state)
	taken := 0
	for _, lock := range locks {
		err := l.take(waiting, lock, state)
		_, held := errors.AsType[*HeldError](err)
		switch {
		case err == nil:
			taken++
		case held || ctx.Err() != nil:
			return err
		default: // not every file system has locks
			l.Logger.Debug("a file cannot be locked", "file", lock.Path(), "error", err)
			trouble = errors.Join(trouble, err)
		}
	}
	if taken == 0 {
		l.Warn("cannot lock the configuration; another run of it may start at the same time: %v", trouble)
	}
	return run()
}

// take takes one lock, and waits for it if necessary.
func (l *Lock) take(waiting context.Context, lock, state *flock.Flock) error {
	got, err := lock.TryLock()
	if err == nil && !got {
		err = l.await(waiting, lock, state)
	}
	if err == nil && lock == state {
		currentProcess(time.Now()).write(lock.Path())
	}
	return err
}

func (l *Lock) await(waiting context.Context, lock, state *flock.Flock) error {
	held := func() error {
		err := &HeldError{Files: l.Files}
		if lock == state {
			err.Holder = readHolder(lock.Path())
		}
		return err
	}
	if l.Wait == 0 {
		return held()
	}
	l.Warn("%v; waiting up to %s", held(), config.FormatDuration(l.Wait))
	_, err := lock.TryLockContext(waiting, poll)
	switch {
	case lock.Locked():
		return nil
	case errors.Is(context.Cause(waiting), errWaited):
		return held() // maybe a third run was faster
	case waiting.Err() != nil:
		return context.Cause(waiting)
	}
	return err
}

// release frees the locks. It first removes the holder from the file of the state lock.
func release(locks []*flock.Flock, state *flock.Flock) {
	if state != nil && state.Locked() {
		_ = os.Truncate(state.Path(), 0) // only messages need it
	}
	for _, lock := range locks {
		_ = lock.Unlock() // the end of the process does it, too
	}
}

// stateLock is the lock in the state directory. Its name is equal for equal files, however they are written and in
// whatever order.
func (l *Lock) stateLock() (*flock.Flock, error) {
	dir, err := locksDir(l.StateDir)
	if err != nil {
		return nil, err
	}
	name, err := l.name()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(name))
	return flock.New(filepath.Join(dir, hex.EncodeToString(sum[:16])+".lock"), flock.SetPermissions(0o600)), nil
}

func (l *Lock) name() (string, error) {
	var names []string
	for _, file := range l.Files {
		if file == "-" {
			names = append(names, "-"+l.Stdin)
			continue
		}
		path, err := filepath.Abs(file)
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			return "", fmt.Errorf("find the configuration: %w", err)
		}
		names = append(names, path)
	}
	slices.Sort(names)
	return strings.Join(names, "\x00"), nil
}

// fileLocks are those of the files that have entries, in one order however the files were given, so that two runs
// cannot wait for each other. On Windows, a lock would keep other processes from reading the file.
func (l *Lock) fileLocks() []*flock.Flock {
	if runtime.GOOS == "windows" {
		return nil
	}
	found := map[string]os.FileInfo{}
	for _, file := range l.EntryFiles {
		path, err := filepath.EvalSymlinks(file)
		if err != nil {
			continue // standard input, or a pipe
		}
		if path, err = filepath.Abs(path); err != nil {
			continue
		}
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && !contains(found, info) {
			found[path] = info
		}
	}
	var locks []*flock.Flock
	for _, path := range slices.Sorted(maps.Keys(found)) {
		locks = append(locks, flock.New(path, flock.SetFlag(os.O_RDONLY)))
	}
	return locks
}

// contains reports whether a file is one of files, under whatever name: a process that locks it twice waits for itself.
func contains(files map[string]os.FileInfo, file os.FileInfo) bool {
	for _, known := range files {
		if os.SameFile(known, file) {
			return true
		}
	}
	return false
}

// locksDir makes the directory of the locks. Without a state directory it is below the system's temporary directory,
// and must belong to this user alone: a lock that another user holds could stop all runs.
func locksDir(state string) (string, error) {
	if state == "" {
		state = filepath.Join(os.TempDir(), fmt.Sprintf("regsync-%d", os.Getuid()))
		if err := os.Mkdir(state, 0o700); err != nil && !os.IsExist(err) {
			return "", err
		}
		info, err := os.Lstat(state)
		if err != nil {
			return "", err
		}
		if !info.IsDir() || !isPrivate(info) {
			return "", fmt.Errorf("%s is not a directory that only this user can write to", state)
		}
	}
	dir := filepath.Join(state, "locks")
	return dir, os.MkdirAll(dir, 0o700)
}

func currentProcess(started time.Time) Holder {
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	return Holder{PID: os.Getpid(), Host: host, Started: started.UTC().Truncate(time.Second)}
}

// write puts the holder into the file of the lock. If that fails, as on Windows, the lock holds all the same.
func (h Holder) write(path string) {
	if raw, err := json.Marshal(h); err == nil {
		_ = os.WriteFile(path, append(raw, '\n'), 0o600) // only messages need it
	}
}

// readHolder returns the zero value if the file does not say.
func readHolder(path string) (h Holder) {
	raw, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(raw, &h) != nil {
		return Holder{}
	}
	return h
}
