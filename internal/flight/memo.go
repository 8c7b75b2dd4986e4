package flight

import (
	"context"
	"sync"
)

// Memo does equal work once in a run and keeps what came of it. Errors are not kept. The
// zero value is ready.
type Memo[K comparable, V any] struct {
	group Group[K, V]
	mu    sync.Mutex
	kept  map[K]V
}

// Do gives what came of the work of key, which it does where nobody has. The second result
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

// Forget drops what is known of key.
func (m *Memo[K, V]) Forget(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kept, key)
}
