// Package flight does equal work once for all its callers.
//
// Start at [Group], which shares work that is in flight, and [Memo], which also keeps its result. Work belongs to no
// caller: it goes on as long as one of them waits for it, and is cancelled when the last one has left, so that a caller
// whose time is up takes nothing from the others.
package flight

import (
	"context"
	"sync"
)

// Group does equal work once, however many ask for it at the same time. It keeps no results.
// The zero value is ready.
type Group[K comparable, V any] struct {
	mu    sync.Mutex
	calls map[K]*call[V]
}

type call[V any] struct {
	done    chan struct{}
	value   V
	err     error
	waiters int
	cancel  context.CancelFunc
}

// Do waits for the work of key, which it starts if it is not in flight. The second result
// says whether this caller was the one who started it. running counts the goroutine, which
// may outlive the wait.
func (g *Group[K, V]) Do(ctx context.Context, running *sync.WaitGroup, key K, work func(context.Context) (V, error)) (V, bool, error) {
	g.mu.Lock()
	c, found := g.calls[key]
	if !found {
		if g.calls == nil {
			g.calls = map[K]*call[V]{}
		}
		workCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &call[V]{done: make(chan struct{}), cancel: cancel}
		g.calls[key] = c
		running.Go(func() {
			defer cancel()
			c.value, c.err = work(workCtx)
			g.mu.Lock()
			defer g.mu.Unlock()
			g.forget(key, c)
			close(c.done)
		})
	}
	c.waiters++
	g.mu.Unlock()

	select {
	case <-c.done:
		return c.value, !found, c.err
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		if c.waiters--; c.waiters == 0 {
			c.cancel()
			g.forget(key, c)
		}
		return *new(V), !found, context.Cause(ctx)
	}
}

// Pending is how much work is under way.
func (g *Group[K, V]) Pending() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.calls)
}

// forget makes room for other work of key. mu is held.
func (g *Group[K, V]) forget(key K, c *call[V]) {
	if g.calls[key] == c {
		delete(g.calls, key)
	}
}

// Memo does equal work once in a run and keeps what came of it. Errors are not kept. The
// zero value is ready.
type Memo[K comparable, V any] struct {
	group Group[K, V]
	mu    sync.Mutex
	kept  map[K]V
}

// Do returns the result of the work of key, which it does if it was not done before. The second result
// says whether this caller was the one who had it done.
func (m *Memo[K, V]) Do(ctx context.Context, running *sync.WaitGroup, key K, work func(context.Context) (V, error)) (V, bool, error) {
	if value, known := m.Find(key); known {
		return value, false, nil
	}
	done := false
	value, mine, err := m.group.Do(ctx, running, key, func(ctx context.Context) (V, error) {
		if value, known := m.Find(key); known { // since a moment ago
			return value, nil
		}
		value, err := work(ctx)
		if err == nil {
			done = true
			m.Keep(key, value)
		}
		return value, err
	})
	// Where err is set, the work may go on for others, and done with it.
	return value, mine && (err != nil || done), err
}

// Pending is how much work is under way.
func (m *Memo[K, V]) Pending() int { return m.group.Pending() }

// Find is what is known of key.
func (m *Memo[K, V]) Find(key K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, known := m.kept[key]
	return value, known
}

// Keep sets what is known of key.
func (m *Memo[K, V]) Keep(key K, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[K]V{}
	}
	m.kept[key] = value
}

// KeepFirst keeps value for key unless something is known of it, and returns what is known then.
func (m *Memo[K, V]) KeepFirst(key K, value V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, found := m.kept[key]; found {
		return known
	}
	if m.kept == nil {
		m.kept = map[K]V{}
	}
	m.kept[key] = value
	return value
}

// Forget drops what is known of key.
func (m *Memo[K, V]) Forget(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kept, key)
}

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
