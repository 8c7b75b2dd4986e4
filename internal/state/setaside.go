package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	// asideWait is how long another process may take to set the database aside.
	asideWait = time.Second
	// maxAside is how many damaged databases are kept, for whoever wants to know why.
	maxAside = 3
)

// setAside renames a damaged database, and reports whether it is out of the way. Where
// another process has done it meanwhile, the new one is left alone.
func (m *Memory) setAside() bool {
	ctx, cancel := context.WithTimeout(context.Background(), asideWait)
	defer cancel()
	lock := flock.New(m.path+".lock", flock.SetPermissions(0o600))
	got, err := lock.TryLockContext(ctx, 10*time.Millisecond)
	if err != nil || !got {
		return false
	}
	defer func() { _ = lock.Unlock() }() // the process's end would do it, too
	if !isDamage(check(m.path)) {
		return true
	}
	aside := m.path + ".corrupt-" + m.now().UTC().Format("20060102T150405.000Z")
	if err := rename(m.path, aside); err != nil {
		return false
	}
	m.tell("was damaged: it is %s now, and what it knew is found out again", filepath.Base(aside))
	m.forgetOldAsides()
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

// forgetOldAsides bounds what a bad disk leaves behind.
func (m *Memory) forgetOldAsides() {
	dir, prefix := filepath.Split(m.path)
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
			_ = os.Remove(old + suffix) // is in nobody's way
		}
	}
}

// sidecars are what SQLite adds to the name of a database for the files that belong to it,
// the database itself last: a journal that stayed would be played into the next one.
func sidecars() []string { return []string{"-journal", "-wal", "-shm", ""} }
