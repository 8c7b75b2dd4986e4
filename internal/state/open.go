package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// readConnections are how many questions are asked at a time. Each connection keeps up to
// a megabyte of pages.
const readConnections = 2

// openWait is how long a database may be locked that is opened: runs that cron begins in
// the same minute all want it then, and each is soon done.
const openWait = time.Second

// openAgain is how often a database is opened again that was there a moment ago.
const openAgain = 5

// open opens the database, or sets a damaged one aside and begins a new one.
func (m *Memory) open(readOnly bool) error {
	err := m.useSoon(readOnly)
	if readOnly || !isDamage(err) {
		return err
	}
	if !m.setAside() {
		return err
	}
	return m.useSoon(false)
}

// useSoon takes the database into use, once nobody locks it and nobody sets it aside.
func (m *Memory) useSoon(readOnly bool) error {
	err := m.use(readOnly)
	began := time.Now()
	for again := 0; isBusy(err) || isMoved(err) || isGone(err) && again < openAgain; again++ {
		if time.Since(began) > openWait {
			break
		}
		err = m.use(readOnly)
	}
	return err
}

// use takes the database into use as it is.
func (m *Memory) use(readOnly bool) error {
	there, err := isThere(m.path)
	switch {
	case err != nil:
		return err
	case !there && readOnly:
		return nil
	case !there:
		if err := create(m.path); err != nil {
			return err
		}
	}
	if readOnly {
		return m.onlyRead()
	}
	return m.readAndWrite()
}

// isThere reports whether there is such a file. It is not opened: with the end of any
// descriptor of a file a process loses all locks that it has on it.
func isThere(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, errors.New("it is not a file")
	}
	return true, nil
}

// create makes an empty file, which is an empty database. SQLite would make it for
// everybody to read.
func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	return file.Close()
}

func (m *Memory) onlyRead() error {
	ctx := context.Background()
	db, err := connect(m.path, "mode=ro", readConnections)
	if err != nil {
		return err
	}
	had, err := version(ctx, db, len(migrations()))
	if err == nil && had == len(migrations()) {
		m.run, err = usable(ctx, db)
	}
	if err != nil || had < len(migrations()) {
		return errors.Join(err, db.Close())
	}
	m.begin(db, nil)
	return nil
}

// readAndWrite counts this run, which shows whether the database can be written. One that
// cannot is still read.
func (m *Memory) readAndWrite() error {
	ctx := context.Background()
	writing, err := connect(m.path, "mode=rw&_txlock=immediate", 1)
	if err != nil {
		return err
	}
	if err := migrate(ctx, writing, migrations()); err != nil {
		return errors.Join(err, writing.Close())
	}
	last, err := usable(ctx, writing)
	if err != nil {
		return errors.Join(err, writing.Close())
	}
	m.run = last + 1
	reading, err := connect(m.path, "mode=rw&_pragma=query_only(1)", readConnections)
	if err != nil {
		return errors.Join(err, writing.Close())
	}
	err = countRun(ctx, writing, m.run)
	if isMoved(err) {
		return errors.Join(err, reading.Close(), writing.Close())
	}
	if err != nil && !isBusy(err) {
		_ = writing.Close() // the cause is told
		m.tell("cannot be written: %v; what this run learns is not remembered", err)
		writing = nil
	}
	m.counted = err == nil
	m.begin(reading, writing)
	return nil
}

// countRun notes the number of this run. Runs that begin at the same time share one.
func countRun(ctx context.Context, db execer, number int64) error {
	_, err := db.ExecContext(ctx, "UPDATE run SET number = max(number, ?)", number)
	return err
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// connect opens the file for so many statements at a time. A lock that another process
// holds is waited for 100 ms. A crash of the system loses what was written last.
func connect(path, parameters string, connections int) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	slashed := filepath.ToSlash(absolute)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/…
	}
	name := url.URL{Scheme: "file", Path: slashed, RawQuery: parameters +
		"&_pragma=busy_timeout(100)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-1024)" +
		"&_pragma=cell_size_check(1)&_pragma=trusted_schema(0)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}
