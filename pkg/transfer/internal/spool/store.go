package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// store is where the bytes are.
type store interface {
	io.WriterAt
	io.ReaderAt
	io.Closer
}

// memoryStore is written from its start to its end.
type memoryStore struct {
	mu     sync.RWMutex
	bytes  []byte
	closed bool
}

// newMemoryStore takes all of its memory at once: growing would copy what is there, and
// hold it twice.
func newMemoryStore(size int64) *memoryStore {
	return &memoryStore{bytes: make([]byte, 0, size)}
}

func (m *memoryStore) WriteAt(p []byte, _ int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, os.ErrClosed
	}
	m.bytes = append(m.bytes, p...)
	return len(p), nil
}

func (m *memoryStore) ReadAt(p []byte, offset int64) (int, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return 0, os.ErrClosed
	}
	n := copy(p, m.bytes[min(offset, int64(len(m.bytes))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memoryStore) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes, m.closed = nil, true
	return nil
}

// File is a temporary file without a name, of mode 0600, so that a killed process
// leaves nothing. Where a file that is open cannot lose its name, it loses it at the end.
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
			return nil, fmt.Errorf("make a temporary directory: %w", err)
		}
		dir = private
	}
	file, err := os.CreateTemp(dir, "regsync-spool-*")
	if err != nil {
		if private != "" {
			_ = os.Remove(private) // the error is what to report
		}
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	f := &File{File: file, named: os.Remove(file.Name()) != nil, private: private}
	if !f.named && private != "" {
		f.private = ""
		err = os.Remove(private)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("remove a temporary directory: %w", err), file.Close())
	}
	return f, nil
}

// WriteAt names the directory that is full, because the file cannot be found by its name.
func (f *File) WriteAt(p []byte, offset int64) (int, error) {
	n, err := f.File.WriteAt(p, offset)
	if err != nil {
		return n, fmt.Errorf("write a temporary file: %w", err)
	}
	return n, nil
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
