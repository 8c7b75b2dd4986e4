package state

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
)

// patience is how many questions in a row may find the database locked, each after 100 ms.
const patience = 5

const (
	factQuery     = "SELECT value, run FROM fact WHERE kind = ? AND key = ?"
	locationQuery = "SELECT repository FROM location WHERE registry = ? AND digest = ? ORDER BY run DESC, repository LIMIT ?"
)

// reads are the questions to the database. The zero value answers none.
type reads struct {
	db *sql.DB
	// slots keep those that wait where it can be seen that waiting has become useless.
	slots chan struct{}
	on    atomic.Bool
	busy  atomic.Int32 // in a row

	preparing sync.Mutex
	prepared  map[string]*sql.Stmt
}

func (r *reads) begin(db *sql.DB) {
	r.db, r.slots, r.prepared = db, make(chan struct{}, readConnections), map[string]*sql.Stmt{}
	r.on.Store(true)
}

// end waits for the questions under way; later ones find nothing.
func (r *reads) end() {
	r.on.Store(false)
	for range cap(r.slots) {
		r.slots <- struct{}{}
	}
	for range cap(r.slots) {
		<-r.slots
	}
}

// ask puts a question whose rows go to scan. Nothing found is no error to anybody.
func (m *Memory) ask(question string, scan func(*sql.Rows) error, args ...any) {
	if !m.reads.on.Load() {
		return
	}
	m.reads.slots <- struct{}{}
	defer func() { <-m.reads.slots }()
	if !m.reads.on.Load() {
		return
	}
	if err := m.reads.query(question, scan, args); err != nil {
		m.notRead(err)
		return
	}
	m.reads.busy.Store(0)
}

func (r *reads) query(question string, scan func(*sql.Rows) error, args []any) error {
	ctx := context.Background()
	statement, err := r.statement(ctx, question)
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

func (r *reads) statement(ctx context.Context, question string) (*sql.Stmt, error) {
	r.preparing.Lock()
	defer r.preparing.Unlock()
	if statement := r.prepared[question]; statement != nil {
		return statement, nil
	}
	statement, err := r.db.PrepareContext(ctx, question)
	if err == nil {
		r.prepared[question] = statement
	}
	return statement, err
}

// notRead decides what becomes of the memory after a question that failed.
func (m *Memory) notRead(err error) {
	if isBusy(err) && m.reads.busy.Add(1) < patience {
		return
	}
	if isDamage(err) {
		m.damaged.Store(true)
	}
	if m.reads.on.Swap(false) {
		m.tell("is no longer read: %v; what earlier runs learned is found out again", err)
	}
}
