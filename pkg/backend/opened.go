package backend

import "sync"

// opened are values by their key. The first value for a key is the one that everybody
// gets; a failure is not kept. The zero value works.
type opened[K comparable, V any] struct {
	mu     sync.Mutex
	values map[K]V
}

// open gives the value for key, which open makes if there is none. Nobody waits for another
// key: two may open the same one at once, and then one of the values is dropped unused.
func (o *opened[K, V]) open(key K, open func() (V, error)) (V, error) {
	if value, found := o.find(key); found {
		return value, nil
	}
	value, err := open()
	if err != nil {
		var none V
		return none, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if first, found := o.values[key]; found {
		return first, nil
	}
	if o.values == nil {
		o.values = map[K]V{}
	}
	o.values[key] = value
	return value, nil
}

func (o *opened[K, V]) find(key K) (V, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	value, found := o.values[key]
	return value, found
}

// take empties o and gives what was in it.
func (o *opened[K, V]) take() map[K]V {
	o.mu.Lock()
	defer o.mu.Unlock()
	values := o.values
	o.values = nil
	return values
}
