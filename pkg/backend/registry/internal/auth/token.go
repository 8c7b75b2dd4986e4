package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
)

const (
	// maxScopes bounds a token's scopes: Azure refuses long Authorization headers.
	maxScopes = 8
	// maxAsking bounds the requests to a token server at a time. They take none of the
	// registry's slots: a request that has one may need a new token.
	maxAsking = 16
	// modestLife is how long one asks for no more than is needed, where more was refused.
	modestLife = time.Hour
)

// token is a bearer token.
type token struct {
	value      auth.Secret
	credential auth.Credential
	scopes     Scopes
	from       time.Time
	life       time.Duration
}

// good reports whether t may be sent now: a margin of its life must be left, and a third of
// it where a body follows, which nobody could send again.
func (t *token) good(now time.Time, lasting bool) bool {
	left := t.life - now.Sub(t.from)
	if lasting {
		return left >= t.life/3
	}
	return left > min(t.life/10, time.Minute)
}

// token finds a token for access, or asks for one: once, however many requests wait for it.
func (m *Manager) token(ctx context.Context, offered *offer, c auth.Credential, access Access) (*token, error) {
	need, want := m.plan(access)
	if t := m.find(c, need, access.Lasting); t != nil {
		return t, nil
	}
	t, err := m.ask(ctx, offered, c, want, access)
	if !isRefusal(err) {
		return t, err
	}
	m.beModest(access)
	if need.covers(want) {
		return nil, err
	}
	return m.ask(ctx, offered, c, need, access)
}

// plan says which scopes access needs, and which one asks for in one go: what else is wished,
// and for what is written, all the repositories that one has mounted from.
func (m *Manager) plan(access Access) (need, want Scopes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	need = access.Need
	if access.From != "" && access.From != access.Repository {
		need = need.and(repositoryScope(access.From, "pull"))
		m.mountFrom(access.Repository, access.From)
	}
	need = m.translate(need)
	want = need
	if time.Since(m.modest[access.Repository]) > modestLife {
		want = want.and(m.translate(access.Wish)...)
	}
	if !want.covers(Scopes{repositoryScope(m.nameOf(access.Repository), "push")}) {
		return need, want
	}
	for _, from := range m.mounts[access.Repository] {
		want = want.and(m.translate(Scopes{repositoryScope(from, "pull")})...)
	}
	return need, want
}

func (m *Manager) nameOf(repository string) string {
	if alias := m.aliases[repository]; alias != "" {
		return alias
	}
	return repository
}

// mountFrom notes a source of mounts, the latest ones first. It is called with m.mu.
func (m *Manager) mountFrom(into, from string) {
	others := slices.DeleteFunc(slices.Clone(m.mounts[into]), func(have string) bool { return have == from })
	others = append([]string{from}, others...)
	m.mounts[into] = others[:min(len(others), maxScopes-1)]
}

// beModest asks for no more than is needed from now on. A source of mounts that made the
// token server refuse is forgotten.
func (m *Manager) beModest(access Access) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(access.Wish) > 0 {
		m.modest[access.Repository] = time.Now()
	}
	delete(m.mounts, access.Repository)
}

// find is the latest token that serves.
func (m *Manager) find(c auth.Credential, need Scopes, lasting bool) *token {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens = slices.DeleteFunc(m.tokens, func(t *token) bool { return !t.good(now, false) })
	for _, t := range slices.Backward(m.tokens) {
		if t.credential == c && t.scopes.covers(need) && t.good(now, lasting) {
			return t
		}
	}
	return nil
}

// ask shares one request among all who want the same scopes.
func (m *Manager) ask(ctx context.Context, offered *offer, c auth.Credential, want Scopes, access Access) (*token, error) {
	t, _, err := m.flights.Do(ctx, &m.running, c.Fingerprint()+" "+want.String(), func(ctx context.Context) (*token, error) {
		select {
		case m.asking <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		defer func() { <-m.asking }()
		if t := m.find(c, want, access.Lasting); t != nil {
			return t, nil // another one's flight has just landed
		}
		ctx, cancel := context.WithTimeout(ctx, m.patience)
		defer cancel()
		return m.tryLogin(ctx, offered, c, want, access)
	})
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("token for %s: %w", m.host.Name(), err)
	}
	return t, err
}

// tryLogin asks for a token, unless the credential is known to be wrong.
func (m *Manager) tryLogin(ctx context.Context, offered *offer, c auth.Credential, want Scopes, access Access) (*token, error) {
	if !c.Anonymous() {
		l := m.login(c)
		first, err := l.enter(ctx)
		if err != nil {
			return nil, err
		}
		if first {
			defer l.first.open()
		}
	}
	t, err := m.exchange(ctx, offered, c, want)
	if err == nil {
		m.mu.Lock()
		m.tokens = append(m.tokens, t)
		m.mu.Unlock()
	}
	if c.Anonymous() {
		return t, err
	}
	if err == nil {
		m.login(c).prove()
	} else if errors.Is(err, content.ErrUnauthorized) && access.From == "" {
		m.login(c).refuse(err)
	}
	return t, err
}

func isRefusal(err error) bool {
	return errors.Is(err, content.ErrUnauthorized) || errors.Is(err, content.ErrDenied)
}
