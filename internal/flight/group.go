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

// Do waits for the work of key, which it starts where nobody else has. The second result
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
