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
	// maxScope bounds a scope that a challenge names, in bytes.
	maxScope = 512
	// maxAsking bounds the requests to a token server at a time. They take none of the
	// registry's slots: a request that has one may need a new token.
	maxAsking = 16
	// needOnlyLife is how long only needed scopes are requested after more were refused.
	needOnlyLife = time.Hour
)

// token is a bearer token.
type token struct {
	value      auth.Secret
	credential auth.Credential
	scopes     Scopes
	from       time.Time
	life       time.Duration
}

// good reports whether t may be sent now: a margin of its life must be left, and a third of it if a body follows,
// because a body cannot be sent again.
func (t *token) good(now time.Time, lasting bool) bool {
	left := t.life - now.Sub(t.from)
	if lasting {
		return left >= t.life/3
	}
	return left > min(t.life/10, time.Minute)
}

// token returns a token for access. It requests one if there is none; concurrent callers share that request.
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

// plan returns the scopes that access needs, and those to request at once: also the wished ones and, for writing,
// pull access to all repositories that blobs were mounted from.
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
	if time.Since(a.needOnly[access.Repository]) > needOnlyLife {
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

// mountFrom records a source of mounts, the latest first. It must be called with a.mu held.
func (a *Authorizer) mountFrom(into, from string) {
	others := slices.DeleteFunc(slices.Clone(a.mounts[into]), func(have string) bool { return have == from })
	others = append([]string{from}, others...)
	a.mounts[into] = others[:min(len(others), maxScopes-1)]
}

// askLess makes later requests ask for needed scopes only. It forgets the sources of mounts, since one of them may
// be the reason for the refusal.
func (a *Authorizer) askLess(access Access) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(access.Wish) > 0 {
		a.needOnly[access.Repository] = time.Now()
	}
	delete(a.mounts, access.Repository)
}

// find returns the latest token that covers need, or nil.
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

// ask requests a token. Concurrent callers with the same scopes share one request.
func (a *Authorizer) ask(ctx context.Context, offered *offer, c auth.Credential, want Scopes, access Access) (*token, error) {
	t, _, err := a.flights.Do(ctx, &a.running, c.Fingerprint()+" "+want.String(), func(ctx context.Context) (*token, error) {
		select {
		case a.asking <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		defer func() { <-a.asking }()
		if t := a.find(c, want, access.Lasting); t != nil {
			return t, nil // a concurrent request has just obtained it
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
			defer l.leave()
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
	switch {
	case err == nil:
		a.login(c).prove()
	case errors.Is(err, content.ErrDenied): // about scopes: the password may be right
		a.login(c).first.leave(true)
	case errors.Is(err, content.ErrUnauthorized) && access.From == "":
		a.login(c).refuse(err)
	}
	return t, err
}

func isRefusal(err error) bool {
	return errors.Is(err, content.ErrUnauthorized) || errors.Is(err, content.ErrDenied)
}
