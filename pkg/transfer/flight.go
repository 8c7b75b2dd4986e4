package transfer

import (
	"context"
	"sync"
)

// flight does equal work once, however many ask for it at the same time. The work belongs
// to none of them: it goes on while anybody waits for it and is cancelled when the last
// has gone. It keeps no results.
type flight[K comparable, V any] struct {
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

// do waits for the work of key, which it starts where nobody else has. The second result
// says whether this caller was the one who started it. running counts the goroutine, which
// may outlive the wait.
func (f *flight[K, V]) do(ctx context.Context, running *sync.WaitGroup, key K, work func(context.Context) (V, error)) (V, bool, error) {
	f.mu.Lock()
	c, found := f.calls[key]
	if !found {
		if f.calls == nil {
			f.calls = map[K]*call[V]{}
		}
		workCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &call[V]{done: make(chan struct{}), cancel: cancel}
		f.calls[key] = c
		running.Go(func() {
			defer cancel()
			c.value, c.err = work(workCtx)
			f.forget(key, c)
			close(c.done)
		})
	}
	c.waiters++
	f.mu.Unlock()

	select {
	case <-c.done:
		return c.value, !found, c.err
	case <-ctx.Done():
		f.leave(key, c)
		var none V
		return none, !found, context.Cause(ctx)
	}
}

func (f *flight[K, V]) leave(key K, c *call[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.waiters--; c.waiters == 0 {
		c.cancel()
		f.forgetLocked(key, c)
	}
}

func (f *flight[K, V]) forget(key K, c *call[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgetLocked(key, c)
}

func (f *flight[K, V]) forgetLocked(key K, c *call[V]) {
	if f.calls[key] == c {
		delete(f.calls, key)
	}
}
