package link

import (
	"sync"
	"time"
)

// pacer computes when bytes have been sent over a line with a rate.
type pacer struct {
	rate int64 // bytes per second; 0 is unlimited

	mu   sync.Mutex
	free time.Time // when the bytes before have left
}

// send takes the line for n bytes that are ready at a time, and returns when the last one has left.
func (p *pacer) send(ready time.Time, n int) time.Time {
	if p.rate == 0 {
		return ready
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free.Before(ready) {
		p.free = ready
	}
	p.free = p.free.Add(time.Duration(int64(n) * int64(time.Second) / p.rate))
	return p.free
}
