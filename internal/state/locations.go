package state

import (
	"database/sql"

	"github.com/opencontainers/go-digest"
)

// maxLocations is how many repositories a question for a blob is answered with. Each may
// cost its asker a request.
const maxLocations = 8

// location is a repository that has a blob. Whose account has seen it is not remembered:
// another one may be refused, which costs a request.
type location struct {
	registry, repository string
	blob                 digest.Digest
}

// Locations are repositories of a registry that had a blob when they were last seen, the
// last seen first. It may be the engine's Options.MountHints.
func (m *Memory) Locations(registry string, blob digest.Digest) []string {
	var repositories []string
	m.ask(locationQuery, func(row *sql.Rows) error {
		var repository string
		err := row.Scan(&repository)
		repositories = append(repositories, repository)
		return err
	}, registry, blob.String(), maxLocations)
	return repositories
}

// KeepLocation remembers that a repository of a registry has a blob. Locations tells it
// once it is written, a moment later.
func (m *Memory) KeepLocation(registry, repository string, blob digest.Digest) {
	if m.writer != nil {
		m.writer.locate(location{registry, repository, blob}, false)
	}
}

// KeepSent remembers that a blob had to be sent to a repository. It was not to be had from
// where earlier runs saw it, so that this is forgotten.
func (m *Memory) KeepSent(registry, repository string, blob digest.Digest) {
	if m.writer != nil {
		m.writer.locate(location{registry, repository, blob}, true)
	}
}
