package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofrs/flock"
)

// runLock is the lock of the configuration on this host. Nobody has it yet.
func (a *app) runLock() (*flock.Flock, error) {
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
