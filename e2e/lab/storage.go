package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Storage is the folder of a distribution registry, filled behind the registry's back:
// thousands of tags in a second or two. Its layout is that of distribution's
// registry/storage/paths.go.
type Storage struct {
	// Dir is the folder.
	Dir string
	// Repositories are those that were made, in that order.
	Repositories []*Repository

	t testing.TB // whose folder it is
}

// NewStorage is an empty one, until the test ends.
func NewStorage(t testing.TB) *Storage {
	t.Helper()
	return &Storage{Dir: t.TempDir(), t: t}
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
	r := &Registry{Host: "127.0.0.1:" + FreePort(t), Dir: s.Dir, file: file}
	r.Start(t)
	return r
}

// Repository is one repository of a storage, and what was put into it.
type Repository struct {
	Name string
	// Blobs and Manifests are their sizes in bytes, by digest.
	Blobs, Manifests map[v1.Hash]int64
	Tags             map[string]v1.Hash

	storage   *Storage
	referrers map[v1.Hash][]v1.Descriptor // by subject
}

// Repository makes a repository.
func (s *Storage) Repository(name string) *Repository {
	r := &Repository{
		Name:  name,
		Blobs: map[v1.Hash]int64{}, Manifests: map[v1.Hash]int64{}, Tags: map[string]v1.Hash{},
		storage: s, referrers: map[v1.Hash][]v1.Descriptor{},
	}
	s.Repositories = append(s.Repositories, r)
	return r
}

// keep writes the content of a blob or a manifest, which all repositories share.
func (s *Storage) keep(digest v1.Hash, bytes []byte) {
	s.t.Helper()
	file := filepath.Join(s.root(), "blobs", digest.Algorithm, digest.Hex[:2], digest.Hex, "data")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		s.write(file, bytes)
	}
}

func (s *Storage) root() string { return filepath.Join(s.Dir, "docker", "registry", "v2") }

func (s *Storage) write(file string, bytes []byte) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// link says below a folder of the repository that it has a digest.
func (r *Repository) link(digest v1.Hash, below ...string) {
	r.storage.t.Helper()
	file := filepath.Join(append([]string{r.storage.root(), "repositories", r.Name}, below...)...)
	r.storage.write(filepath.Join(file, "link"), []byte(digest.String()))
}

func (r *Repository) linkBlob(digest v1.Hash, size int64) {
	r.storage.t.Helper()
	r.link(digest, "_layers", digest.Algorithm, digest.Hex)
	r.Blobs[digest] = size
}

func (r *Repository) linkManifest(digest v1.Hash, size int64) {
	r.storage.t.Helper()
	r.link(digest, "_manifests", "revisions", digest.Algorithm, digest.Hex)
	r.Manifests[digest] = size
}

// Tag points a tag at a manifest of the repository.
func (r *Repository) Tag(tag string, manifest v1.Descriptor) {
	r.storage.t.Helper()
	r.link(manifest.Digest, "_manifests", "tags", tag, "current")
	r.link(manifest.Digest, "_manifests", "tags", tag, "index", manifest.Digest.Algorithm, manifest.Digest.Hex)
	r.Tags[tag] = manifest.Digest
}
