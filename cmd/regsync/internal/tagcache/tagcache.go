// Package tagcache keeps the tags of repositories for a few minutes, so that a shell that completes them does not list them at
// each key. Start at [Cache]. It removes no file that it did not write, and only its user can read its files.
package tagcache

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/reference"
)

// Cache keeps tags in a directory, in one file for each repository and identity. The zero value keeps nothing.
type Cache struct {
	Dir string // is created with the mode 0700
	// Identity is a text for the account: another account may see other tags.
	Identity string
}

// fresh is how long tags are kept.
const fresh = 5 * time.Minute

// fileName matches the names of the cache's files: those of [Cache.file], and temporary ones, which end with a
// dot and digits.
var fileName = regexp.MustCompile(`^[0-9a-f]{32}-[0-9a-f]{16}(\.[0-9]+)?$`)

// prefix is how the names of a repository's files begin, for all identities.
func (c Cache) prefix(repository reference.Reference) string {
	return hashed(repository.String(), 16) + "-"
}

func (c Cache) file(repository reference.Reference) string {
	return filepath.Join(c.Dir, c.prefix(repository)+hashed(c.Identity, 8))
}

// hashed returns the first bytes of the SHA-256 of a text, in hexadecimal.
func hashed(text string, bytes int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:bytes])
}

// Read returns the tags that were kept in the last minutes.
func (c Cache) Read(repository reference.Reference) (tags []string, ok bool) {
	if c.Dir == "" {
		return nil, false
	}
	file := c.file(repository)
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) > fresh {
		return nil, false
	}
	raw, err := os.ReadFile(file)
	return strings.Fields(string(raw)), err == nil
}

// Write keeps tags, and removes the files of the cache that are not fresh. If it fails, the next completion lists the tags
// again.
func (c Cache) Write(repository reference.Reference, tags []string) {
	if c.Dir == "" || os.MkdirAll(c.Dir, 0o700) != nil {
		return
	}
	// Chmod fails if the directory is another user's: private repositories have names that not everybody may read.
	if info, err := os.Lstat(c.Dir); err != nil || !info.IsDir() || os.Chmod(c.Dir, 0o700) != nil {
		return
	}
	c.remove(func(_ string, modified time.Time) bool { return time.Since(modified) > fresh })
	file, err := os.CreateTemp(c.Dir, filepath.Base(c.file(repository))+".*") // with the mode 0600
	if err != nil {
		return
	}
	_, err = file.WriteString(strings.Join(tags, "\n"))
	if closed := file.Close(); err != nil || closed != nil || os.Rename(file.Name(), c.file(repository)) != nil {
		_ = os.Remove(file.Name())
	}
}

// Forget removes the tags of a repository, after its tags have changed.
func (c Cache) Forget(repository reference.Reference) {
	prefix := c.prefix(repository)
	c.remove(func(name string, _ time.Time) bool { return strings.HasPrefix(name, prefix) })
}

// remove removes the files of the cache that are chosen. Files that the cache did not write stay.
func (c Cache) remove(chosen func(name string, modified time.Time) bool) {
	if c.Dir == "" {
		return
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && fileName.MatchString(entry.Name()) && chosen(entry.Name(), info.ModTime()) {
			_ = os.Remove(filepath.Join(c.Dir, entry.Name()))
		}
	}
}
