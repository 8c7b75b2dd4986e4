package auth

import (
	"context"
	"sync"
	"time"
)

// refusalLife is how long a password that was refused is not tried again, in a process that lives longer.
const refusalLife = time.Hour

// login is what is known of one credential at one registry.
type login struct {
	first gate

	mu      sync.Mutex
	proven  bool
	refused error
	at      time.Time // of the refusal
}

// enter lets one caller try the credential first. It returns the error of the one that was refused.
func (l *login) enter(ctx context.Context) (first bool, err error) {
	if first, err = l.first.enter(ctx); err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return first, l.refused
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

// gate lets one caller through while nothing is known yet, and the others wait: 16 requests at
// once need not all be told that a login is needed, and a wrong password is not tried 16
// times. The zero value is ready.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // nil until the first caller has come; closed when all may pass
	isOpen bool
}

// enter reports whether the caller is the first; then it calls open. Others return when the gate is
// open, or with ctx.
func (g *gate) enter(ctx context.Context) (first bool, err error) {
	g.mu.Lock()
	if g.opened == nil {
		g.opened = make(chan struct{})
		g.mu.Unlock()
		return true, nil
	}
	opened := g.opened
	g.mu.Unlock()
	select {
	case <-opened:
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// open lets all pass, whatever was found. It may be called more than once.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isOpen {
		return
	}
	g.isOpen = true
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
	close(g.opened)
}
