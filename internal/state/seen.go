package state

import (
	"sync"

	"github.com/opencontainers/go-digest"
)

// seenTag is what a tag of a destination pointed at, in a round of its repository. As names
// what was selected of the source.
type seenTag struct {
	Image digest.Digest `json:"image"`
	As    string        `json:"as"`
	Since int64         `json:"since"`
	Round int64         `json:"round"`
}

// round counts the runs that ask for tags of a repository. What was seen before Since, which is
// another number each time, is forgotten.
type round struct {
	Since  int64 `json:"since"`
	Number int64 `json:"number"`
}

// rounds are those of this run, by repository. The zero value is ready.
type rounds struct {
	mu  sync.Mutex
	now map[string]round
}

// Seen is what a tag pointed at when it was seen last, in which round, and the round of this
// run, which begins with the first question for the repository. image is empty where nothing
// is known, and where this run cannot write: what cannot be forgotten must not be trusted. So
// are tags of a repository that no run has asked for in a hundred runs.
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
	switch {
	case m.writer == nil:
	case tag != "":
		m.writer.keep(about(seenKind, repository, tag), "")
	default:
		r := m.round(repository)
		m.rounds.mu.Lock()
		defer m.rounds.mu.Unlock()
		m.setRound(repository, round{max(m.run, r.Since+1), r.Number})
	}
}

// writes reports whether this run was counted, and what it learns is written.
func (m *Memory) writes() bool { return m.counted && m.writer != nil && m.writer.works() }

// round is that of this run.
func (m *Memory) round(repository string) round {
	m.rounds.mu.Lock()
	defer m.rounds.mu.Unlock()
	if r, begun := m.rounds.now[repository]; begun {
		return r
	}
	r := round{Since: m.run}
	_ = m.recall(about(roundKind, repository), &r)
	r.Number++
	m.setRound(repository, r)
	return r
}

// setRound is called with rounds.mu held.
func (m *Memory) setRound(repository string, r round) {
	if m.rounds.now == nil {
		m.rounds.now = map[string]round{}
	}
	m.rounds.now[repository] = r
	m.keep(about(roundKind, repository), r)
}
