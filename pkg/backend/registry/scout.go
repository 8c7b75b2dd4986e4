package registry

import (
	"context"
	"sync"
)

// scout lets one go ahead where nothing is known yet, while the others wait: 16 requests at
// once need not all be told that a login is needed, and a wrong password is not tried 16
// times. The zero value is ready.
type scout struct {
	mu      sync.Mutex
	ahead   chan struct{} // closed when the one ahead is back
	settled bool
}

// enter reports whether the caller goes ahead; then it calls back. Others return when
// something is known, or with ctx.
func (s *scout) enter(ctx context.Context) (ahead bool, err error) {
	s.mu.Lock()
	if s.settled {
		s.mu.Unlock()
		return false, nil
	}
	if s.ahead == nil {
		s.ahead = make(chan struct{})
		s.mu.Unlock()
		return true, nil
	}
	wait := s.ahead
	s.mu.Unlock()
	select {
	case <-wait:
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// back lets all go, whatever was found. It may be called more than once.
func (s *scout) back() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled {
		return
	}
	s.settled = true
	if s.ahead != nil {
		close(s.ahead)
	}
}
