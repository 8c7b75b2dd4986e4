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
		unlock, holder := l.tryLock(key)
		if holder == nil {
			return unlock, nil
		}
		select {
		case <-holder:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// TryLock is [Locks.Lock] without a wait: locked is false if the lock is held.
func (l *Locks[K]) TryLock(key K) (unlock func(), locked bool) {
	unlock, holder := l.tryLock(key)
	return unlock, holder == nil
}

// tryLock takes the lock of key, or returns a channel that is closed when its holder unlocks it.
func (l *Locks[K]) tryLock(key K) (unlock func(), holder <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held := l.held[key]; held != nil {
		return nil, held
	}
	if l.held == nil {
		l.held = map[K]chan struct{}{}
	}
	unlocked := make(chan struct{})
	l.held[key] = unlocked
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, key)
		close(unlocked)
	}, nil
}

// Held is how many locks are held.
func (l *Locks[K]) Held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held)
}
