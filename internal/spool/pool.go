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
	"sync"
)

// ErrTooLarge: the pool could not hold so much, however long one waits.
var ErrTooLarge = errors.New("larger than the space for spooling")

// Pool is the space that spools share. It may be used concurrently.
type Pool struct {
	dir string

	mu      sync.Mutex
	max     int64 // bytes in all
	used    int64
	memory  int64 // bytes of memory that are left
	waiting []*reservation
}

// reservation is a wait for space.
type reservation struct {
	size    int64
	granted chan struct{}
}

// NewPool makes a pool of maxBytes, of which memoryBytes are in memory. Files are made in
// dir, the system's temporary directory if it is empty, and are not seen there.
func NewPool(dir string, maxBytes, memoryBytes int64) *Pool {
	return &Pool{dir: dir, max: maxBytes, memory: memoryBytes}
}

// Reserve takes the space for size bytes, all of it before the first is written, so that
// no two spools wait for each other half full. Those who wait are served in their order.
// It returns an [ErrTooLarge], or ctx's cause. The caller releases the spool.
func (p *Pool) Reserve(ctx context.Context, size int64) (*Spool, error) {
	if size > p.max {
		return nil, fmt.Errorf("%d bytes, with %d in all: %w", size, p.max, ErrTooLarge)
	}
	r := &reservation{size: size, granted: make(chan struct{})}
	p.mu.Lock()
	p.waiting = append(p.waiting, r)
	p.grant()
	p.mu.Unlock()
	select {
	case <-r.granted:
	case <-ctx.Done():
		if p.withdraw(r) {
			return nil, context.Cause(ctx)
		}
	}
	s := &Spool{pool: p, size: size, grown: make(chan struct{}), abandoned: make(chan struct{})}
	if p.takeMemory(size) {
		s.store = newMemoryStore(size)
		return s, nil
	}
	store, err := newFileStore(p.dir)
	if err != nil {
		p.free(size, false)
		return nil, err
	}
	s.store = store
	return s, nil
}

// Free is the space that is neither taken nor waited for, in bytes; it is negative where
// more is waited for than there is.
func (p *Pool) Free() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.max - p.used
	for _, r := range p.waiting {
		free -= r.size
	}
	return free
}

// grant serves the first in line while there is space. p.mu is held.
func (p *Pool) grant() {
	for len(p.waiting) > 0 && p.used+p.waiting[0].size <= p.max {
		p.used += p.waiting[0].size
		close(p.waiting[0].granted)
		p.waiting = p.waiting[1:]
	}
}

// withdraw takes a reservation back; where it was granted already, it is the caller's.
func (p *Pool) withdraw(r *reservation) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, waiting := range p.waiting {
		if waiting == r {
			p.waiting = append(p.waiting[:i:i], p.waiting[i+1:]...)
			p.grant()
			return true
		}
	}
	return false
}

func (p *Pool) takeMemory(size int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if size > p.memory {
		return false
	}
	p.memory -= size
	return true
}

func (p *Pool) free(size int64, memory bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= size
	if memory {
		p.memory += size
	}
	p.grant()
}
