package state

import (
	"context"
	"database/sql"
	"maps"
)

// maxPending is how many changes wait for the database. A database that takes none, because
// another process holds its lock, must not fill the memory.
const maxPending = 8192

// changes are what is to be written.
type changes struct {
	facts   map[factKey]string // an empty value deletes
	touched map[factKey]bool
	// located has the locations of blobs; true: those of earlier runs are outdated.
	located map[location]bool
}

func newChanges() changes {
	return changes{facts: map[factKey]string{}, touched: map[factKey]bool{}, located: map[location]bool{}}
}

func (c changes) size() int { return len(c.facts) + len(c.touched) + len(c.located) }

// under puts older changes below those of c.
func (c changes) under(older changes) changes {
	maps.Copy(older.facts, c.facts)
	maps.Copy(older.touched, c.touched)
	for at, sent := range c.located {
		older.located[at] = sent || older.located[at]
	}
	return older
}

// write makes the changes in one transaction, as those of a run.
func (c changes) write(ctx context.Context, db *sql.DB, run int64) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	if err := countRun(ctx, tx, run); err != nil {
		return err
	}
	for _, part := range []func(context.Context, *sql.Tx, int64) error{c.writeFacts, c.writeTouched, c.writeLocations} {
		if err := part(ctx, tx, run); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (c changes) writeFacts(ctx context.Context, tx *sql.Tx, run int64) error {
	insert, err := tx.PrepareContext(ctx, `INSERT INTO fact (kind, key, value, run) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET value = excluded.value, run = excluded.run`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for k, value := range c.facts {
		if value == "" {
			_, err = tx.ExecContext(ctx, "DELETE FROM fact WHERE kind = ? AND key = ?", k.kind, k.key)
		} else {
			_, err = insert.ExecContext(ctx, k.kind, k.key, value, run)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c changes) writeTouched(ctx context.Context, tx *sql.Tx, run int64) error {
	update, err := tx.PrepareContext(ctx, "UPDATE fact SET run = ? WHERE kind = ? AND key = ?")
	if err != nil {
		return err
	}
	defer update.Close()
	for k := range c.touched {
		if _, err := update.ExecContext(ctx, run, k.kind, k.key); err != nil {
			return err
		}
	}
	return nil
}

func (c changes) writeLocations(ctx context.Context, tx *sql.Tx, run int64) error {
	insert, err := tx.PrepareContext(ctx, `INSERT INTO location (registry, repository, digest, run) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET run = excluded.run`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for at, sent := range c.located {
		if sent {
			if _, err := tx.ExecContext(ctx, "DELETE FROM location WHERE registry = ? AND digest = ? AND run < ?",
				at.registry, at.blob.String(), run); err != nil {
				return err
			}
		}
		if _, err := insert.ExecContext(ctx, at.registry, at.repository, at.blob.String(), run); err != nil {
			return err
		}
	}
	return nil
}
