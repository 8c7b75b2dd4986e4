package lab

import (
	"context"
	"sync"
	"time"
)

// pace holds all bodies of a proxy together to one rate, which may change.
type pace struct {
	mu             sync.Mutex
	bytesPerSecond int64         // 0: no limit
	free           time.Time     // when the line is free again
	changed        chan struct{} // closed when the rate changes
}

func newPace(bytesPerSecond int64) *pace {
	return &pace{bytesPerSecond: bytesPerSecond, changed: make(chan struct{})}
}

// set changes the rate. Whoever waits goes on.
func (p *pace) set(bytesPerSecond int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytesPerSecond, p.free = bytesPerSecond, time.Time{}
	close(p.changed)
	p.changed = make(chan struct{})
}

// burst is what may pass at once: timers are too coarse to wait for each piece of a fast line.
const burst = 4 * time.Millisecond

// wait waits until n bytes have passed, but for a burst.
func (p *pace) wait(ctx context.Context, n int) {
	until, changed := p.book(n)
	if until <= burst {
		return
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-time.After(until):
	}
}

// book takes the line for n bytes, and says how long that lasts.
func (p *pace) book(n int) (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytesPerSecond == 0 || n == 0 {
		return 0, p.changed
	}
	if now := time.Now(); p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(int64(n) * int64(time.Second) / p.bytesPerSecond))
	return time.Until(p.free), p.changed
}
