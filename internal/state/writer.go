package state

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

const (
	// pace is how long changes are gathered for one transaction. It is what a process that
	// is killed forgets.
	pace = 500 * time.Millisecond
	// batch is how many changes are written at once before that.
	batch = 2000
	// syncWait bounds the wait for a transaction that must come before a change at a registry.
	syncWait = time.Second
	// closeWait bounds the last transaction.
	closeWait = 2 * time.Second
	// pruneEvery is how many rows are written between two looks at the size of the tables.
	pruneEvery = 20_000
	// pruneRuns is every which run looks at them anyway.
	pruneRuns = 16
)

// writer is the one goroutine that writes. Whoever has something to write leaves it here
// and does not wait.
type writer struct {
	memory *Memory
	db     *sql.DB

	mu      sync.Mutex
	on      bool
	pending changes
	writing changes

	settled chan struct{} // closed and replaced at the end of each transaction

	some, many chan struct{} // there is something, or a lot, to write
	stop, done chan struct{}
	// written counts the rows of this run, pruned those before the tables were last pruned.
	written, pruned int
}

func newWriter(m *Memory, db *sql.DB) *writer {
	w := &writer{
		memory: m, db: db, on: true, pending: newChanges(), writing: newChanges(), settled: make(chan struct{}),
		some: make(chan struct{}, 1), many: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go w.run()
	return w
}

func (w *writer) keep(k factKey, value string) {
	w.add(func(c *changes) { c.facts[k] = value })
}

func (w *writer) touch(k factKey) {
	w.add(func(c *changes) { c.touched[k] = true })
}

func (w *writer) locate(at location, sent bool) {
	w.add(func(c *changes) { c.located[at] = c.located[at] || sent })
}

// add notes a change, unless nobody would write it.
func (w *writer) add(change func(*changes)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.on || w.pending.size() >= maxPending {
		return
	}
	change(&w.pending)
	signal(w.some)
	if w.pending.size() >= batch {
		signal(w.many)
	}
}

func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// works reports whether what is left here will be written.
func (w *writer) works() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.on && w.pending.size() < maxPending
}

// pendingFact is a fact that is not in the database yet.
func (w *writer) pendingFact(k factKey) (value string, known bool) {
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
		case <-w.some:
		case <-w.stop:
			w.last()
			return
		}
		select {
		case <-time.After(pace):
		case <-w.many:
		case <-w.stop:
		}
		w.flush()
	}
}

// flush writes what is pending. What a locked database does not take stays pending.
func (w *writer) flush() (busy bool) {
	todo := w.take()
	if todo.size() == 0 {
		return false
	}
	ctx := context.Background()
	err := todo.write(ctx, w.db, w.memory.run)
	if err == nil {
		err = w.prune(ctx, todo.size())
	}
	w.settle(err)
	return isBusy(err)
}

func (w *writer) take() changes {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing, w.pending = w.pending, newChanges()
	return w.writing
}

// settle ends what take began.
func (w *writer) settle(err error) {
	switch {
	case isBusy(err):
		w.again()
	case err != nil:
		w.end(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = newChanges()
	close(w.settled)
	w.settled = make(chan struct{})
}

// sync waits until what was left here is written, for syncWait at most.
func (w *writer) sync() {
	late := time.After(syncWait)
	for {
		w.mu.Lock()
		left, settled := w.pending.size()+w.writing.size(), w.settled
		w.mu.Unlock()
		if left == 0 {
			return
		}
		signal(w.many)
		select {
		case <-settled:
		case <-late:
			return
		}
	}
}

// again leaves what take took to the next transaction.
func (w *writer) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = w.pending.under(w.writing)
	signal(w.some)
}

// end stops writing for good. Whoever is told may take his time: nobody waits for that.
func (w *writer) end(err error) {
	if isDamage(err) {
		w.memory.damaged.Store(true)
	}
	w.off()
	if isMoved(err) {
		return // whoever set the database aside has told
	}
	w.memory.tell("cannot be written: %v; what this run learns is not remembered", err)
}

// last writes what is left, and gives up on a database that stays locked.
func (w *writer) last() {
	for range patience {
		if !w.flush() {
			return
		}
	}
	w.memory.tell("stays locked by another process; what this run has learned is not remembered")
}

// off lets nothing more be left here.
func (w *writer) off() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on, w.pending = false, newChanges()
}

// close ends the writer. It reports false where that takes too long: the disk hangs.
func (w *writer) close() bool {
	close(w.stop)
	select {
	case <-w.done:
		return true
	case <-time.After(closeWait):
		return false
	}
}
