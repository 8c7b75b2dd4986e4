package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
)

const (
	clientID = "regsync"
	// defaultLife is that of a token whose life is not stated ("Token Authentication
	// Specification", distribution).
	defaultLife = time.Minute
	maxToken    = 1 << 20 // bytes of a token server's answer
)

// exchange asks the token server. It does so by GET, and by OAuth2's POST for an identity
// token; where the server does not know the one, by the other.
func (a *authority) exchange(ctx context.Context, offered *offer, c auth.Credential, want scopes) (*token, error) {
	byPost := c.IdentityToken != ""
	if c.Anonymous() {
		return a.attempt(ctx, offered, c, want, false)
	}
	other := a.otherFlow.Load()
	t, err := a.attempt(ctx, offered, c, want, byPost != other)
	if isUnknownFlow(err) && !other {
		if t, err = a.attempt(ctx, offered, c, want, !byPost); err == nil {
			a.otherFlow.Store(true)
		}
	}
	return t, err
}

func isUnknownFlow(err error) bool {
	status := statusOf(err)
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed
}

func (a *authority) attempt(ctx context.Context, offered *offer, c auth.Credential, want scopes, byPost bool) (*token, error) {
	newRequest := getToken
	if byPost {
		newRequest = postToken
	}
	req, err := newRequest(withIntent(ctx, intent{}), offered, c, want)
	if err != nil {
		return nil, err
	}
	sent := time.Now()
	resp, err := a.host.realmRT.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer discard(resp)
	if resp.StatusCode != http.StatusOK {
		failure := newError(resp, c.Password.Reveal(), c.IdentityToken.Reveal())
		failure.foreign = false // its word on the credentials counts, wherever it is
		return nil, failure
	}
	t, err := readToken(resp, sent)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", redact(resp.Request.URL), err)
	}
	t.credential, t.scopes = c, want
	return t, nil
}

// getToken follows the "Token Authentication Specification" of distribution.
func getToken(ctx context.Context, offered *offer, c auth.Credential, want scopes) (*http.Request, error) {
	u := *offered.realm
	query := u.Query()
	if service := offered.challenge.params["service"]; service != "" {
		query.Set("service", service)
	}
	for _, s := range want.strings() {
		query.Add("scope", s)
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
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
func postToken(ctx context.Context, offered *offer, c auth.Credential, want scopes) (*http.Request, error) {
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
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, offered.realm.String(), strings.NewReader(form.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return req, err
}

func readToken(resp *http.Response, sent time.Time) (*token, error) {
	var answer struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
		IssuedAt    string  `json:"issued_at"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxToken)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("the token server's answer: %w", brokenOrInvalid(err))
	}
	value := answer.Token
	if value == "" {
		value = answer.AccessToken
	}
	if value == "" || strings.ContainsAny(value, "\r\n\x00") {
		return nil, fmt.Errorf("the token server's answer: %w: there is no token in it", content.ErrInvalid)
	}
	life := defaultLife
	if answer.ExpiresIn > 0 {
		life = time.Duration(min(answer.ExpiresIn, 1e9) * float64(time.Second))
	}
	return &token{value: auth.Secret(value), from: sent, life: life - age(resp, answer.IssuedAt, life)}, nil
}

// age is how old a token was when it was handed out: servers keep them. Both times are the
// server's, so that it does not matter what its clock shows.
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
