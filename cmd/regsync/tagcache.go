package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/reference"
)

// tagCache keeps the tags of repositories between completions, in one file for each repository.
type tagCache struct{ dir string } // nothing is kept if it is empty

// tagsFresh is how long tags are kept.
const tagsFresh = 5 * time.Minute

func (c tagCache) file(repository reference.Reference) string {
	name := sha256.Sum256([]byte(repository.String()))
	return filepath.Join(c.dir, hex.EncodeToString(name[:16]))
}

// read returns the tags that were kept in the last minutes.
func (c tagCache) read(repository reference.Reference) (tags []string, ok bool) {
	if c.dir == "" {
		return nil, false
	}
	file := c.file(repository)
	info, err := os.Stat(file)
	if err != nil || time.Since(info.ModTime()) > tagsFresh {
		return nil, false
	}
	raw, err := os.ReadFile(file)
	return strings.Fields(string(raw)), err == nil
}

// write keeps tags, and removes what is not fresh. If it fails, the next completion lists the tags again.
func (c tagCache) write(repository reference.Reference, tags []string) {
	if c.dir == "" || os.MkdirAll(c.dir, 0o700) != nil {
		return
	}
	kept, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, entry := range kept {
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > tagsFresh {
			os.Remove(filepath.Join(c.dir, entry.Name()))
		}
	}
	_ = replaceFile(c.file(repository), func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(tags, "\n"))
		return err
	})
}
