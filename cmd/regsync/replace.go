package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
)

// replaceFile gives the file at path what write writes, all of it or nothing: a file that
// was there keeps what it had where that fails, and its mode where it does not.
func replaceFile(path string, write func(io.Writer) error) error {
	file, err := createBeside(path)
	if err != nil {
		return err
	}
	err = fill(file, write)
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // is in nobody's way
	}
	return err
}

// tryReplacing is the error that replaceFile would have for path as things stand. Nothing
// stays of the attempt, so that a process that is killed later leaves nothing behind.
func tryReplacing(path string) error {
	file, err := createBeside(path)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Remove(file.Name())
}

// createBeside makes a file in the same file system, of a name that no other process takes.
func createBeside(path string) (*os.File, error) {
	mode := os.FileMode(0o644)
	if there, err := os.Stat(path); err == nil {
		mode = there.Mode().Perm()
	}
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	name := "." + filepath.Base(path) + "." + hex.EncodeToString(salt[:])
	return os.OpenFile(filepath.Join(filepath.Dir(path), name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

// fill writes a file down to the disk, and closes it.
func fill(file *os.File, write func(io.Writer) error) error {
	defer file.Close()
	out := bufio.NewWriter(file)
	if err := write(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return file.Close()
}
