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
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
)

const (
	// readConnections is how many queries run at a time. Each connection keeps up to a megabyte of pages.
	readConnections = 2
	// openWait is how long a database that is opened may be locked: runs that cron begins in the same minute all open it
	// then, and each needs it for a moment.
	openWait = time.Second
	// maxBusy is how many queries in a row may find the database locked, each after 100 ms.
	maxBusy = 5
)

// database is the file: opened, read, and written by a [writer]. The zero value has none.
type database struct {
	path string
	warn func(text string)
	now  func() time.Time
	most limits

	using   *flock.Flock // shared with other processes; nil if there is none
	run     int64        // the number of this run: one more than that of the last run that wrote
	counted bool         // that number was written
	writer  *writer      // nil if nothing is written
	damaged atomic.Bool

	reading *sql.DB
	// slots bound the queries. One that has waited finds out that the database is no longer read.
	slots    chan struct{}
	readable atomic.Bool
	busy     atomic.Int32 // queries in a row that found the database locked

	preparing sync.Mutex
	prepared  map[string]*sql.Stmt
}

// open opens the database, or sets a damaged one aside and begins a new one.
func (d *database) open(readOnly bool) error {
	err := d.use(readOnly)
	if isDamage(err) && !readOnly && d.setAside() {
		err = d.use(false)
	}
	if err != nil {
		d.unshare()
	}
	return err
}

// use starts to use the database, as soon as no other process locks it or sets it aside.
func (d *database) use(readOnly bool) error {
	if !readOnly {
		if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
			return err
		}
	}
	if err := d.share(); err != nil {
		return err
	}
	for began := time.Now(); ; {
		if err := d.useNow(readOnly); !isBusy(err) || time.Since(began) > openWait {
			return err
		}
	}
}

func (d *database) useNow(readOnly bool) error {
	exists, err := isThere(d.path)
	switch {
	case err != nil:
		return err
	case readOnly && !exists:
		return nil
	case readOnly:
		return d.onlyRead()
	case !exists:
		if err := create(d.path); err != nil {
			return err
		}
	}
	return d.readAndWrite()
}

// isThere reports whether there is such a file. It is not opened: a process that closes any descriptor of a file loses all
// locks that it has on it.
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

// create makes an empty file, which is an empty database. SQLite would make it readable for all.
func create(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	return file.Close()
}

func (d *database) onlyRead() error {
	ctx := context.Background()
	db, err := connect(d.path, "mode=ro", readConnections)
	if err != nil {
		return err
	}
	had, err := version(ctx, db, len(migrations()))
	if err == nil && had == len(migrations()) {
		d.run, err = usable(ctx, db)
	}
	if err != nil || had < len(migrations()) {
		return errors.Join(err, db.Close())
	}
	d.beginReading(db)
	return nil
}

// readAndWrite counts this run, which shows whether the database can be written. One that cannot is still read.
func (d *database) readAndWrite() (err error) {
	ctx := context.Background()
	writing, err := connect(d.path, "mode=rw&_txlock=immediate", 1)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, writing.Close())
		}
	}()
	if err := migrate(ctx, writing, migrations()); err != nil {
		return err
	}
	last, err := usable(ctx, writing)
	if err != nil {
		return err
	}
	d.run = last + 1
	reading, err := connect(d.path, "mode=rw&_pragma=query_only(1)", readConnections)
	if err != nil {
		return err
	}
	_, notCounted := writing.ExecContext(ctx, countRun, d.run)
	d.counted = notCounted == nil
	d.beginReading(reading)
	if d.counted || isBusy(notCounted) {
		d.writer = newWriter(d, writing)
		return nil
	}
	_ = writing.Close() // the warning has the cause
	d.warnf("cannot be written: %v; what this run learns is not remembered", notCounted)
	return nil
}

// countRun notes the number of this run. Runs that begin at the same time share one.
const countRun = "UPDATE run SET number = max(number, ?)"

// connect opens the file for so many statements at a time. A lock that another process holds is waited for 100 ms. A crash
// of the system loses what was written last.
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

func (d *database) beginReading(db *sql.DB) {
	d.reading, d.slots, d.prepared = db, make(chan struct{}, readConnections), map[string]*sql.Stmt{}
	d.readable.Store(true)
}

