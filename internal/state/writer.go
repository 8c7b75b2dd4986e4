package state

import (
	"context"
	"database/sql"
	"maps"
	"sync"
	"time"
)

const (
	// pace is how long changes are gathered for one transaction. It is what a process that is killed forgets.
	pace = 500 * time.Millisecond
	// batch is how many changes are written at once before that.
	batch = 2000
	// maxPending is how many changes wait for the database. A database that takes none, because another process holds its
	// lock, must not fill the memory.
	maxPending = 8192
	// syncWait bounds the wait for a transaction that must come before a change at a registry.
	syncWait = time.Second
	// closeWait bounds the last transaction.
	closeWait = 2 * time.Second
	// pruneEvery is how many rows are written until the tables are pruned again.
	pruneEvery = 20_000
	// pruneRuns: each run with such a multiple as its number prunes the tables anyway.
	pruneRuns = 16
)

// writer is the one goroutine that writes. Its callers leave changes here and do not wait. A nil writer takes none.
type writer struct {
	of *database
	db *sql.DB

	mu      sync.Mutex
	on      bool
	pending changes
	writing changes

	settled chan struct{} // closed and replaced at the end of each transaction

	changed, full chan struct{} // there is a change, or a batch, to write
	stop, done    chan struct{}
	// written counts the rows of this run, pruned those before the tables were last pruned.
	written, pruned int
}

func newWriter(of *database, db *sql.DB) *writer {
	w := &writer{
		of: of, db: db, on: true, pending: newChanges(), writing: newChanges(), settled: make(chan struct{}),
		changed: make(chan struct{}, 1), full: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go w.run()
	return w
}

// keep sets a fact; an empty value deletes it.
func (w *writer) keep(k factKey, value string) {
	w.add(func(c *changes) { c.facts[k] = value })
}

func (w *writer) locate(at location, sent bool) {
	w.add(func(c *changes) { c.located[at] = c.located[at] || sent })
}

// add notes a change, if it will be written.
func (w *writer) add(change func(*changes)) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.on || w.pending.size() >= maxPending {
		return
	}
	change(&w.pending)
	signal(w.changed)
	if w.pending.size() >= batch {
		signal(w.full)
	}
}

func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// accepts reports whether a change that is added now will be written.
func (w *writer) accepts() bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.on && w.pending.size() < maxPending
}

