// Package spool keeps bytes between one writer and many readers that each go at their own
// pace: in memory while they are few, in a temporary file otherwise.
//
// Start at [Pool.Reserve]. A writer is never held up by a reader, and a reader follows the
// writer while it writes.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// ErrNoSpace means that the pool does not have that much free space.
var ErrNoSpace = errors.New("no space for spooling")

// maxFiles bounds the open files of a pool: each takes at least this part of the pool's space.
const maxFiles = 256

// Pool is the space that spools share. It may be used concurrently.
type Pool struct {
	dir string
	max int64 // bytes in all

	mu     sync.Mutex
	used   int64
	memory int64 // bytes of memory that are left
}

// NewPool creates a pool of maxBytes, of which up to memoryBytes are in memory and the rest in
// at most 256 files. The files are created in dir, or in the system's temporary directory if
// dir is empty, and have no name there.
func NewPool(dir string, maxBytes, memoryBytes int64) *Pool {
	return &Pool{dir: dir, max: maxBytes, memory: memoryBytes}
}

// Reserve takes the space for size bytes, all of it before the first is written, so that no
// spool waits half full for the space of another. It returns an [ErrNoSpace] if there is too
// little free space, or the error of creating a file. The caller releases the spool.
func (p *Pool) Reserve(size int64) (*Spool, error) {
	space, inMemory, err := p.take(size)
	if err != nil {
		return nil, err
	}
	s := &Spool{pool: p, size: size, space: space, grown: make(chan struct{})}
	if inMemory {
		s.store = make(memory, size)
		return s, nil
	}
	if s.store, err = NewFile(p.dir); err != nil {
		p.free(space, false)
		return nil, err
	}
	return s, nil
}

func (p *Pool) take(size int64) (space int64, inMemory bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	space, inMemory = size, size <= p.memory
	if !inMemory {
		space = max(size, p.max/maxFiles)
	}
	if free := p.max - p.used; space > free {
		return 0, false, fmt.Errorf("%d bytes needed, %d of %d free: %w", space, free, p.max, ErrNoSpace)
	}
	p.used += space
	if inMemory {
		p.memory -= space
	}
	return space, inMemory, nil
}

// Free is the space that is not taken, in bytes.
func (p *Pool) Free() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.max - p.used
}

func (p *Pool) free(space int64, inMemory bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= space
	if inMemory {
		p.memory += space
	}
}

// store is where the bytes of a spool are. The spool reads only what it has written before.
type store interface {
	io.WriterAt
	io.ReaderAt
	io.Closer
}

// memory has the reserved size from the start: growing would copy what is there, and hold it twice.
type memory []byte

func (m memory) WriteAt(p []byte, offset int64) (int, error) { return copy(m[offset:], p), nil }

func (m memory) ReadAt(p []byte, offset int64) (int, error) { return copy(p, m[offset:]), nil }

func (m memory) Close() error { return nil }

// Spool holds one sequence of bytes. One goroutine writes it; any number read it.
type Spool struct {
	pool  *Pool
	size  int64
	space int64 // of the pool; more than size for a small file

	mu     sync.Mutex
	store  store // nil after Release
	length int64
	closed bool
	err    error
	grown  chan struct{} // closed and replaced at each change
}

// Write appends. It fails where the disk does, and beyond the size that was reserved.
func (s *Spool) Write(b []byte) (int, error) {
	s.mu.Lock()
	store, offset := s.store, s.length
	s.mu.Unlock()
	if store == nil {
		return 0, os.ErrClosed
	}
	if offset+int64(len(b)) > s.size {
		return 0, fmt.Errorf("spool: more than the %d bytes that were reserved", s.size)
	}
	n, err := store.WriteAt(b, offset)
	if err != nil {
		err = fmt.Errorf("write a temporary file: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.length += int64(n)
	s.announce()
	return n, err
}

// CloseWrite ends the writing: readers come to the end of what is there and then get err,
// or io.EOF if it is nil.
func (s *Spool) CloseWrite(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.err = true, err
	s.announce()
}

// announce wakes those that wait. s.mu is held.
func (s *Spool) announce() {
	close(s.grown)
	s.grown = make(chan struct{})
}

// Wait returns when n bytes have been written, or the writing has ended. It returns the
// error that it ended with if fewer are there, or ctx's cause.
func (s *Spool) Wait(ctx context.Context, n int64) error {
	for {
		s.mu.Lock()
		length, closed, err, grown := s.length, s.closed, s.err, s.grown
		s.mu.Unlock()
		if length >= n {
			return nil
		}
		if closed {
			return err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// NewReader reads from an offset and waits, until ctx ends, while the writer is behind. One goroutine at a time may
// use the reader.
func (s *Spool) NewReader(ctx context.Context, offset int64) io.Reader {
	return &reader{ctx: ctx, spool: s, offset: offset}
}

// Release frees the space. Later writes and reads, for example those of an HTTP client that has
// not noticed yet that its request is over, return an [os.ErrClosed] and never a clean
// end. Releasing it again does nothing.
func (s *Spool) Release() {
	s.mu.Lock()
	store := s.store
	s.store = nil
	s.mu.Unlock()
	if store == nil {
		return
	}
	_, inMemory := store.(memory)
	_ = store.Close() // the file has no name: there is nothing left to do about it
	s.pool.free(s.space, inMemory)
}

type reader struct {
	ctx    context.Context // of the reading; a Read has no other way to end
	spool  *Spool
	offset int64
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	if err := r.spool.Wait(r.ctx, r.offset+1); err != nil {
		return 0, err
	}
	r.spool.mu.Lock()
	store, there := r.spool.store, r.spool.length-r.offset
	r.spool.mu.Unlock()
	if there <= 0 {
		return 0, io.EOF
	}
	if store == nil {
		return 0, os.ErrClosed
	}
	n, err := store.ReadAt(p[:min(int64(len(p)), there)], r.offset)
	r.offset += int64(n)
	return n, err
}
