package spool

import (
	"errors"
	"fmt"
	"os"
)

// File is a temporary file without a name, of mode 0600, so that a killed process
// leaves nothing. Where a file that is open cannot lose its name, Close removes it.
type File struct {
	*os.File
	named   bool
	private string // the directory that was made for the file and still contains it; empty if none
}

// NewFile makes a file in dir or, if dir is empty, in a directory of mode 0700 below the system's temporary
// directory. The caller closes it.
func NewFile(dir string) (*File, error) {
	private := ""
	if dir == "" {
		var err error
		if private, err = os.MkdirTemp("", "regsync-*"); err != nil {
			return nil, fmt.Errorf("create a temporary directory: %w", err)
		}
		dir = private
	}
	file, err := os.CreateTemp(dir, "regsync-spool-*")
	if err != nil {
		if private != "" {
			_ = os.Remove(private) // the error is what to report
		}
		return nil, fmt.Errorf("create a temporary file: %w", err)
	}
	f := &File{File: file, named: os.Remove(file.Name()) != nil, private: private}
	if !f.named && private != "" {
		f.private = ""
		if err := os.Remove(private); err != nil {
			return nil, errors.Join(fmt.Errorf("remove a temporary directory: %w", err), file.Close())
		}
	}
	return f, nil
}

// Close removes the file.
func (f *File) Close() error {
	err := f.File.Close()
	if f.named {
		err = os.Remove(f.Name())
	}
	if f.private != "" {
		err = errors.Join(err, os.Remove(f.private))
	}
	return err
}
