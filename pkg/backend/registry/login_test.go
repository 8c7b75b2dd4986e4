package registry

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
)

func TestLogin(t *testing.T) {
	wrong := auth.Credential{Username: "alice", Password: "wrong-password"}
	registry := newRegistry(t)
	openBase := func(next http.Handler) http.Handler { // /v2/ answers anybody
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != "/v2/" || req.Header.Get("Authorization") != "" {
				next.ServeHTTP(w, req)
			}
		})
	}
	basic := basicAuth(registry, "alice", "correct horse")
	for name, handler := range map[string]http.Handler{
		"basic":            basic,
		"token":            &tokenAuth{registry: registry, username: "alice", password: "correct horse"},
		"basic, open base": openBase(basic),
		"token, open base": openBase(&tokenAuth{registry: registry, username: "alice", password: "correct horse"}),
		"token, open base, no catalog": openBase(&tokenAuth{registry: registry, username: "alice", password: "correct horse",
			grants: func(s scope) bool { return s.kind != "registry" }}),
		"basic, open base and catalog": http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Header.Get("Authorization") != "" {
				basic.ServeHTTP(w, req)
			}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			host, seen := serve(t, handler)
			var log logged
			c := newClient(t, Options{Retry: quick(), Logger: debugLog(&log)})
			if verified, err := c.Login(t.Context(), host, alice); err != nil || !verified {
				t.Errorf("the right password: verified %v, %v", verified, err)
			}
			before := passwords(seen)
			_, err := c.Login(t.Context(), host, wrong)
			if !errors.Is(err, content.ErrUnauthorized) || strings.Contains(err.Error(), "wrong-password") {
				t.Errorf("a wrong password: got %v, want unauthorized", err)
			}
			if !strings.Contains(err.Error(), "incorrect username") && !strings.Contains(err.Error(), "authentication required") {
				t.Errorf("no words of the registry in %v", err)
			}
			if got := passwords(seen) - before; got != 1 {
				t.Errorf("the wrong password was tried %d times", got)
			}
			requireNoSecret(t, log.String(), "wrong-password", "correct horse")
		})
	}
}

// checks counts the requests with the credential that no registry has.
func checks(seen *tally) (n int) {
	for _, req := range seen.all("") {
		if name, _, ok := req.BasicAuth(); ok && name == "regsync-login-check" {
			n++
		}
	}
	return n
}

// Registries that ask for a password and take any, or that refuse to say, do not verify it. Only one wrong password is
// sent to each. Once, login reported success wherever a registry had asked for the password.
func TestLoginWhereAnyPasswordIsAccepted(t *testing.T) {
	registry := newRegistry(t)
	challenge := func(w http.ResponseWriter) {
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	}
	// guarded has a registry that asks for a password at some paths, and gives other users than alice the answer.
	guarded := func(path string, other http.HandlerFunc) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			name, _, given := req.BasicAuth()
			switch {
			case !strings.HasPrefix(req.URL.Path, path):
				registry.ServeHTTP(w, req)
			case !given:
				challenge(w)
			case name != "alice":
				other(w, req)
			default:
				registry.ServeHTTP(w, req)
			}
		})
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { refuse(w, code, "X", "x") }
	}
	openBase := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != "/v2/" {
				next.ServeHTTP(w, req)
			}
		})
	}
	anyToken := func(grants func(scope) bool) http.Handler { return &tokenAuth{registry: registry, grants: grants} }
	for _, test := range []struct {
		name     string
		handler  http.Handler
		verified bool
	}{
		{"it does not ask", registry, false},
		{"basic, any password", guarded("/v2/", registry.ServeHTTP), false},
		{"basic, any password for the catalog", guarded("/v2/_catalog", registry.ServeHTTP), false},
		{"any password gets a token", anyToken(nil), false},
		{"any password gets a token, open base", openBase(anyToken(nil)), false},
		{"any password gets a token, open base, no catalog for anyone", openBase(anyToken(func(scope) bool { return false })), false},
		{"other users are forbidden", guarded("/v2/", status(http.StatusForbidden)), true},
		{"other users are forbidden the catalog", guarded("/v2/_catalog", status(http.StatusForbidden)), true},
		{"the check is not answered", guarded("/v2/", status(http.StatusServiceUnavailable)), false},
		{"too many requests", guarded("/v2/", status(http.StatusTooManyRequests)), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			host, seen := serve(t, test.handler)
			verified, err := newClient(t, Options{Retry: quick()}).Login(t.Context(), host, alice)
			if err != nil || verified != test.verified {
				t.Errorf("verified %v, %v", verified, err)
			}
			if n := checks(seen); n != 1 {
				t.Errorf("%d wrong passwords were sent", n)
			}
		})
	}
}

// Services that verify passwords count failed logins by address: they are sent no wrong password.
func TestLoginChecksNoKnownService(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	seen := &tally{}
	server.Config.Handler = seen.around(basicAuth(newRegistry(t), "alice", "correct horse"))
	server.StartTLS()
	t.Cleanup(server.Close)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	for host, want := range map[string]int{
		"docker.io": 0, "index.docker.io": 0, "registry-1.docker.io": 0, "ghcr.io": 0, "quay.io": 0, "quay.io:443": 0,
		"team.azurecr.io": 0, "1.dkr.ecr.eu-west-1.amazonaws.com": 0, "registry-vpc.cn-hangzhou.aliyuncs.com": 0,
		"harbor.corp": 1, "quay.io:8443": 1, "docker.io.evil.test": 1, "evilazurecr.io": 1,
	} {
		before := checks(seen)
		c := newClient(t, Options{Dial: dial, Hosts: hosts(HostConfig{TLS: TLSInsecure, Proxy: "direct"})})
		if verified, err := c.Login(t.Context(), host, alice); err != nil || !verified {
			t.Errorf("%s: verified %v, %v", host, verified, err)
		}
		if got := checks(seen) - before; got != want {
			t.Errorf("%s: %d wrong passwords, want %d", host, got, want)
		}
	}
}

func passwords(seen *tally) int {
	n := 0
	for _, req := range seen.all("") {
		if _, _, ok := req.BasicAuth(); ok {
			n++
		}
	}
	return n
}
