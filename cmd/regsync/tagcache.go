package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/reference"
)

// tagCache keeps the tags of repositories between completions, in one file for each repository and identity.
type tagCache struct {
	dir      string // nothing is kept if it is empty
	identity string // of the account: another account may see other tags
}

// tagsFresh is how long tags are kept.
const tagsFresh = 5 * time.Minute

// tagCacheName matches the names of the cache's files: those of [tagCache.file], and temporary ones, which end with a
// dot and digits.
var tagCacheName = regexp.MustCompile(`^[0-9a-f]{32}-[0-9a-f]{16}(\.[0-9]+)?$`)

// prefix is how the names of a repository's files begin, for all identities.
func (c tagCache) prefix(repository reference.Reference) string {
	return hashed(repository.String(), 16) + "-"
}

func (c tagCache) file(repository reference.Reference) string {
	return filepath.Join(c.dir, c.prefix(repository)+hashed(c.identity, 8))
}

// hashed returns the first bytes of the SHA-256 of a text, in hexadecimal.
func hashed(text string, bytes int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:bytes])
}

// read returns the tags that were kept in the last minutes.
func (c tagCache) read(repository reference.Reference) (tags []string, ok bool) {
	if c.dir == "" {
		return nil, false
	}
	file := c.file(repository)
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) > tagsFresh {
		return nil, false
	}
	raw, err := os.ReadFile(file)
	return strings.Fields(string(raw)), err == nil
}

// write keeps tags, and removes the files of the cache that are not fresh. If it fails, the next completion lists the tags
// again.
func (c tagCache) write(repository reference.Reference, tags []string) {
	if c.dir == "" || os.MkdirAll(c.dir, 0o700) != nil {
		return
	}
	// Chmod fails if the directory is another user's: private repositories have names that not everybody may read.
	if info, err := os.Lstat(c.dir); err != nil || !info.IsDir() || os.Chmod(c.dir, 0o700) != nil {
		return
	}
	c.remove(func(_ string, modified time.Time) bool { return time.Since(modified) > tagsFresh })
	file, err := os.CreateTemp(c.dir, filepath.Base(c.file(repository))+".*") // with the mode 0600
	if err != nil {
		return
	}
	_, err = file.WriteString(strings.Join(tags, "\n"))
	if closed := file.Close(); err != nil || closed != nil || os.Rename(file.Name(), c.file(repository)) != nil {
		_ = os.Remove(file.Name())
	}
}

// forget removes the tags of a repository, after its tags have changed.
func (c tagCache) forget(repository reference.Reference) {
	prefix := c.prefix(repository)
	c.remove(func(name string, _ time.Time) bool { return strings.HasPrefix(name, prefix) })
}

// remove removes the files of the cache that are chosen. Files that the cache did not write stay.
func (c tagCache) remove(chosen func(name string, modified time.Time) bool) {
	if c.dir == "" {
		return
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && tagCacheName.MatchString(entry.Name()) && chosen(entry.Name(), info.ModTime()) {
			_ = os.Remove(filepath.Join(c.dir, entry.Name()))
		}
	}
}

// newTagCache returns the cache of the tags of a repository; one that keeps nothing if there is no directory for the state.
func newTagCache(a *app, repository reference.Reference) tagCache {
	dir := a.stateDir()
	if dir == "" || !repository.IsRegistry() {
		return tagCache{}
	}
	return tagCache{dir: filepath.Join(dir, "completion"), identity: loginIdentity(a)}
}

// loginIdentity returns a text that changes when the account at a registry may be another one: with the configuration, and
// with a login.
func loginIdentity(a *app) string {
	files := append([]string{a.defaultConfig()}, a.flags.config...)
	var text strings.Builder
	for _, name := range []string{"HOME", "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		text.WriteString(a.getenv(name) + "\x00")
	}
	if docker, err := auth.DockerFile(a.getenv); err == nil {
		files = append(files, docker.Path())
	}
	files = append(files, a.getenv("REGISTRY_AUTH_FILE"))
	for _, file := range files {
		text.WriteString(file + "\x00")
		if path, err := filepath.Abs(file); err == nil && file != "" {
			text.WriteString(path + "\x00")
		}
		if info, err := os.Stat(file); err == nil {
			text.WriteString(info.ModTime().String() + "\x00")
		}
	}
	return text.String()
}
