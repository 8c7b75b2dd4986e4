// Package state remembers between runs what need not be found out again: where blobs are, what a selection of platforms
// made of an index, what belongs to an index, which immutable tags have been copied, what tags pointed at when they were
// seen, what registries can do, and when images were made. [Uploads] has the uploads that are in progress.
//
// Start at [Open]. All that a [Memory] says are hints, never the truth: rows may be old, and any of them may be lost. In
// return it never fails and never keeps a copy waiting: a database that is missing, locked, full, read-only, damaged or
// from a newer regsync means less memory, and one warning. Several processes may use one database.
//
// There is one file, state.db, of SQLite with a rollback journal, not with a write-ahead log: a log needs shared memory,
// which network file systems do not have, and leaves files beside the database even of those that only read. Writes are
// gathered and made by one goroutine, in transactions. Nothing depends on the clock: age is a count of runs.
package state

import (
	"database/sql"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Memory is what is known from earlier runs. The zero value remembers nothing. Its methods may be called concurrently;
// after Close they do nothing.
type Memory struct {
	database
	rounds  rounds
	closing sync.Once
}

// Options are how a database is opened. The zero value works.
type Options struct {
	// ReadOnly reads what is there. It writes nothing and creates no file.
	ReadOnly bool
	// Warn is called with one line that says what is wrong with the database and what follows from that; it may be nil.
	// It is called from any goroutine.
	Warn func(text string)
	// Now is the time that is noted with a copy; time.Now if nil. Nothing is decided by it.
	Now func() time.Time
}

// remembered is about 100 MB, and more than a year of a nightly run.
var remembered = limits{facts: 100_000, locations: 200_000, runs: 1000}

// Open opens the database at path, and creates it and its directory if they are missing, readable for their owner alone.
// Options.Warn is called with what goes wrong. The caller closes it.
func Open(path string, o Options) *Memory { return open(path, o, remembered) }

func open(path string, o Options, most limits) *Memory {
	m := &Memory{database: database{path: path, warn: o.Warn, now: o.Now, most: most}}
	if m.warn == nil {
		m.warn = func(string) {}
	}
	if m.now == nil {
		m.now = time.Now
	}
	if err := m.open(o.ReadOnly); err != nil {
		m.warnf("is not used: %v; nothing is remembered between runs", err)
	}
	return m
}

// Close writes what is pending and closes the database. It waits for that two seconds at most: what a disk does not take
// by then is forgotten.
func (m *Memory) Close() {
	m.closing.Do(func() {
		m.endWriting()
		m.close()
	})
}

// The kinds of facts.
const (
	selectionKind = "selection"
	childrenKind  = "children"
	copyKind      = "copy"
	abilityKind   = "ability"
	createdKind   = "created"
	seenKind      = "seen"
	roundKind     = "round"
)

const (
	// maxValue is the most bytes that one fact takes: an index with two hundred children.
	maxValue = 16 << 10
	// touchAfter is after how many runs it is noted that a fact is still in use. To note it in every run would cost a write
	// for every question.
	touchAfter = 10
	// abilityRuns is how many runs an ability is believed, because registries are upgraded, and what was seen in a
	// repository that no run has checked since.
	abilityRuns = 100
	// maxLocations is how many repositories a question for a blob is answered with. Each may cost a request.
	maxLocations = 8
)

// factKey is what a fact is about.
type factKey struct{ kind, key string }

// about joins the parts of a key with NUL, which no name has.
func about(kind string, parts ...string) factKey { return factKey{kind, strings.Join(parts, "\x00")} }

type selected struct {
	Image    content.Descriptor `json:"image"`
	Warnings []warning.Warning  `json:"warnings,omitempty"`
}

// Selected is the image that a selection of platforms made of an index, and the warnings about it.
func (m *Memory) Selected(source digest.Digest, selection string) (image content.Descriptor, warnings []warning.Warning, known bool) {
	var s selected
	known = m.recall(about(selectionKind, source.String(), selection), &s)
	return s.Image, s.Warnings, known
}

// KeepSelected remembers it.
func (m *Memory) KeepSelected(source digest.Digest, selection string, image content.Descriptor, warnings []warning.Warning) {
	m.keep(about(selectionKind, source.String(), selection), selected{image, warnings})
}

// Children are the manifests that an index names.
func (m *Memory) Children(index digest.Digest) (children []digest.Digest, known bool) {
	known = m.recall(about(childrenKind, index.String()), &children)
	return children, known
}

// KeepChildren remembers them.
func (m *Memory) KeepChildren(index digest.Digest, children []digest.Digest) {
	m.keep(about(childrenKind, index.String()), children)
}

type copied struct {
	Image digest.Digest `json:"image"`
	At    time.Time     `json:"at"`
}

// Copied is what was copied from one name to another, and when, by the clock of that run.
func (m *Memory) Copied(from, to string) (image digest.Digest, at time.Time, known bool) {
	var c copied
	known = m.recall(about(copyKind, from, to), &c)
	return c.Image, c.At, known
}

// KeepCopied remembers what was copied now.
func (m *Memory) KeepCopied(from, to string, image digest.Digest) {
	if m.now != nil {
		m.keep(about(copyKind, from, to), copied{image, m.now().UTC().Round(time.Second)})
	}
}

// Ability returns what a registry was seen to do in one of the last hundred runs.
func (m *Memory) Ability(registry, ability string) (seen string, known bool) {
	known = m.recall(about(abilityKind, registry, ability), &seen)
	return seen, known
}

// KeepAbility remembers it.
func (m *Memory) KeepAbility(registry, ability, seen string) {
	m.keep(about(abilityKind, registry, ability), seen)
}

// Created is when an image was made, by its configuration; the zero time if that does not say.
func (m *Memory) Created(image digest.Digest) (at time.Time, known bool) {
	known = m.recall(about(createdKind, image.String()), &at)
	return at, known
}

// KeepCreated remembers it.
func (m *Memory) KeepCreated(image digest.Digest, at time.Time) {
	m.keep(about(createdKind, image.String()), at)
}

// keep queues a fact to be written. A value of more than maxValue bytes is not kept.
func (m *Memory) keep(k factKey, value any) {
	if raw, err := json.Marshal(value); err == nil && len(raw) <= maxValue {
		m.writer.keep(k, string(raw))
	}
}

// recall reads a fact into value, if it is known. It is read from the writer as long as it is not in the database.
func (m *Memory) recall(k factKey, value any) bool {
	raw, known := m.writer.pendingFact(k)
	if !known {
		raw, known = m.stored(k)
	}
	return known && json.Unmarshal([]byte(raw), value) == nil
}

// stored returns a fact from the database.
func (m *Memory) stored(k factKey) (raw string, known bool) {
	var run int64
	m.query(factQuery, func(row *sql.Rows) error {
		known = true
		return row.Scan(&raw, &run)
	}, k.kind, k.key)
	age := m.run - run
	switch {
	case k.kind == abilityKind, k.kind == roundKind:
		return raw, known && age <= abilityRuns
	case known && age >= touchAfter:
		m.writer.add(func(c *changes) { c.touched[k] = true })
	}
	return raw, known
}

// location is a repository that has a blob. The account that has seen it is not remembered: another one may be refused,
// which costs a request.
type location struct {
	registry, repository string
	blob                 digest.Digest
}

// Locations are repositories of a registry that had a blob when they were last seen, the last seen first. It may be the
// engine's Options.MountHints.
func (m *Memory) Locations(registry string, blob digest.Digest) []string {
	var repositories []string
	m.query(locationQuery, func(row *sql.Rows) error {
		var repository string
		err := row.Scan(&repository)
		repositories = append(repositories, repository)
		return err
	}, registry, blob.String(), maxLocations)
	return repositories
}

// KeepLocation remembers that a repository of a registry has a blob. Locations returns it once it is written, a moment
// later.
func (m *Memory) KeepLocation(registry, repository string, blob digest.Digest) {
	m.writer.locate(location{registry, repository, blob}, false)
}

// KeepSent remembers that a blob had to be sent to a repository: the repositories where earlier runs saw it could not
// provide it, so they are forgotten.
func (m *Memory) KeepSent(registry, repository string, blob digest.Digest) {
	m.writer.locate(location{registry, repository, blob}, true)
}

// seenTag is what a tag pointed at in a round of its repository. As identifies the selection of the source. Since is
// the round.Since of that time.
type seenTag struct {
	Image digest.Digest `json:"image"`
	As    string        `json:"as"`
	Since int64         `json:"since"`
	Round int64         `json:"round"`
}

// round counts the runs that ask for tags of a repository. ForgetSeen changes Since to forget all tags of the
// repository: entries with another Since do not count.
type round struct {
	Since  int64 `json:"since"`
	Number int64 `json:"number"`
}

// rounds are those of this run, by repository. The zero value is ready.
type rounds struct {
	beginning, marking sync.Once

	mu  sync.Mutex
	now map[string]round
}

// all is the name of the round whose Since is that of the last run which forgot the tags of all repositories. Its
// Number is the run that writes tags, zero if none does. A run that finds another one there forgets all tags: that run
// was killed, and may have changed tags without forgetting them.
const all = ""

// Seen returns what a tag pointed at when it was last seen, the round of that, and the current round, which begins with
// the first call for the repository. image is empty if nothing is known, if no run has used the repository for a
// hundred runs, or if this run cannot write: it could not forget the entry.
func (m *Memory) Seen(repository, tag string) (image digest.Digest, as string, at, now int64) {
	if !m.writes() {
		return "", "", 0, 0
	}
	r := m.round(repository)
	var s seenTag
	if !m.recall(about(seenKind, repository, tag), &s) || s.Since != r.Since || s.Round >= r.Number {
		return "", "", 0, r.Number
	}
	return s.Image, s.As, s.Round, r.Number
}

// KeepSeen remembers what a tag points at.
func (m *Memory) KeepSeen(repository, tag string, image digest.Digest, as string) {
	if m.writes() {
		r := m.round(repository)
		m.keep(about(seenKind, repository, tag), seenTag{image, as, r.Since, r.Number})
	}
}

// ForgetSeen forgets a tag, or with an empty one all tags of the repository.
func (m *Memory) ForgetSeen(repository, tag string) {
	if m.writer == nil {
		return
	}
	if tag != "" {
		m.writer.keep(about(seenKind, repository, tag), "")
		m.markWriting()
		return
	}
	r := m.round(repository)
	m.rounds.mu.Lock()
	defer m.rounds.mu.Unlock()
	m.setRound(repository, round{max(m.run, r.Since+1), r.Number})
}

// writes reports whether changes are written, and whether the number of this run was.
func (m *Memory) writes() bool { return m.counted && m.writer.accepts() }

// markWriting says in the database, before the first tag is written, that this run writes tags. It does nothing if no
// run has trusted any.
func (m *Memory) markWriting() {
	m.rounds.marking.Do(func() {
		var last round
		if !m.recall(about(roundKind, all), &last) {
			return
		}
		m.keep(about(roundKind, all), round{last.Since, m.run})
		m.writer.sync()
	})
}

// endWriting removes the mark of this run.
func (m *Memory) endWriting() {
	var last round
	if m.writer != nil && m.recall(about(roundKind, all), &last) && last.Number == m.run {
		m.keep(about(roundKind, all), round{last.Since, 0})
	}
}

// beginRounds finds out since when tags count, in all repositories.
func (m *Memory) beginRounds() {
	last := round{Since: m.run}
	known := m.recall(about(roundKind, all), &last)
	m.rounds.mu.Lock()
	defer m.rounds.mu.Unlock()
	if known && (last.Number == 0 || last.Number == m.run) {
		m.rounds.now = map[string]round{all: last}
	} else {
		m.setRound(all, round{Since: m.run})
	}
}

// round returns the current round of a repository, and begins it if necessary.
func (m *Memory) round(repository string) round {
	m.rounds.beginning.Do(m.beginRounds)
	m.rounds.mu.Lock()
	r, begun := m.rounds.now[repository]
	since := m.rounds.now[all].Since
	m.rounds.mu.Unlock()
	if begun {
		return r
	}
	read := round{Since: m.run}
	_ = m.recall(about(roundKind, repository), &read) // without the lock
	if read.Since < since {
		read.Since = m.run
	}
	read.Number++
	m.rounds.mu.Lock()
	defer m.rounds.mu.Unlock()
	if r, begun := m.rounds.now[repository]; begun {
		return r
	}
	m.setRound(repository, read)
	return read
}

// setRound sets the current round of a repository. rounds.mu is held.
func (m *Memory) setRound(repository string, r round) {
	if m.rounds.now == nil {
		m.rounds.now = map[string]round{}
	}
	m.rounds.now[repository] = r
	m.keep(about(roundKind, repository), r)
}
