package state

import (
	"sync"

	"github.com/opencontainers/go-digest"
)

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
// the first call for the repository. image is empty if nothing is known, if no run has asked for the repository for a
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
