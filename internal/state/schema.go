package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

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

// migrate brings a database up to date. Of several processes that try one does it: db begins its transactions by taking
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
