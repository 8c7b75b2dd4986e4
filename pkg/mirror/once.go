package mirror

import (
	"context"
	"errors"
	"sync"

	"github.com/regsync/regsync/pkg/transfer"
)

// once answers each question once, for all who ask. The zero value works.
type once[K comparable, V any] struct {
	mu      sync.Mutex
	answers map[K]*answer[V]
}

type answer[V any] struct {
	done  chan struct{} // closed when the fields below are there
	value V
	err   error
}

// ask answers with do, unless somebody has asked the same before. An error is told to those
// who wait, and not kept. Where it came of the end of another asker's time, those whose own
// goes on ask again.
func (o *once[K, V]) ask(ctx context.Context, key K, do func() (V, error)) (V, error) {
	for {
		a, first := o.join(key)
		if first {
			a.value, a.err = do()
			o.close(key, a)
			return a.value, a.err
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			var none V
			return none, context.Cause(ctx)
		}
		if a.err == nil || !ended(a.err) || ctx.Err() != nil {
			return a.value, a.err
		}
	}
}

func (o *once[K, V]) join(key K) (a *answer[V], first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.answers == nil {
		o.answers = map[K]*answer[V]{}
	}
	if o.answers[key] == nil {
		o.answers[key] = &answer[V]{done: make(chan struct{})}
		first = true
	}
	return o.answers[key], first
}

func (o *once[K, V]) close(key K, a *answer[V]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a.err != nil {
		delete(o.answers, key)
	}
	close(a.done)
}

// ended reports whether an error is that of a context.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, transfer.ErrDeferred)
}
