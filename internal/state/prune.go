package state

import (
	"context"
	"database/sql"
)

// prune bounds the tables after so many more rows. It reads all of them, so it is done in
// every few runs only, and once more after a lot was written.
func (w *writer) prune(ctx context.Context, rows int) error {
	first := w.written == 0 && w.memory.run%pruneRuns == 0
	w.written += rows
	if !first && w.written-w.pruned < pruneEvery {
		return nil
	}
	w.pruned = w.written
	return prune(ctx, w.db, w.memory.run, w.memory.most)
}

// prune forgets what has not been used for many runs, and of what is too much the part
// that was used least recently, with some room for what comes.
func prune(ctx context.Context, db *sql.DB, run int64, most limits) error {
	for _, unused := range []string{"DELETE FROM fact WHERE run < ?", "DELETE FROM location WHERE run < ?"} {
		if _, err := db.ExecContext(ctx, unused, run-most.runs); err != nil {
			return err
		}
	}
	for _, kind := range []string{selectionKind, childrenKind, copyKind, abilityKind, createdKind, seenKind, roundKind} {
		if err := pruneFacts(ctx, db, kind, most.facts); err != nil {
			return err
		}
	}
	return pruneLocations(ctx, db, most.locations)
}

func pruneFacts(ctx context.Context, db *sql.DB, kind string, most int) error {
	var rows int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM fact WHERE kind = ?", kind).Scan(&rows); err != nil || rows <= most {
		return err
	}
	_, err := db.ExecContext(ctx, `DELETE FROM fact WHERE kind = ?1 AND key IN
		(SELECT key FROM fact WHERE kind = ?1 ORDER BY run LIMIT ?2)`, kind, excess(rows, most))
	return err
}

func pruneLocations(ctx context.Context, db *sql.DB, most int) error {
	var rows int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM location").Scan(&rows); err != nil || rows <= most {
		return err
	}
	_, err := db.ExecContext(ctx, `DELETE FROM location WHERE (registry, digest, repository) IN
		(SELECT registry, digest, repository FROM location ORDER BY run LIMIT ?)`, excess(rows, most))
	return err
}

// excess is how many rows go, so that a tenth of the room is free.
func excess(rows, most int) int { return rows - most + most/10 }
