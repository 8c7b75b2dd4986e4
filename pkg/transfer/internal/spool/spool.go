package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Spool holds one sequence of bytes. One goroutine writes it; any number read it.
type Spool struct {
	pool  *Pool
	size  int64
	space int64 // of the pool; more than size for a small file
	store store

	mu       sync.Mutex
	length   int64
	closed   bool
	err      error
	grown    chan struct{} // closed and replaced at each change
	released bool
}

// Write appends. It fails where the disk does, and beyond the size that was reserved.
func (s *Spool) Write(b []byte) (int, error) {
	s.mu.Lock()
	offset, full := s.length, s.length+int64(len(b)) > s.size
	s.mu.Unlock()
	if full {
		return 0, fmt.Errorf("spool: more than the %d bytes that were reserved", s.size)
	}
	n, err := s.store.WriteAt(b, offset)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.length += int64(n)
	s.announce()
	return n, err
}

// CloseWrite ends the writing: readers come to the end of what is there and then get err,
// or io.EOF where it is nil.
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

// Len is how many bytes have been written.
func (s *Spool) Len() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.length
}

// Wait returns when n bytes have been written, or the writing has ended. It returns the
// error that it ended with where fewer are there, or ctx's cause.
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

// NewReader reads from an offset and waits, until ctx ends, where the writer is behind.
func (s *Spool) NewReader(ctx context.Context, offset int64) io.ReadCloser {
	return &reader{ctx: ctx, spool: s, offset: offset}
}

// Release frees the space. Whoever writes or reads afterwards, as an HTTP client may do that
// has not noticed yet that its request is over, gets an [os.ErrClosed] and never a clean
// end. Releasing it again does nothing.
func (s *Spool) Release() {
	s.mu.Lock()
	released := s.released
	s.released = true
	s.mu.Unlock()
	if released {
		return
	}
	_, inMemory := s.store.(*memoryStore)
	_ = s.store.Close() // the file has no name: there is nothing left to do about it
	s.pool.free(s.space, inMemory)
}

// reader is one reading of a spool; it belongs to one goroutine.
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
	there := r.spool.Len() - r.offset
	if there <= 0 {
		return 0, io.EOF
	}
	n, err := r.spool.store.ReadAt(p[:min(int64(len(p)), there)], r.offset)
	r.offset += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// Close does nothing: a reading holds nothing.
func (r *reader) Close() error { return nil }
