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
	// frugalLife is how long one asks for no more than is needed, where more was refused.
	frugalLife = time.Hour
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
func (a *Authorizer) token(ctx context.Context, offered *offer, c auth.Credential, access Access) (*token, error) {
	need, want := a.plan(access)
	if t := a.find(c, need, access.Lasting); t != nil {
		return t, nil
	}
	t, err := a.ask(ctx, offered, c, want, access)
	if !isRefusal(err) {
		return t, err
	}
	a.askLess(access)
	if need.covers(want) {
		return nil, err
	}
	return a.ask(ctx, offered, c, need, access)
}

// plan says which scopes access needs, and which one asks for in one go: what else is wished,
// and for what is written, all the repositories that one has mounted from.
func (a *Authorizer) plan(access Access) (need, want Scopes) {
	a.mu.Lock()
	defer a.mu.Unlock()
	need = access.Need
	if access.From != "" && access.From != access.Repository {
		need = need.and(repositoryScope(access.From, "pull"))
		a.mountFrom(access.Repository, access.From)
	}
	need = a.translate(need)
	want = need
	if time.Since(a.frugal[access.Repository]) > frugalLife {
		want = want.and(a.translate(access.Wish)...)
	}
	if !want.covers(Scopes{repositoryScope(a.nameOf(access.Repository), "push")}) {
		return need, want
	}
	for _, from := range a.mounts[access.Repository] {
		want = want.and(a.translate(Scopes{repositoryScope(from, "pull")})...)
	}
	return need, want
}

func (a *Authorizer) nameOf(repository string) string {
	if alias := a.aliases[repository]; alias != "" {
		return alias
	}
	return repository
}

// mountFrom notes a source of mounts, the latest ones first. It is called with a.mu.
func (a *Authorizer) mountFrom(into, from string) {
	others := slices.DeleteFunc(slices.Clone(a.mounts[into]), func(have string) bool { return have == from })
	others = append([]string{from}, others...)
	a.mounts[into] = others[:min(len(others), maxScopes-1)]
}

// askLess asks for no more than is needed from now on. A source of mounts that made the
// token server refuse is forgotten.
func (a *Authorizer) askLess(access Access) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(access.Wish) > 0 {
		a.frugal[access.Repository] = time.Now()
	}
	delete(a.mounts, access.Repository)
}

// find is the latest token that serves.
func (a *Authorizer) find(c auth.Credential, need Scopes, lasting bool) *token {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = slices.DeleteFunc(a.tokens, func(t *token) bool { return !t.good(now, false) })
	for _, t := range slices.Backward(a.tokens) {
		if t.credential == c && t.scopes.covers(need) && t.good(now, lasting) {
			return t
		}
	}
	return nil
}

// ask shares one request among all who want the same scopes.
func (a *Authorizer) ask(ctx context.Context, offered *offer, c auth.Credential, want Scopes, access Access) (*token, error) {
	t, _, err := a.flights.Do(ctx, &a.running, c.Fingerprint()+" "+want.String(), func(ctx context.Context) (*token, error) {
		select {
		case a.asking <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		defer func() { <-a.asking }()
		if t := a.find(c, want, access.Lasting); t != nil {
			return t, nil // another one's flight has just landed
		}
		return a.tryLogin(ctx, offered, c, want, access)
	})
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("token for %s: %w", a.host.Name(), err)
	}
	return t, err
}

// tryLogin asks for a token, unless the credential is known to be wrong.
func (a *Authorizer) tryLogin(ctx context.Context, offered *offer, c auth.Credential, want Scopes, access Access) (*token, error) {
	if !c.Anonymous() {
		l := a.login(c)
		first, err := l.enter(ctx)
		if err != nil {
			return nil, err
		}
		if first {
			defer func() { l.first.leave(ctx.Err() == nil) }()
		}
	}
	t, err := a.server.exchange(ctx, offered, c, want)
	if err == nil {
		a.mu.Lock()
		a.tokens = append(a.tokens, t)
		a.mu.Unlock()
	}
	if c.Anonymous() {
		return t, err
	}
	if err == nil {
		a.login(c).prove()
	} else if errors.Is(err, content.ErrUnauthorized) && access.From == "" {
		a.login(c).refuse(err)
	}
	return t, err
}

func isRefusal(err error) bool {
	return errors.Is(err, content.ErrUnauthorized) || errors.Is(err, content.ErrDenied)
}
