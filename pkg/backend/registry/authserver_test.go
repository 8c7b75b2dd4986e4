package registry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tokenAuth puts a token server and its check in front of a registry, as distribution does.
type tokenAuth struct {
	registry           http.Handler
	username, password string
	refresh            string // an identity token that is taken too
	life               time.Duration
	stated             string // expires_in; as life if empty
	realm              string // what the challenge says; "/token" of the same host if empty
	noGet, noPost      bool   // flows that the token server does not know
	// grants reports whether a scope is given to someone; nil gives everything.
	grants func(scope) bool
	// refuses makes the token server refuse a whole request because of one scope.
	refuses func(scope) bool

	mu     sync.Mutex
	serial int
	issued map[string]grantedToken
	tokens []string // the requests, in the order of their arrival: "GET scope scope"
}

// scope is the scope of a token of the test's server.
type scope struct {
	kind, name string
	actions    []string
}

func (s scope) String() string { return s.kind + ":" + s.name + ":" + strings.Join(s.actions, ",") }

type scopes []scope

func parseScopes(s string) (all scopes) {
	for field := range strings.FieldsSeq(s) {
		kind, rest, _ := strings.Cut(field, ":")
		colon := strings.LastIndex(rest, ":")
		all = append(all, scope{kind, rest[:colon], strings.Split(rest[colon+1:], ",")})
	}
	return all
}

func (s scopes) covers(need scopes) bool {
	return !slices.ContainsFunc(need, func(n scope) bool {
		return !slices.ContainsFunc(s, func(have scope) bool {
			return have.kind == n.kind && have.name == n.name && !slices.ContainsFunc(n.actions, func(action string) bool {
				return !slices.Contains(have.actions, action)
			})
		})
	})
}

func (s scopes) String() string {
	var texts []string
	for _, one := range s {
		texts = append(texts, one.String())
	}
	return strings.Join(texts, " ")
}

type grantedToken struct {
	scopes scopes
	until  time.Time
}

func (a *tokenAuth) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if strings.HasPrefix(req.URL.Path, "/token") {
		a.serveToken(w, req)
		return
	}
	need := needed(req)
	token, _ := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	a.mu.Lock()
	granted, known := a.issued[token]
	a.mu.Unlock()
	if !known || time.Now().After(granted.until) || !granted.scopes.covers(need) {
		realm := a.realm
		if realm == "" {
			realm = "http://" + req.Host + "/token"
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q,service=%q,scope=%q", realm, "reg", need))
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return
	}
	a.registry.ServeHTTP(w, req)
}

// needed is what distribution demands for a request.
func needed(req *http.Request) scopes {
	path := strings.TrimPrefix(req.URL.Path, "/v2/")
	if path == "" {
		return nil
	}
	if path == "_catalog" {
		return scopes{{"registry", "catalog", []string{"*"}}}
	}
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/", "/referrers/"} {
		name, _, found := strings.Cut(path, part)
		if !found {
			continue
		}
		actions := []string{"pull"}
		switch req.Method {
		case http.MethodPost, http.MethodPut, http.MethodPatch:
			actions = append(actions, "push")
		case http.MethodDelete:
			actions = []string{"delete", "pull"}
			if strings.Contains(path, "/uploads/") {
				actions = []string{"pull", "push"}
			}
		}
		need := scopes{{"repository", name, actions}}
		if from := req.URL.Query().Get("from"); from != "" && from != name {
			need = append(need, scope{"repository", from, []string{"pull"}})
		}
		return need
	}
	return nil
}

func (a *tokenAuth) serveToken(w http.ResponseWriter, req *http.Request) {
	_ = req.ParseForm()
	asked := parseScopes(strings.Join(req.Form["scope"], " "))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = append(a.tokens, strings.TrimSpace(req.Method+" "+asked.String()))
	username, password, basic := req.BasicAuth()
	switch {
	case req.Method == http.MethodGet && a.noGet, req.Method == http.MethodPost && a.noPost:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case req.Method == http.MethodPost && req.Form.Get("grant_type") == "refresh_token":
		basic, username, password = true, a.username, req.Form.Get("refresh_token")
	case req.Method == http.MethodPost:
		basic, username, password = true, req.Form.Get("username"), req.Form.Get("password")
	}
	right := username == a.username && (password == a.password || password == a.refresh && a.refresh != "")
	if a.username != "" && basic && !right {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, `{"details":"incorrect username or password (%s)"}`, password)
		return
	}
	var granted scopes
	for _, s := range asked {
		if a.refuses != nil && a.refuses(s) {
			refuse(w, http.StatusForbidden, "DENIED", "no access to "+s.name)
			return
		}
		if a.grants == nil || a.grants(s) {
			granted = append(granted, s)
		}
	}
	a.serial++
	token := fmt.Sprintf("secret-token-%d", a.serial)
	if a.issued == nil {
		a.issued = map[string]grantedToken{}
	}
	life := a.life
	if life == 0 {
		life = time.Minute
	}
	a.issued[token] = grantedToken{granted, time.Now().Add(life)}
	stated := a.stated
	if stated == "" {
		stated = fmt.Sprint(life.Seconds())
	}
	_, _ = fmt.Fprintf(w, `{"token":%q,"expires_in":%s,"issued_at":"not a time"}`, token, stated)
}

// tokenRequests returns the token requests since the last call.
func (a *tokenAuth) tokenRequests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked := a.tokens
	a.tokens = nil
	return asked
}

// expire makes all tokens bad, before their time.
func (a *tokenAuth) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issued = nil
}

// basicAuth lets in who knows the password.
func basicAuth(next http.Handler, username, password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if u, p, _ := req.BasicAuth(); u != username || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
			return
		}
		next.ServeHTTP(w, req)
	})
}

func push(t *testing.T, r *Repository, size int) {
	t.Helper()
	if err := pushBlob(t.Context(), r, layer(size)); err != nil {
		t.Fatalf("push: %v", err)
	}
}
