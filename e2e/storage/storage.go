// Package storage writes repositories straight into the folder of a distribution registry, behind
// the registry's back: thousands of tags in a second or two. Start with New. The layout is that of
// distribution's registry/storage/paths.go.
package storage

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Storage is the folder of a distribution registry. The first error of all that is written into it
// is kept for Err; what is written after that may be incomplete.
type Storage struct {
	// Dir is the folder.
	Dir string
	// Repositories are those that were made, in that order.
	Repositories []*Repository

	err error
}

// New is an empty storage in a folder that exists.
func New(dir string) *Storage { return &Storage{Dir: dir} }

// Err is the first error of all that was written.
func (s *Storage) Err() error { return s.err }

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

// setErr records the first error.
func (s *Storage) setErr(err error) {
	if s.err == nil {
		s.err = err
	}
}

// keep writes the content of a blob or a manifest, which all repositories share.
func (s *Storage) keep(digest v1.Hash, content io.Reader) {
	file := blobFile(s.Dir, digest)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		s.setErr(write(file, content))
	}
}

func root(dir string) string { return filepath.Join(dir, "docker", "registry", "v2") }

func blobFile(dir string, digest v1.Hash) string {
	return filepath.Join(root(dir), "blobs", digest.Algorithm, digest.Hex[:2], digest.Hex, "data")
}

// layerLink is the file that says that a repository has a blob, revisionLink that it has a manifest,
// and tagLink what a tag points at. Each contains a digest.
func layerLink(dir, repository string, digest v1.Hash) string {
	return filepath.Join(root(dir), "repositories", repository, "_layers", digest.Algorithm, digest.Hex, "link")
}

func revisionLink(dir, repository string, digest v1.Hash) string {
	return filepath.Join(root(dir), "repositories", repository, "_manifests", "revisions", digest.Algorithm, digest.Hex, "link")
}

func tagLink(dir, repository, tag string) string {
	return filepath.Join(root(dir), "repositories", repository, "_manifests", "tags", tag, "current", "link")
}

func write(file string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// linkAll makes a folder of hard links to the files of another one.
func linkAll(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, below), 0o755)
		}
		return os.Link(path, filepath.Join(to, below))
	})
}
