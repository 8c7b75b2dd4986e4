package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
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
	if !answer.IsRefusal(err) {
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
		need = need.and(Repository(access.From, "pull")...)
		a.mountFrom(access.Repository, access.From)
	}
	need = a.translate(need)
	want = need
	if time.Since(a.needOnly[access.Repository]) > needOnlyLife {
		want = want.and(a.translate(access.Wish)...)
	}
	if !want.covers(a.translate(Repository(access.Repository, "push"))) {
		return need, want
	}
	for _, from := range a.mounts[access.Repository] {
		want = want.and(a.translate(Repository(from, "pull"))...)
	}
	return need, want
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
		return nil, fmt.Errorf("get a token for %s: %w", a.host.Name(), err)
	}
	return t, err
}

// tryLogin requests a token, unless the credential is known to be wrong.
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

const (
	clientID = "regsync"
	// defaultLife is that of a token whose life is not stated ("Token Authentication
	// Specification", distribution).
	defaultLife = time.Minute
	maxAnswer   = 256 << 10 // bytes of a token server's answer
	maxToken    = 32 << 10  // bytes of a token: servers accept headers of 8 to 32 KiB
)

// tokenServer requests tokens from the server that a registry's challenge names.
type tokenServer struct {
	host     *wire.Host
	patience time.Duration // for a whole request
	// byGet and byPost: it supports only the other way to request a token, for identity tokens and for passwords.
	byGet, byPost atomic.Bool
}

// exchange requests a token: with GET, or with OAuth2's POST for an identity token. If the server does not support
// the one, it tries the other.
func (s *tokenServer) exchange(ctx context.Context, offered *offer, c auth.Credential, want Scopes) (*token, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	if c.Anonymous() {
		return s.ask(ctx, offered, c, want, false)
	}
	other := &s.byPost
	if c.IdentityToken != "" {
		other = &s.byGet
	}
	byPost := (c.IdentityToken != "") != other.Load()
	t, err := s.ask(ctx, offered, c, want, byPost)
	if status := answer.Status(err); status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
		if t, err = s.ask(ctx, offered, c, want, !byPost); err == nil {
			other.Store(!other.Load())
		}
	}
	return t, err
}

func (s *tokenServer) ask(ctx context.Context, offered *offer, c auth.Credential, want Scopes, byPost bool) (*token, error) {
	newRequest := getToken
	if byPost {
		newRequest = postToken
	}
	req, err := newRequest(ctx, offered, c, want)
	if err != nil {
		return nil, err
	}
	sent := time.Now()
	resp, err := s.host.Send(req) //nolint:bodyclose // answer.Discard closes it
	if err != nil {
		return nil, err
	}
	defer answer.Discard(resp)
	if resp.StatusCode != http.StatusOK {
		return nil, answer.New(resp)
	}
	answer.Decode(resp, 0)
	t, err := readToken(resp, sent)
	if err != nil {
		return nil, err
	}
	t.credential, t.scopes = c, want
	return t, nil
}

// getToken follows the "Token Authentication Specification" of distribution.
func getToken(ctx context.Context, offered *offer, c auth.Credential, want Scopes) (*wire.Request, error) {
	u := *offered.realm
	query := u.Query()
	if service := offered.challenge.params["service"]; service != "" {
		query.Set("service", service)
	}
	for _, s := range want.strings() {
		query.Add("scope", s)
	}
	u.RawQuery = query.Encode()
	req, err := wire.NewRequest(ctx, http.MethodGet, &u, nil, wire.Traits{Class: limit.Small})
	if err != nil || c.Anonymous() {
		return req, err
	}
	username, password := c.Username, c.Password
	if c.IdentityToken != "" {
		password = c.IdentityToken
		if username == "" {
			username = "<token>" // as docker calls the user of an identity token
		}
	}
	req.Header.Set("Authorization", basicHeader(username, password))
	return req, nil
}

// postToken follows "OAuth2 Token Authentication" of distribution.
func postToken(ctx context.Context, offered *offer, c auth.Credential, want Scopes) (*wire.Request, error) {
	form := url.Values{
		"client_id": {clientID},
		"service":   {offered.challenge.params["service"]},
		"scope":     {want.String()},
	}
	if c.IdentityToken != "" {
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", c.IdentityToken.Reveal())
	} else {
		form.Set("grant_type", "password")
		form.Set("username", c.Username)
		form.Set("password", c.Password.Reveal())
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	traits := wire.Traits{Class: limit.Small, Secrets: []string{c.IdentityToken.Reveal(), c.Password.Reveal()}}
	req, err := wire.NewRequest(ctx, http.MethodPost, offered.realm, header, traits)
	if err == nil {
		req.SetBytes([]byte(form.Encode()))
	}
	return req, err
}

func readToken(resp *http.Response, sent time.Time) (*token, error) {
	var got struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
		IssuedAt    string  `json:"issued_at"`
	}
	if err := answer.ReadJSON(resp, maxAnswer, &got); err != nil {
		return nil, fmt.Errorf("token server response: %w", err)
	}
	value := got.Token
	if value == "" {
		value = got.AccessToken
	}
	if len(value) > maxToken {
		return nil, fmt.Errorf("token server response: %s: %w: the token has more than %d bytes",
			answer.Host(resp), content.ErrInvalid, maxToken)
	}
	if value == "" || strings.ContainsAny(value, "\r\n\x00") {
		return nil, fmt.Errorf("token server response: %s: %w: no token", answer.Host(resp), content.ErrInvalid)
	}
	life := defaultLife
	if got.ExpiresIn > 0 {
		life = time.Duration(min(got.ExpiresIn, 1e9) * float64(time.Second))
	}
	return &token{value: auth.Secret(value), from: sent, life: life - age(resp, got.IssuedAt, life)}, nil
}

// age returns how old a token was when the server sent it: servers cache tokens. Both times are the server's, so its
// clock need not be right.
func age(resp *http.Response, issuedAt string, life time.Duration) time.Duration {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0
	}
	issued, err := time.Parse(time.RFC3339, issuedAt)
	if err != nil {
		return 0
	}
	if old := date.Sub(issued); old > 0 && old < life {
		return old
	}
	return 0
}
