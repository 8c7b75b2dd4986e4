package registry

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
)

// token is a bearer token.
type token struct {
	value      auth.Secret
	credential auth.Credential
	scopes     scopes
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

// token finds a token for in, or asks for one: once, however many requests wait for it.
func (a *authority) token(ctx context.Context, offered *offer, c auth.Credential, in intent) (*token, error) {
	need, want := a.plan(in)
	if t := a.find(c, need, in.lasting); t != nil {
		return t, nil
	}
	t, err := a.ask(ctx, offered, c, want, in)
	if !isRefusal(err) {
		return t, err
	}
	a.beModest(in)
	if need.covers(want) {
		return nil, err
	}
	return a.ask(ctx, offered, c, need, in)
}

// plan says which scopes in needs, and which one asks for in one go: what else is wished,
// and for what is written, all the repositories that one has mounted from.
func (a *authority) plan(in intent) (need, want scopes) {
	a.mu.Lock()
	defer a.mu.Unlock()
	need = in.need
	if in.from != "" && in.from != in.repository {
		need = need.and(repositoryScope(in.from, "pull"))
		a.mountFrom(in.repository, in.from)
	}
	need = a.translate(need)
	want = need
	if !a.modest[in.repository] {
		want = want.and(a.translate(in.wish)...)
	}
	if !want.covers(scopes{repositoryScope(a.nameOf(in.repository), "push")}) {
		return need, want
	}
	for _, from := range a.mounts[in.repository] {
		want = want.and(a.translate(scopes{repositoryScope(from, "pull")})...)
	}
	return need, want
}

func (a *authority) nameOf(repository string) string {
	if alias := a.aliases[repository]; alias != "" {
		return alias
	}
	return repository
}

// mountFrom notes a source of mounts, the latest ones first. It is called with a.mu.
func (a *authority) mountFrom(into, from string) {
	others := slices.DeleteFunc(slices.Clone(a.mounts[into]), func(have string) bool { return have == from })
	others = append([]string{from}, others...)
	a.mounts[into] = others[:min(len(others), maxScopes-1)]
}

// beModest asks for no more than is needed from now on. A source of mounts that made the
// token server refuse is forgotten.
func (a *authority) beModest(in intent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(in.wish) > 0 {
		a.modest[in.repository] = true
	}
	delete(a.mounts, in.repository)
}

// find is the latest token that serves.
func (a *authority) find(c auth.Credential, need scopes, lasting bool) *token {
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

// ask shares one request among all who want the same scopes. It belongs to none of them, so
// that one who gives up spoils it for nobody.
func (a *authority) ask(ctx context.Context, offered *offer, c auth.Credential, want scopes, in intent) (*token, error) {
	shared := context.WithoutCancel(ctx)
	answer := a.flights.DoChan(c.Fingerprint()+" "+want.String(), func() (any, error) {
		a.asking <- struct{}{}
		defer func() { <-a.asking }()
		if t := a.find(c, want, in.lasting); t != nil {
			return t, nil // another one's flight has just landed
		}
		ctx, cancel := context.WithTimeout(shared, a.host.client.limits.token)
		defer cancel()
		return a.tryLogin(ctx, offered, c, want, in)
	})
	select {
	case got := <-answer:
		t, ok := got.Val.(*token)
		if !ok || got.Err != nil {
			return nil, fmt.Errorf("token for %s: %w", a.host.name, got.Err)
		}
		return t, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// tryLogin asks for a token, unless the credential is known to be wrong.
func (a *authority) tryLogin(ctx context.Context, offered *offer, c auth.Credential, want scopes, in intent) (*token, error) {
	if !c.Anonymous() {
		l := a.login(c)
		ahead, err := l.enter(ctx)
		if err != nil {
			return nil, err
		}
		if ahead {
			defer l.first.back()
		}
	}
	t, err := a.exchange(ctx, offered, c, want)
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
	} else if errors.Is(err, content.ErrUnauthorized) && in.from == "" {
		a.login(c).refuse(err)
	}
	return t, err
}

func isRefusal(err error) bool {
	return errors.Is(err, content.ErrUnauthorized) || errors.Is(err, content.ErrDenied)
}
