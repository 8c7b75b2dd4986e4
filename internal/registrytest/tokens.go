package registrytest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// TokenConfig is who may have tokens, and how long they live.
type TokenConfig struct {
	// User and Password are the account that may do everything. Empty: everybody may.
	User, Password string
	// IdentityToken is accepted as an OAuth2 refresh token of that account.
	IdentityToken string
	// Lifetime is that of a token; 5 minutes if zero. Clients get whole seconds.
	Lifetime time.Duration
	// AnonymousPull lets those without credentials read.
	AnonymousPull bool
	// Elsewhere is the realm that is named instead of the registry's own "/token".
	Elsewhere string
}

// TokenRequests is the number of requests to the token server since the last ResetLog.
func (s *Server) TokenRequests() int { return s.Count("", "^/token$") }

// ExpireTokens lets all tokens that were handed out expire now.
func (s *Server) ExpireTokens() {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	s.tokens.issued = nil
}

// access is what may be done: actions by repository.
type access map[string][]string

func (a access) add(repo string, actions ...string) { a[repo] = append(a[repo], actions...) }

func (a access) covers(needed access) bool {
	for repo, actions := range needed {
		for _, action := range actions {
			if !slices.Contains(a[repo], action) {
				return false
			}
		}
	}
	return true
}

// String writes scopes as challenges do.
func (a access) String() string {
	var scopes []string
	for repo, actions := range a {
		scopes = append(scopes, "repository:"+repo+":"+strings.Join(actions, ","))
	}
	slices.Sort(scopes)
	return strings.Join(scopes, " ")
}

type issuedToken struct {
	access  access
	expires time.Time
	user    string // empty without a login
}

// tokens is a token server and what guards the registry with its tokens.
type tokens struct {
	config       *TokenConfig
	forOne       bool // see [TokenForOne]
	scheme, host string

	mu     sync.Mutex
	issued map[string]issuedToken
}

func (t *tokens) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			t.serve(w, r)
			return
		}
		needed := needs(r)
		bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		token, known := t.find(bearer)
		switch {
		case known && token.access.covers(needed):
			next.ServeHTTP(w, r)
		case known:
			t.challenge(w, needed, "insufficient_scope")
		case bearer != "":
			t.challenge(w, needed, "invalid_token")
		default:
			t.challenge(w, needed, "")
		}
	})
}

// needs is the access that distribution wants for a request: a mount takes the right to
// pull from where it mounts (registry/handlers/app.go, "authorized").
func needs(r *http.Request) access {
	needed := access{}
	at := parseRoute(r.URL.Path)
	switch {
	case at.repo == "":
	case r.Method == http.MethodDelete && at.kind != kindUpload:
		needed.add(at.repo, "delete")
	case writes(r):
		needed.add(at.repo, "pull", "push")
	default:
		needed.add(at.repo, "pull")
	}
	if from := r.URL.Query().Get("from"); from != "" && at.kind == kindUpload && from != at.repo {
		needed.add(from, "pull")
	}
	return needed
}

func (t *tokens) find(token string) (issuedToken, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.issued[token]
	return found, ok && time.Now().Before(found.expires)
}

func (t *tokens) challenge(w http.ResponseWriter, needed access, reason string) {
	realm := t.config.Elsewhere
	if realm == "" {
		realm = t.scheme + "://" + t.host + "/token"
	}
	challenge := fmt.Sprintf(`Bearer realm=%q,service=%q`, realm, t.host)
	if scope := needed.String(); scope != "" {
		challenge += fmt.Sprintf(`,scope=%q`, scope)
	}
	if reason != "" {
		challenge += fmt.Sprintf(`,error=%q`, reason)
	}
	w.Header().Set("WWW-Authenticate", challenge)
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
}

// serve is the token server: by GET with Basic, and by OAuth2's POST.
func (t *tokens) serve(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	known, allowed := t.login(r)
	if !allowed {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"details":"incorrect username or password"}`))
		return
	}
	granted := access{}
	for _, scopes := range r.Form["scope"] {
		for scope := range strings.FieldsSeq(scopes) {
			if t.forOne && len(granted) == 1 {
				break
			}
			t.grant(granted, scope, known)
		}
	}
	lifetime := t.config.Lifetime
	if lifetime == 0 {
		lifetime = 5 * time.Minute
	}
	token := rand.Text()
	t.mu.Lock()
	if t.issued == nil {
		t.issued = map[string]issuedToken{}
	}
	t.issued[token] = issuedToken{granted, time.Now().Add(lifetime), userOf(r)}
	t.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"token": token, "access_token": token,
		"expires_in": int(lifetime / time.Second), "issued_at": time.Now().UTC().Format(time.RFC3339),
	})
}

// userOf returns the user who requests a token.
func userOf(r *http.Request) string {
	if name, _, given := r.BasicAuth(); given {
		return name
	}
	return r.PostForm.Get("username")
}

// login tells whether the account is known, and whether somebody may have a token at all:
// wrong credentials are refused, none are not.
func (t *tokens) login(r *http.Request) (known, allowed bool) {
	if t.config.User == "" {
		return true, true
	}
	name, password, given := r.BasicAuth()
	switch r.PostForm.Get("grant_type") {
	case "password":
		name, password, given = r.PostForm.Get("username"), r.PostForm.Get("password"), true
	case "refresh_token":
		known = t.config.IdentityToken != "" && r.PostForm.Get("refresh_token") == t.config.IdentityToken
		return known, known
	}
	if !given {
		return false, true
	}
	known = name == t.config.User && password == t.config.Password
	return known, known
}

// grant adds the actions of a scope that the user is allowed.
func (t *tokens) grant(granted access, scope string, known bool) {
	rest, ok := strings.CutPrefix(scope, "repository:")
	colon := strings.LastIndex(rest, ":")
	if !ok || colon < 0 {
		return
	}
	for action := range strings.SplitSeq(rest[colon+1:], ",") {
		if known || t.config.AnonymousPull && action == "pull" {
			granted.add(rest[:colon], action)
		}
	}
}
