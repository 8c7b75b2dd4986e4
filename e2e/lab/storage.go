package lab

import (
	"testing"

	"github.com/regsync/regsync/e2e/storage"
)

// Storage is the folder of a registry that a test fills and serves.
type Storage struct{ *storage.Storage }

// Repository is one repository of a storage.
type Repository = storage.Repository

// NewStorage is an empty one, until the test ends. The test fails if something could not be written into it.
func NewStorage(t testing.TB) *Storage {
	t.Helper()
	s := &Storage{storage.New(t.TempDir())}
	t.Cleanup(func() {
		if err := s.Err(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Serve runs the registry at file over the storage until the test ends, and returns its
// host.
func (s *Storage) Serve(t testing.TB, file string) string {
	t.Helper()
	return s.Run(t, file).Host
}

// Run is Serve for a registry that the test ends and starts again.
func (s *Storage) Run(t testing.TB, file string) *Registry {
	t.Helper()
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	r := &Registry{Host: "127.0.0.1:" + FreePort(t), Dir: s.Dir, file: file}
	r.Start(t)
	return r
}
