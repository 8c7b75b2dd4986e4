package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// asideWait is how long other processes may use the damaged database, or take to set it aside.
	asideWait = time.Second
	lockEvery = 10 * time.Millisecond
	// maxAside is how many damaged databases are kept, so that the cause can be found.
	maxAside = 3
)

// share keeps other processes from setting the database aside as long as this one uses it: SQLite finds the journal of a
// database by its name, and a process that has the old file open would play the journal of the new one into it, and delete it.
// The lock is one on the directory, which works where no file can be made. Without a directory, or where its file system has
// no locks, there is none.
func (d *database) share() error {
	if d.using != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), asideWait)
	defer cancel()
	lock := directoryLock(d.path)
	got, err := lock.TryRLockContext(ctx, lockEvery)
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("another process keeps it locked")
	}
	if got {
		d.using = lock
	}
	return nil
}

// unshare ends what share began.
func (d *database) unshare() {
	if d.using != nil {
		_ = d.using.Unlock() // the end of the process would do it, too
		d.using = nil
	}
}

func directoryLock(path string) *flock.Flock {
	return flock.New(filepath.Dir(path), flock.SetFlag(os.O_RDONLY))
}

// setAside renames a damaged database, and reports whether it is out of the way. It waits until no other process uses the
// database. If another process has set it aside meanwhile, the new one is left alone.
func (d *database) setAside() bool {
	d.unshare()
	lock := directoryLock(d.path)
	defer func() { _ = lock.Unlock() }()
	for began := time.Now(); time.Since(began) < asideWait; time.Sleep(lockEvery) {
		if got, err := lock.TryLock(); err != nil {
			return false
		} else if got {
			return !isDamage(check(d.path)) || d.rename()
		}
		if d.share() == nil && !isDamage(check(d.path)) {
			return true
		}
		d.unshare()
	}
	return false
}

// rename gives the damaged database another name, and reports whether it could.
func (d *database) rename() bool {
	aside := d.path + ".corrupt-" + d.now().UTC().Format("20060102T150405.000Z")
	if err := rename(d.path, aside); err != nil {
		return false
	}
	d.warnf("was damaged: it is %s now, and what it knew is found out again", filepath.Base(aside))
	d.removeOldAsides()
	return true
}

// check looks through the whole database.
func check(path string) error {
	if there, err := isThere(path); err != nil || !there {
		return err
	}
	ctx := context.Background()
	db, err := connect(path, "mode=rw", 1)
	if err != nil {
		return err
	}
	defer db.Close()
	if had, err := version(ctx, db, len(migrations())); err != nil || had == 0 {
		return err
	}
	if _, err := usable(ctx, db); err != nil {
		return err
	}
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, verdict)
	}
	return nil
}

// rename moves a database with all its files.
func rename(path, to string) error {
	for _, suffix := range sidecars() {
		if err := os.Rename(path+suffix, to+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// removeOldAsides bounds how many damaged databases are kept.
func (d *database) removeOldAsides() {
	dir, prefix := filepath.Split(d.path)
	entries, err := os.ReadDir(filepath.Clean(dir)) // sorted
	if err != nil {
		return
	}
	var asides []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix+".corrupt-") && strings.HasSuffix(e.Name(), "Z") {
			asides = append(asides, dir+e.Name())
		}
	}
	for _, old := range asides[:max(0, len(asides)-maxAside)] {
		for _, suffix := range sidecars() {
			_ = os.Remove(old + suffix) // one that stays does no harm
		}
	}
}

// sidecars are what SQLite adds to the name of a database for the files that belong to it, the database itself last: a
// journal that stayed would be played into the next one.
func sidecars() []string { return []string{"-journal", "-wal", "-shm", ""} }

// errDamaged: the file is no database, or not as we made it.
var errDamaged = errors.New("it is damaged")

// isDamage reports whether the file is of no use any more.
func isDamage(err error) bool {
	return errors.Is(err, errDamaged) || isCode(err, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
}

// isBusy reports whether another process held the lock for longer than we wait.
func isBusy(err error) bool { return isCode(err, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) }

// isSQL reports whether a statement did not fit the tables.
func isSQL(err error) bool { return isCode(err, sqlite3.SQLITE_ERROR) }

func isCode(err error, codes ...int) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && slices.Contains(codes, e.Code()&0xff) // the rest tells more about the cause
}
