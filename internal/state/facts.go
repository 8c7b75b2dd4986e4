package state

import (
	"database/sql"
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

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
	// usedAnew is after how many runs it is noted that a fact is still in use. To note it in
	// every run would cost a write for every question.
	usedAnew = 10
	// abilityRuns is how many runs an ability is believed, because registries are upgraded, and what was seen in a
	// repository that no run has asked since.
	abilityRuns = 100
)

// factKey is what a fact is about. Its parts stand apart by a NUL, which no name has.
type factKey struct{ kind, key string }

func about(kind string, parts ...string) factKey {
	k := factKey{kind: kind}
	for i, part := range parts {
		if i > 0 {
			k.key += "\x00"
		}
		k.key += part
	}
	return k
}

type selected struct {
	Image    content.Descriptor `json:"image"`
	Warnings []warning.Warning  `json:"warnings,omitempty"`
}

// Selected is the image that a selection of platforms made of an index, and what a person
// was told about it.
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

// Copied is what was copied from one name to another, and when, as the clock had it.
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

// Created is when an image was made, as its configuration has it; the zero time if that
// does not say.
func (m *Memory) Created(image digest.Digest) (at time.Time, known bool) {
	known = m.recall(about(createdKind, image.String()), &at)
	return at, known
}

// KeepCreated remembers it.
func (m *Memory) KeepCreated(image digest.Digest, at time.Time) {
	m.keep(about(createdKind, image.String()), at)
}

// keep queues a fact to be written. What cannot be told in few words is not kept.
func (m *Memory) keep(k factKey, value any) {
	if raw, err := json.Marshal(value); err == nil && len(raw) <= maxValue && m.writer != nil {
		m.writer.keep(k, string(raw))
	}
}

// recall reads a fact into value, if it is known.
func (m *Memory) recall(k factKey, value any) bool {
	raw, known := m.pending(k)
	if !known {
		raw, known = m.stored(k)
	}
	return known && json.Unmarshal([]byte(raw), value) == nil
}

func (m *Memory) pending(k factKey) (raw string, known bool) {
	if m.writer == nil {
		return "", false
	}
	return m.writer.pendingFact(k)
}

// stored is what the database has.
func (m *Memory) stored(k factKey) (raw string, known bool) {
	var run int64
	m.ask(factQuery, func(row *sql.Rows) error {
		known = true
		return row.Scan(&raw, &run)
	}, k.kind, k.key)
	age := m.run - run
	switch {
	case k.kind == abilityKind, k.kind == roundKind:
		return raw, known && age <= abilityRuns
	case known && age >= usedAnew && m.writer != nil:
		m.writer.touch(k)
	}
	return raw, known
}
