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
	space, memory, err := p.take(size)
	if err != nil {
		return nil, err
	}
	s := &Spool{pool: p, size: size, space: space, grown: make(chan struct{})}
	if memory {
		s.store = newMemoryStore(size)
		return s, nil
	}
	store, err := NewFile(p.dir)
	if err != nil {
		p.free(space, false)
		return nil, err
	}
	s.store = store
	return s, nil
}

func (p *Pool) take(size int64) (space int64, memory bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	space, memory = size, size <= p.memory
	if !memory {
		space = max(size, p.max/maxFiles)
	}
	if free := p.max - p.used; space > free {
		return 0, false, fmt.Errorf("%d bytes, with %d of %d free: %w", space, free, p.max, ErrNoSpace)
	}
	p.used += space
	if memory {
		p.memory -= space
	}
	return space, memory, nil
}

// Free is the space that is not taken, in bytes.
func (p *Pool) Free() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.max - p.used
}

func (p *Pool) free(space int64, memory bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= space
	if memory {
		p.memory += space
	}
}
