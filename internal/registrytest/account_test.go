package registrytest_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
)

func bearer(t *testing.T, s *registrytest.Server, scopes ...string) string {
	t.Helper()
	answer := do(t, s, "GET", "/token?"+url.Values{"scope": scopes}.Encode(), nil)
	wantStatus(t, answer, http.StatusOK)
	return bearerOf(t, answer)
}

func bearerOf(t *testing.T, answer reply) string {
	t.Helper()
	var token struct{ Token string }
	if err := json.Unmarshal(answer.body, &token); err != nil || token.Token == "" {
		t.Fatalf("no token in %s (%v)", answer.body, err)
	}
	return "Bearer " + token.Token
}

func TestTLS(t *testing.T) {
	s := registrytest.New(t, registrytest.WithTLS())
	raw, err := os.ReadFile(s.CAPEM())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get("https://" + s.Host() + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("got %s", answer.Status)
	}
	if untrusting, err := http.Get(s.URL() + "/v2/"); err == nil {
		untrusting.Body.Close()
		t.Error("trusted without the certificate")
	}
}

func TestBasic(t *testing.T) {
	s := registrytest.New(t, registrytest.WithBasic("ann", "secret"))
	answer := do(t, s, "GET", "/v2/", nil)
	wantCode(t, answer, http.StatusUnauthorized, "UNAUTHORIZED")
	if got := answer.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Basic ") {
		t.Errorf("challenged with %q", got)
	}
	with := func(password string) reply {
		return do(t, s, "GET", "http://ann:"+password+"@"+s.Host()+"/v2/", nil)
	}
	wantStatus(t, with("secret"), http.StatusOK)
	wantStatus(t, with("wrong"), http.StatusUnauthorized)
}

// distribution wants the right to pull from where a mount comes from, and answers 401.
func TestTokensNeedTheScopesThatDistributionWants(t *testing.T) {
	s := registrytest.New(t, registrytest.WithTokens(registrytest.TokenConfig{}))
	d := s.PushBlob("base", []byte("layer"))
	mount := "/v2/app/blobs/uploads/?from=base&mount=" + d.String()
	anonymous := do(t, s, "POST", mount, nil)
	wantCode(t, anonymous, http.StatusUnauthorized, "UNAUTHORIZED")
	challenge := anonymous.Header.Get("WWW-Authenticate")
	for _, part := range []string{
		`realm="http://` + s.Host() + `/token"`, `service="` + s.Host() + `"`,
		`scope="repository:app:pull,push repository:base:pull"`,
	} {
		if !strings.Contains(challenge, part) {
			t.Errorf("challenge %s lacks %s", challenge, part)
		}
	}
	half := do(t, s, "POST", mount, nil, "Authorization", bearer(t, s, "repository:app:pull,push"))
	wantStatus(t, half, http.StatusUnauthorized)
	if !strings.Contains(half.Header.Get("WWW-Authenticate"), "insufficient_scope") {
		t.Errorf("challenge %s", half.Header.Get("WWW-Authenticate"))
	}
	both := bearer(t, s, "repository:app:pull,push", "repository:base:pull")
	wantStatus(t, do(t, s, "POST", mount, nil, "Authorization", both), http.StatusCreated)
	wantStatus(t, do(t, s, "GET", "/v2/", nil, "Authorization", both), http.StatusOK)
	wantStatus(t, do(t, s, "DELETE", "/v2/app/manifests/1", nil, "Authorization", both), http.StatusUnauthorized)
	if got := s.TokenRequests(); got != 2 {
		t.Errorf("%d token requests, want 2", got)
	}
}

func TestTokenForOneRepository(t *testing.T) {
	s := registrytest.New(t, registrytest.With(registrytest.TokenForOne), registrytest.WithTokens(registrytest.TokenConfig{}))
	d := s.PushBlob("base", []byte("layer"))
	token := bearer(t, s, "repository:app:pull,push", "repository:base:pull")
	wantStatus(t, do(t, s, "POST", "/v2/app/blobs/uploads/", nil, "Authorization", token), http.StatusAccepted)
	mount := "/v2/app/blobs/uploads/?from=base&mount=" + d.String()
	wantStatus(t, do(t, s, "POST", mount, nil, "Authorization", token), http.StatusUnauthorized)
}

func TestTokensExpire(t *testing.T) {
	s := registrytest.New(t, registrytest.WithTokens(registrytest.TokenConfig{Lifetime: time.Nanosecond}))
	token := bearer(t, s)
	expired := do(t, s, "GET", "/v2/", nil, "Authorization", token)
	if !strings.Contains(expired.Header.Get("WWW-Authenticate"), "invalid_token") {
		t.Errorf("%s: %s", expired.Status, expired.Header.Get("WWW-Authenticate"))
	}
	s = registrytest.New(t, registrytest.WithTokens(registrytest.TokenConfig{}))
	token = bearer(t, s)
	wantStatus(t, do(t, s, "GET", "/v2/", nil, "Authorization", token), http.StatusOK)
	s.ExpireTokens()
	wantStatus(t, do(t, s, "GET", "/v2/", nil, "Authorization", token), http.StatusUnauthorized)
}

func TestWhoMayHaveTokens(t *testing.T) {
	s := registrytest.New(t, registrytest.WithTokens(registrytest.TokenConfig{
		User: "ann", Password: "secret", IdentityToken: "identity", AnonymousPull: true,
	}))
	s.Push("app", "1", registrytest.Image(registrytest.ImageSpec{}))
	const scope = "scope=repository:app:pull,push"
	form := func(values string) reply {
		return do(t, s, "POST", "/token", []byte(values+"&"+scope), "Content-Type", "application/x-www-form-urlencoded")
	}
	mayPush := func(token reply) bool {
		wantStatus(t, token, http.StatusOK)
		wantStatus(t, do(t, s, "GET", "/v2/app/tags/list", nil, "Authorization", bearerOf(t, token)), http.StatusOK)
		opened := do(t, s, "POST", "/v2/app/blobs/uploads/", nil, "Authorization", bearerOf(t, token))
		return opened.StatusCode == http.StatusAccepted
	}
	as := func(user string) reply { return do(t, s, "GET", "http://"+user+s.Host()+"/token?"+scope, nil) }
	if mayPush(as("")) {
		t.Error("nobody may push")
	}
	for name, token := range map[string]reply{
		"basic":    as("ann:secret@"),
		"password": form("grant_type=password&username=ann&password=secret"),
		"identity": form("grant_type=refresh_token&refresh_token=identity"),
	} {
		if !mayPush(token) {
			t.Errorf("%s may not push", name)
		}
	}
	wantStatus(t, as("ann:wrong@"), http.StatusUnauthorized)
	wantStatus(t, form("grant_type=refresh_token&refresh_token=wrong"), http.StatusUnauthorized)
}
