package link

import (
	"sync"
	"time"
)

// late is how late a timer may be without lowering a rate: what was missed is made up for.
const late = 10 * time.Millisecond

// pacer says when bytes have left over a line of a rate.
type pacer struct {
	rate int64 // bytes per second; 0 is unlimited

	mu   sync.Mutex
	free time.Time // when the bytes before have left
}

// send takes the line for n bytes that are ready at now, and returns when the last one has left.
func (p *pacer) send(now time.Time, n int) time.Time {
	if p.rate == 0 {
		return now
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if earliest := now.Add(-late); p.free.Before(earliest) {
		p.free = earliest
	}
	p.free = p.free.Add(time.Duration(int64(n) * int64(time.Second) / p.rate))
	if p.free.Before(now) {
		return now
	}
	return p.free
}
