// Package state remembers between runs what need not be found out again: where blobs are,
// what a selection of platforms made of an index, what belongs to an index, which immutable
// tags have been copied, what tags pointed at when they were seen, what registries can do, and when images were made. [Uploads] has what
// processes are sending.
//
// [Open] is where to start. All that a [Memory] says are hints, never the truth: rows may be
// old, and any of them may be lost. In return it never fails and never keeps a copy waiting:
// a database that is missing, locked, full, read-only, damaged or from a newer regsync means
// less memory, and one warning. Several processes may use one database.
//
// There is one file, state.db, of SQLite with a rollback journal, not with a write-ahead
// log: a log needs shared memory, which network file systems do not have, and leaves files
// beside the database even of those that only read. Writes are gathered and made by one
// goroutine, in transactions. Nothing depends on the clock: what is old is told by a count
// of runs.
package state

import (
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Memory is what is known from earlier runs. The zero value remembers nothing. Its methods
// may be called concurrently; after Close they do nothing.
type Memory struct {
	path string
	warn func(text string)
	now  func() time.Time
	most limits
	// run is the number of this run: one more than that of the last that wrote.
	run int64
	// counted: that number was written.
	counted bool
	rounds  rounds

	reads  reads
	writer *writer // nil where nothing is written
	// damaged: the database was found to be so while it was in use.
	damaged atomic.Bool
	closing sync.Once
}

// Options are how a database is opened. The zero value works.
type Options struct {
	// ReadOnly reads what is there. It writes nothing and makes no file.
	ReadOnly bool
	// Warn is told in one line what is wrong with the database and what follows from that;
	// nil tells nobody. It is called from any goroutine.
	Warn func(text string)
	// Now is the time that is noted with a copy; time.Now if nil. Nothing is decided by it.
	Now func() time.Time
}

// limits are how much is remembered.
type limits struct {
	facts     int // of each kind
	locations int
	runs      int64 // that a row is kept for without being used
}

// remembered is about 100 MB, and more than a year of a nightly run.
var remembered = limits{facts: 100_000, locations: 200_000, runs: 1000}

// Open opens the database at path, and makes it and its directory where they are missing,
// for nobody else to read. What goes wrong is told to Options.Warn. The caller closes it.
func Open(path string, o Options) *Memory { return open(path, o, remembered) }

func open(path string, o Options, most limits) *Memory {
	m := &Memory{path: path, warn: o.Warn, now: o.Now, most: most}
	if m.warn == nil {
		m.warn = func(string) {}
	}
	if m.now == nil {
		m.now = time.Now
	}
	if err := m.open(o.ReadOnly); err != nil {
		m.tell("is not used: %v; nothing is remembered between runs", err)
	}
	return m
}

// Close writes what is pending and closes the database. It waits for that two seconds at
// most: what a disk does not take by then is forgotten.
func (m *Memory) Close() {
	m.closing.Do(func() {
		m.endWriting()
		m.reads.end()
		if m.writer != nil && !m.writer.close() {
			return
		}
		if m.reads.db != nil {
			_ = m.reads.db.Close() // of what was only read
		}
		if m.damaged.Load() {
			m.setAside()
		}
	})
}

func (m *Memory) tell(format string, args ...any) {
	m.warn("the state database " + m.path + " " + fmt.Sprintf(format, args...))
}

// begin takes the opened databases into use; writing may be nil.
func (m *Memory) begin(reading, writing *sql.DB) {
	m.reads.begin(reading)
	if writing != nil {
		m.writer = newWriter(m, writing)
	}
}
