package transfer

import (
	"context"
	"sync"
)

// memo does equal work once in a run and keeps what came of it. Errors are not kept. The
// zero value is ready.
type memo[K comparable, V any] struct {
	flight flight[K, V]
	mu     sync.Mutex
	kept   map[K]V
}

// do gives what came of the work of key, which it does where nobody has. The second result
// says whether this caller was the one who had it done.
func (m *memo[K, V]) do(ctx context.Context, running *sync.WaitGroup, key K, work func(context.Context) (V, error)) (V, bool, error) {
	if value, known := m.find(key); known {
		return value, false, nil
	}
	done := false
	value, mine, err := m.flight.do(ctx, running, key, func(ctx context.Context) (V, error) {
		if value, known := m.find(key); known { // since a moment ago
			return value, nil
		}
		value, err := work(ctx)
		if err == nil {
			done = true
			m.keep(key, value)
		}
		return value, err
	})
	// Where err is set, the work may go on for others, and done with it.
	return value, mine && (err != nil || done), err
}

func (m *memo[K, V]) find(key K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, known := m.kept[key]
	return value, known
}

// keep sets what is known of key.
func (m *memo[K, V]) keep(key K, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[K]V{}
	}
	m.kept[key] = value
}