// pendingFact returns a fact that is not in the database yet.
func (w *writer) pendingFact(k factKey) (value string, known bool) {
	if w == nil {
		return "", false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if value, known = w.pending.facts[k]; !known {
		value, known = w.writing.facts[k]
	}
	return value, known
}

func (w *writer) run() {
	defer close(w.done)
	defer w.db.Close()
	defer w.off()
	for {
		select {
		case <-w.changed:
		case <-w.stop:
			for range maxBusy {
				if !w.flush() {
					return
				}
			}
			w.of.warnf("stays locked by another process; what this run has learned is not remembered")
			return
		}
		select {
		case <-time.After(pace):
		case <-w.full:
		case <-w.stop:
		}
		w.flush()
	}
}

// flush writes what is pending. What a locked database does not take stays pending.
func (w *writer) flush() (busy bool) {
	w.mu.Lock()
	w.writing, w.pending = w.pending, newChanges()
	todo := w.writing
	w.mu.Unlock()
	if todo.size() == 0 {
		return false
	}
	ctx := context.Background()
	err := todo.write(ctx, w.db, w.of.run)
	if err == nil {
		err = w.prune(ctx, todo.size())
	}
	busy = isBusy(err)
	if err != nil && !busy {
		w.end(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if busy {
		w.pending = w.pending.onto(w.writing)
		signal(w.changed)
	}
	w.writing = newChanges()
	close(w.settled)
	w.settled = make(chan struct{})
	return busy
}

// sync waits until all changes are written, for syncWait at most.
func (w *writer) sync() {
	late := time.After(syncWait)
	for {
		w.mu.Lock()
		left, settled := w.pending.size()+w.writing.size(), w.settled
		w.mu.Unlock()
		if left == 0 {
			return
		}
		signal(w.full)
		select {
		case <-settled:
		case <-late:
			return
		}
	}
}

// end stops writing for good. Nothing waits for the warning, which may take its time.
func (w *writer) end(err error) {
	if isDamage(err) {
		w.of.damaged.Store(true)
	}
	w.off()
	w.of.warnf("cannot be written: %v; what this run learns is not remembered", err)
}

// off drops what is pending and takes no more changes.
func (w *writer) off() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on, w.pending = false, newChanges()
}

// close ends the writer. It returns false if that takes too long: the disk hangs.
func (w *writer) close() bool {
	close(w.stop)
	select {
	case <-w.done:
		return true
	case <-time.After(closeWait):
		return false
	}
}

// prune bounds the tables after so many more rows. It reads all of them, so it is done in few runs only, and once more
// after a lot was written.
func (w *writer) prune(ctx context.Context, rows int) error {
	first := w.written == 0 && w.of.run%pruneRuns == 0
	w.written += rows
	if !first && w.written-w.pruned < pruneEvery {
		return nil
	}
	w.pruned = w.written
	return prune(ctx, w.db, w.of.run, w.of.most)
}

// limits are how much is remembered.
type limits struct {
	facts     int // of each kind
	locations int
	runs      int64 // that a row is kept for without being used
}

// prune forgets what has not been used for many runs. Of a table, or of a kind of facts, that has more rows than its limit
// it forgets those that were used least recently, so that a tenth of the limit is free.
func prune(ctx context.Context, db *sql.DB, run int64, most limits) error {
	for _, unused := range []string{"DELETE FROM fact WHERE run < ?", "DELETE FROM location WHERE run < ?"} {
		if _, err := db.ExecContext(ctx, unused, run-most.runs); err != nil {
			return err
		}
	}
	for _, kind := range []string{selectionKind, childrenKind, copyKind, abilityKind, createdKind, seenKind, roundKind} {
		if _, err := db.ExecContext(ctx, `DELETE FROM fact WHERE kind = ?2 AND key IN (SELECT key FROM fact WHERE kind = ?2 ORDER BY run
			LIMIT (SELECT iif(count(*) > ?1, count(*) - ?1 + ?1 / 10, 0) FROM fact WHERE kind = ?2))`, most.facts, kind); err != nil {
			return err
		}
	}
	_, err := db.ExecContext(ctx, `DELETE FROM location WHERE (registry, digest, repository) IN
		(SELECT registry, digest, repository FROM location ORDER BY run
		LIMIT (SELECT iif(count(*) > ?1, count(*) - ?1 + ?1 / 10, 0) FROM location))`, most.locations)
	return err
}

// changes are what is to be written.
type changes struct {
	facts   map[factKey]string // an empty value deletes
	touched map[factKey]bool   // are in use
	// located has the locations of blobs; true: those of earlier runs are outdated.
	located map[location]bool
}

func newChanges() changes {
	return changes{facts: map[factKey]string{}, touched: map[factKey]bool{}, located: map[location]bool{}}
}

func (c changes) size() int { return len(c.facts) + len(c.touched) + len(c.located) }

// onto returns older changes, followed by those of c.
func (c changes) onto(older changes) changes {
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
	if _, err := tx.ExecContext(ctx, countRun, run); err != nil {
		return err
	}
	prepared := map[string]*sql.Stmt{} // the end of the transaction closes them
	exec := func(query string, args ...any) error {
		statement := prepared[query]
		if statement == nil {
			if statement, err = tx.PrepareContext(ctx, query); err != nil {
				return err
			}
			prepared[query] = statement
		}
		_, err := statement.ExecContext(ctx, args...)
		return err
	}
	for k, value := range c.facts {
		if value == "" {
			err = exec("DELETE FROM fact WHERE kind = ? AND key = ?", k.kind, k.key)
		} else {
			err = exec(`INSERT INTO fact (kind, key, value, run) VALUES (?, ?, ?, ?)
				ON CONFLICT DO UPDATE SET value = excluded.value, run = excluded.run`, k.kind, k.key, value, run)
		}
		if err != nil {
			return err
		}
	}
	for k := range c.touched {
		if err := exec("UPDATE fact SET run = ? WHERE kind = ? AND key = ?", run, k.kind, k.key); err != nil {
			return err
		}
	}
	for at, sent := range c.located {
		if sent {
			if err := exec("DELETE FROM location WHERE registry = ? AND digest = ? AND run < ?", at.registry, at.blob.String(), run); err != nil {
				return err
			}
		}
		if err := exec(`INSERT INTO location (registry, repository, digest, run) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET run = excluded.run`, at.registry, at.repository, at.blob.String(), run); err != nil {
			return err
		}
	}
	return tx.Commit()
}