// close waits for the queries, and writes what is pending.
func (d *database) close() {
	d.readable.Store(false)
	for range cap(d.slots) {
		d.slots <- struct{}{}
	}
	for range cap(d.slots) {
		<-d.slots
	}
	if d.writer != nil && !d.writer.close() {
		return
	}
	if d.reading != nil {
		_ = d.reading.Close() // of what was only read
	}
	if d.damaged.Load() {
		d.setAside()
	}
	d.unshare()
}

func (d *database) warnf(format string, args ...any) {
	d.warn("the state database " + d.path + " " + fmt.Sprintf(format, args...))
}

const (
	factQuery     = "SELECT value, run FROM fact WHERE kind = ? AND key = ?"
	locationQuery = "SELECT repository FROM location WHERE registry = ? AND digest = ? ORDER BY run DESC, repository LIMIT ?"
)

// query calls scan for each row. A query that fails finds no rows.
func (d *database) query(text string, scan func(*sql.Rows) error, args ...any) {
	if !d.readable.Load() {
		return
	}
	d.slots <- struct{}{}
	defer func() { <-d.slots }()
	if !d.readable.Load() {
		return
	}
	err := d.rows(text, scan, args)
	switch {
	case err == nil:
		d.busy.Store(0)
		return
	case isBusy(err) && d.busy.Add(1) < maxBusy:
		return
	case isDamage(err):
		d.damaged.Store(true)
	}
	if d.readable.Swap(false) {
		d.warnf("is no longer read: %v; what earlier runs learned is found out again", err)
	}
}

func (d *database) rows(text string, scan func(*sql.Rows) error, args []any) error {
	ctx := context.Background()
	statement, err := d.statement(ctx, text)
	if err != nil {
		return err
	}
	rows, err := statement.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (d *database) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	d.preparing.Lock()
	defer d.preparing.Unlock()
	if statement := d.prepared[text]; statement != nil {
		return statement, nil
	}
	statement, err := d.reading.PrepareContext(ctx, text)
	if err == nil {
		d.prepared[text] = statement
	}
	return statement, err
}

// migrations lead from each version of the schema to the next one; user_version says how many of them a database has
// had. They are only ever added to.
func migrations() []string {
	return []string{
		`CREATE TABLE run (number INTEGER NOT NULL) STRICT;
		INSERT INTO run VALUES (0);
		-- value is JSON; run is the last one that used the row.
		CREATE TABLE fact (
			kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, run INTEGER NOT NULL,
			PRIMARY KEY (kind, key)
		) STRICT, WITHOUT ROWID;
		CREATE TABLE location (
			registry TEXT NOT NULL, digest TEXT NOT NULL, repository TEXT NOT NULL, run INTEGER NOT NULL,
			PRIMARY KEY (registry, digest, repository)
		) STRICT, WITHOUT ROWID;`,
	}
}

// errForeign: a database of somebody else's.
var errForeign = errors.New("it is not regsync's")

// version is how many migrations a database has had. A new file has had none. The tables are counted first: a process
// that makes them meanwhile sets the version, too.
func version(ctx context.Context, db *sql.DB, known int) (int, error) {
	var version, tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return 0, err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, err
	}
	switch {
	case version > known:
		return 0, fmt.Errorf("it is from a newer regsync (version %d, this one knows %d)", version, known)
	case version < 0 || version == 0 && tables > 0:
		return 0, errForeign
	}
	return version, nil
}

// migrate brings a database up to date. If several processes try, only one does it: db begins its transactions by taking
// the lock.
func migrate(ctx context.Context, db *sql.DB, steps []string) error {
	if had, err := version(ctx, db, len(steps)); err != nil || had == len(steps) {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	var had int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&had); err != nil {
		return err
	}
	for _, step := range steps[min(had, len(steps)):] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", max(had, len(steps)))); err != nil {
		return err
	}
	return tx.Commit()
}

// usable finds out whether a database that says it is of our version has our tables, and gives the number of the last
// run.
func usable(ctx context.Context, db *sql.DB) (run int64, err error) {
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(number), 0) FROM run
		WHERE NOT EXISTS (SELECT kind, key, value, run FROM fact WHERE false)
		AND NOT EXISTS (SELECT registry, digest, repository, run FROM location WHERE false)`).Scan(&run)
	if isSQL(err) {
		return 0, errDamaged
	}
	return run, err
}
