package auth

import (
	"context"
	"sync"
	"time"
)

// refusalLife is how long a refused password is not tried again.
const refusalLife = time.Hour

// login is what is known about one credential at one registry.
type login struct {
	first gate

	mu      sync.Mutex
	proven  bool
	refused error
	at      time.Time // of the refusal
}

// enter lets one caller try the credential first. It returns the error of the caller that was refused.
func (l *login) enter(ctx context.Context) (first bool, err error) {
	if first, err = l.first.enter(ctx); err != nil {
		return false, err
	}
	l.mu.Lock()
	refused := l.refused
	l.mu.Unlock()
	if first && refused != nil {
		l.leave()
	}
	return first && refused == nil, refused
}

// leave lets others try the credential: all of them if it is known whether it is right, or else the next one.
func (l *login) leave() {
	l.mu.Lock()
	known := l.proven || l.refused != nil
	l.mu.Unlock()
	l.first.leave(known)
}

func (l *login) prove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proven = true
}

func (l *login) isProven() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.proven
}

func (l *login) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.proven {
		l.refused, l.at = err, time.Now()
	}
}

// isOutdated reports whether a refusal is so old that the password may be tried again.
func (l *login) isOutdated() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused != nil && time.Since(l.at) > refusalLife
}

// gate lets one caller through at a time until the first result is known. So 16 concurrent requests do not all get a
// challenge, and do not try a wrong password 16 times. The zero value is ready to use.
type gate struct {
	mu    sync.Mutex
	open  bool
	first chan struct{} // closed when the caller that was let through leaves; nil if there is none
}

// enter reports whether the caller is the one that is let through; it must then call leave. Other callers return
// when the gate opens or ctx ends.
func (g *gate) enter(ctx context.Context) (first bool, err error) {
	for {
		g.mu.Lock()
		if g.open {
			g.mu.Unlock()
			return false, nil
		}
		if g.first == nil {
			g.first = make(chan struct{})
			g.mu.Unlock()
			return true, nil
		}
		left := g.first
		g.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// entered reports whether a caller was let through.
func (g *gate) entered() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open || g.first != nil
}

// leave opens the gate or, if the first caller got no result, lets the next one through. It may be called more than
// once, and by any goroutine.
func (g *gate) leave(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = g.open || open
	if g.first != nil {
		close(g.first)
		g.first = nil
	}
}
