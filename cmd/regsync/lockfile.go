package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gofrs/flock"
)

// stateLock is the lock in the state's directory.
func (a *app) stateLock() (*flock.Flock, error) {
	dir, err := a.locksDir()
	if err != nil {
		return nil, err
	}
	name, err := a.configurationName()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(name))
	file := hex.EncodeToString(sum[:16]) + ".lock"
	return flock.New(filepath.Join(dir, file), flock.SetPermissions(0o600)), nil
}

// entryFiles are the files of the configuration that have entries, in one order however they
// were given: who locks them cannot wait for one who waits for him. Files that only have
// registries are shared by many configurations. On Windows a lock would keep all others from
// reading the file.
func (a *app) entryFiles() []string {
	if runtime.GOOS == "windows" || a.loaded == nil {
		return nil
	}
	found := map[string]os.FileInfo{}
	for _, entry := range a.loaded.Entries {
		path, err := filepath.EvalSymlinks(entry.Position.File)
		if err != nil {
			continue // standard input, or a pipe
		}
		if path, err = filepath.Abs(path); err != nil {
			continue
		}
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && !holds(found, info) {
			found[path] = info
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// holds reports whether a file is one of files, under whatever name: a process that locks it
// twice waits for itself.
func holds(files map[string]os.FileInfo, file os.FileInfo) bool {
	for _, known := range files {
		if os.SameFile(known, file) {
			return true
		}
	}
	return false
}

// configurationName is equal for equal files of --config, however they are written and in
// whatever order; standard input goes by what came from it.
func (a *app) configurationName() (string, error) {
	var names []string
	for _, file := range a.flags.config {
		if file == "-" {
			names = append(names, "-"+a.stdinSum)
			continue
		}
		path, err := filepath.Abs(file)
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			return "", fmt.Errorf("find the configuration: %w", err)
		}
		names = append(names, path)
	}
	slices.Sort(names)
	return strings.Join(names, "\x00"), nil
}

// locksDir is made below the state's directory. Without one it is in the system's temporary
// directory, where it has to be ours alone: somebody else's lock could stop us for good.
func (a *app) locksDir() (string, error) {
	dir := a.stateDir()
	if dir == "" {
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("regsync-%d", os.Getuid()))
		if err := makePrivate(dir); err != nil {
			return "", err
		}
	}
	dir = filepath.Join(dir, "locks")
	return dir, os.MkdirAll(dir, 0o700)
}

// makePrivate makes a directory that nobody else can change, or checks that it is one.
func makePrivate(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() || !ours(info) {
		return fmt.Errorf("%s is not a directory of this user alone", dir)
	}
	return nil
}
