// Package spool keeps bytes between one writer and many readers that each go at their own
// pace: in memory while they are few, in a temporary file otherwise.
//
// Start at [Pool.Reserve]. A writer is never held up by a reader, and a reader follows the
// writer while it writes.
package spool

import (
	"errors"
	"fmt"
	"sync"
)

// ErrNoSpace: the pool has not that much space at the moment, or never.
var ErrNoSpace = errors.New("no space for spooling")

// Pool is the space that spools share. It may be used concurrently.
type Pool struct {
	dir string
	max int64 // bytes in all

	mu     sync.Mutex
	used   int64
	memory int64 // bytes of memory that are left
}

// NewPool makes a pool of maxBytes, of which memoryBytes are in memory. Files are made in
// dir, the system's temporary directory if it is empty, and are not seen there.
func NewPool(dir string, maxBytes, memoryBytes int64) *Pool {
	return &Pool{dir: dir, max: maxBytes, memory: memoryBytes}
}

// Reserve takes the space for size bytes, all of it before the first is written, so that no
// spool waits half full for the space of another. It returns an [ErrNoSpace] where so much is
// not free, or the error of making a file. The caller releases the spool.
func (p *Pool) Reserve(size int64) (*Spool, error) {
	memory, err := p.take(size)
	if err != nil {
		return nil, err
	}
	s := &Spool{pool: p, size: size, grown: make(chan struct{}), abandoned: make(chan struct{})}
	if memory {
		s.store = newMemoryStore(size)
		return s, nil
	}
	store, err := NewFile(p.dir)
	if err != nil {
		p.free(size, false)
		return nil, err
	}
	s.store = store
	return s, nil
}

func (p *Pool) take(size int64) (memory bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if size > p.max-p.used {
		return false, fmt.Errorf("%d bytes, with %d of %d free: %w", size, p.max-p.used, p.max, ErrNoSpace)
	}
	p.used += size
	if memory = size <= p.memory; memory {
		p.memory -= size
	}
	return memory, nil
}

// Free is the space that is not taken, in bytes.
func (p *Pool) Free() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.max - p.used
}

func (p *Pool) free(size int64, memory bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= size
	if memory {
		p.memory += size
	}
}
