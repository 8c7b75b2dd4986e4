package flight

import (
	"context"
	"sync"
)

// Locks is a lock for each key. The zero value is ready.
type Locks[K comparable] struct {
	mu   sync.Mutex
	held map[K]chan struct{}
}

// Lock waits for the lock of key. The caller calls unlock once. The error is the cause of ctx.
func (l *Locks[K]) Lock(ctx context.Context, key K) (unlock func(), err error) {
	for {
		l.mu.Lock()
		holder := l.held[key]
		if holder == nil {
			if l.held == nil {
				l.held = map[K]chan struct{}{}
			}
			mine := make(chan struct{})
			l.held[key] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				delete(l.held, key)
				close(mine)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-holder:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Held is how many locks are held.
func (l *Locks[K]) Held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held)
}
