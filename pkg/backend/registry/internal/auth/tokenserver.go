package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
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
	if isUnknownFlow(err) {
		if t, err = s.ask(ctx, offered, c, want, !byPost); err == nil {
			other.Store(!other.Load())
		}
	}
	return t, err
}

func isUnknownFlow(err error) bool {
	status := answer.Status(err)
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed
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
	resp, err := s.host.Requests().RoundTrip(req) //nolint:bodyclose // answer.Discard closes it
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
		return nil, fmt.Errorf("the token server's answer: %w", err)
	}
	value := got.Token
	if value == "" {
		value = got.AccessToken
	}
	if len(value) > maxToken {
		return nil, fmt.Errorf("the token server's answer: %s: %w: a token of more than %d bytes",
			answer.Requested(resp), content.ErrInvalid, maxToken)
	}
	if value == "" || strings.ContainsAny(value, "\r\n\x00") {
		return nil, fmt.Errorf("the token server's answer: %s: %w: no token", answer.Requested(resp), content.ErrInvalid)
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
