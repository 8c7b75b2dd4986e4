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
	// asideWait is how long another process may take to set the database aside.
	asideWait = time.Second
	// maxAside is how many damaged databases are kept, so that the cause can be found.
	maxAside = 3
)

// setAside renames a damaged database, and reports whether it is out of the way. If another process has done so
// meanwhile, the new one is left alone.
func (d *database) setAside() bool {
	ctx, cancel := context.WithTimeout(context.Background(), asideWait)
	defer cancel()
	lock := flock.New(d.path+".lock", flock.SetPermissions(0o600))
	got, err := lock.TryLockContext(ctx, 10*time.Millisecond)
	if err != nil || !got {
		return false
	}
	defer func() { _ = lock.Unlock() }() // the end of the process would do it, too
	if !isDamage(check(d.path)) {
		return true
	}
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

// isMoved reports whether another process set the file aside while this one used it: the name stands for a new
// database, or will soon.
func isMoved(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && slices.Contains([]int{
		sqlite3.SQLITE_READONLY_DBMOVED, sqlite3.SQLITE_IOERR_DELETE_NOENT, sqlite3.SQLITE_IOERR_FSTAT,
	}, e.Code())
}

// isGone reports whether the file cannot be opened: it may have been set aside just now.
func isGone(err error) bool { return isCode(err, sqlite3.SQLITE_CANTOPEN) }

// isReadOnly reports whether SQLite has opened the file only for reading. It does so if it cannot open it for writing; a file
// that another process set aside, and created again between both attempts, is opened for reading, too.
func isReadOnly(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code() == sqlite3.SQLITE_READONLY
}

// isSQL reports whether a statement did not fit the tables.
func isSQL(err error) bool { return isCode(err, sqlite3.SQLITE_ERROR) }

func isCode(err error, codes ...int) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && slices.Contains(codes, e.Code()&0xff) // the rest tells more about the cause
}
