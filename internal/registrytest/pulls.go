package registrytest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	pullLimit  = 100
	pullWindow = 6 * time.Hour
)

// pulls is Docker Hub's pull quota ("Usage and limits"): each GET of a manifest takes one pull of the account, in
// a window of six hours from the first one.
type pulls struct {
	tokens *tokens
	limit  int

	mu       sync.Mutex
	accounts map[string]*pullWindowOf
}

type pullWindowOf struct {
	left int
	ends time.Time
}

// WithPulls is the quirk [QuotaHeaders] with n pulls for each account, instead of 100.
func WithPulls(n int) Option {
	return func(s *settings) {
		With(QuotaHeaders)(s)
		s.pulls = n
	}
}

// PullsLeft returns how many pulls an account has left. The empty account is that of clients without a login.
func (s *Server) PullsLeft(account string) int {
	s.pulls.mu.Lock()
	defer s.pulls.mu.Unlock()
	return s.pulls.of(account).left
}

// SetPulls sets how many pulls an account has left, as if another client had used some, or a new window had begun.
func (s *Server) SetPulls(account string, left int) {
	s.pulls.mu.Lock()
	defer s.pulls.mu.Unlock()
	s.pulls.of(account).left = left
}

func (p *pulls) of(account string) *pullWindowOf {
	if p.accounts == nil {
		p.accounts = map[string]*pullWindowOf{}
	}
	w := p.accounts[account]
	if now := time.Now(); w == nil || now.After(w.ends) {
		w = &pullWindowOf{p.limit, now.Add(pullWindow)}
		p.accounts[account] = w
	}
	return w
}

// admit counts a request for a manifest, and states how many pulls are left. It refuses a GET if none are left.
func (p *pulls) admit(w http.ResponseWriter, r *http.Request) bool {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	token, _ := p.tokens.find(bearer)
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.of(token.user)
	refused := r.Method == http.MethodGet && of.left <= 0
	if r.Method == http.MethodGet && !refused {
		of.left--
	}
	w.Header().Set("Ratelimit-Limit", fmt.Sprintf("%d;w=%d", pullLimit, int(pullWindow.Seconds())))
	w.Header().Set("Ratelimit-Remaining", fmt.Sprintf("%d;w=%d", max(0, of.left), int(pullWindow.Seconds())))
	if refused {
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit")
	}
	return !refused
}
