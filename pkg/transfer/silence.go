package transfer

import (
	"sync"
	"time"
)

// longSilence is how long a registry may leave all questions without an answer before new
// ones do not wait for it at all.
const longSilence = 10 * time.Second

// silences tells registries that hang from those that are busy: questions to both are under
// way, but to the first none ends. The zero value is ready.
type silences struct {
	mu         sync.Mutex
	registries map[string]*silence
}

type silence struct {
	asked int // questions under way
	since time.Time
}

// begin notes a question to a registry.
func (s *silences) begin(registry string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.registries[registry]
	if at == nil {
		if s.registries == nil {
			s.registries = map[string]*silence{}
		}
		at = &silence{since: time.Now()}
		s.registries[registry] = at
	}
	at.asked++
}

// end notes that a question has ended, well or not.
func (s *silences) end(registry string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.registries[registry]
	at.since = time.Now()
	if at.asked--; at.asked == 0 {
		delete(s.registries, registry)
	}
}

// lasts reports whether questions to a registry are under way and none has ended for d.
func (s *silences) lasts(registry string, d time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.registries[registry]
	return at != nil && time.Since(at.since) >= d
}
