package registry

import (
	"context"
	"sync"
)

// login is what is known of one credential at one registry. A credential that was refused
// is not tried again: wrong passwords lock the user's account at Docker Hub.
type login struct {
	first scout

	mu      sync.Mutex
	proven  bool
	refused error
}

// enter lets one try the credential first. It returns the error of the one who was refused.
func (l *login) enter(ctx context.Context) (ahead bool, err error) {
	if ahead, err = l.first.enter(ctx); err != nil {
		return false, err
	}
	return ahead, l.refusal()
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
		l.refused = err
	}
}

func (l *login) refusal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}
