package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/retry"
)

func layer(size int) contenttest.Blob { return contenttest.NewLayer("layer", size) }

var alice = auth.Credential{Username: "alice", Password: "correct horse"}

// No ping: the first request serves as the question, later ones carry the token at once.
func TestTokenFromTheFirst401(t *testing.T) {
	server := &tokenAuth{registry: newRegistry(t), username: "alice", password: "correct horse"}
	host, seen := serve(t, server)
	r := target(t, newClient(t, Options{Credentials: logins(alice)}), host, "team/app")
	push(t, r, 1000)
	blob := layer(1000).Descriptor.Digest.String()
	location := seen.all("PUT")[0].URL.Path
	want := []string{
		"POST /v2/team/app/blobs/uploads/",
		"GET /token?scope=repository%3Ateam%2Fapp%3Apull%2Cpush&service=reg",
		"POST /v2/team/app/blobs/uploads/",
		"PUT " + location,
	}
	got := seen.lines()
	if len(got) != 4 || !slices.Equal(got[:3], want[:3]) || !strings.HasPrefix(got[3], want[3]) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := r.HasBlob(t.Context(), layer(1000).Descriptor); err != nil {
		t.Errorf("has blob %s: %v", blob, err)
	}
	if n := len(server.tokenRequests()); n != 1 {
		t.Errorf("token requests: got %d, want 1", n)
	}
}

func TestBasic(t *testing.T) {
	host, seen := serve(t, basicAuth(newRegistry(t), "alice", "correct horse"))
	r := target(t, newClient(t, Options{Credentials: logins(alice)}), host, "team/app")
	push(t, r, 1000)
	if got := seen.count(""); got != 3 {
		t.Errorf("requests: got %q, want 3", seen.lines())
	}
}

func TestRegistryToken(t *testing.T) {
	server := &tokenAuth{registry: newRegistry(t), issued: map[string]grantedToken{
		"given": {parseScopes("repository:a:pull,push"), time.Now().Add(time.Hour)},
	}}
	host, _ := serve(t, server)
	push(t, target(t, newClient(t, Options{Credentials: logins(auth.Credential{RegistryToken: "given"})}), host, "a"), 10)
	_, err := target(t, newClient(t, Options{Credentials: logins(auth.Credential{RegistryToken: "bad one"})}), host, "a").
		Resolve(t.Context(), "latest")
	if !errors.Is(err, content.ErrUnauthorized) {
		t.Errorf("a bad registry token: got %v, want unauthorized", err)
	}
	if asked := server.tokenRequests(); len(asked) != 0 {
		t.Errorf("token requests: got %q, want none", asked)
	}
}

func TestTokenFlows(t *testing.T) {
	password := alice
	identity := auth.Credential{Username: "alice", IdentityToken: "refresh me"}
	for _, test := range []struct {
		name          string
		credential    auth.Credential
		noGet, noPost bool
		want          []string
	}{
		{"password", password, false, false, []string{"GET", "GET"}},
		{"identity token", identity, false, false, []string{"POST", "POST"}},
		{"password where only POST is known", password, true, false, []string{"GET", "POST", "POST"}},
		{"identity token where only GET is known", identity, false, true, []string{"POST", "GET", "GET"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := &tokenAuth{registry: newRegistry(t), username: "alice", password: "correct horse",
				refresh: "refresh me", noGet: test.noGet, noPost: test.noPost}
			host, _ := serve(t, server)
			c := newClient(t, Options{Credentials: logins(test.credential)})
			push(t, target(t, c, host, "a"), 10)
			push(t, target(t, c, host, "b"), 10)
			var got []string
			for _, asked := range server.tokenRequests() {
				method, _, _ := strings.Cut(asked, " ")
				got = append(got, method)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// 16 parallel blobs in 4 repositories right after the tokens expired: 4 token requests,
// whether our clock shows it or only the registry knows.
func TestParallelBlobsShareTokens(t *testing.T) {
	for name, expire := range map[string]func(*tokenAuth){
		"our clock":           func(*tokenAuth) { time.Sleep(time.Hour) },
		"the registry's word": (*tokenAuth).expire,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &tokenAuth{registry: newRegistry(t), username: "alice", password: "correct horse"}
				opened, _ := bubbled(t, server, func(o *Options) { o.Credentials = logins(alice) })
				c, host := opened.host.client, opened.host.wire.Name()
				for round := range 2 {
					var pushes sync.WaitGroup
					for i := range 16 {
						pushes.Go(func() {
							r := target(t, c, host, fmt.Sprintf("repo%d", i%4))
							blob := contenttest.NewLayer(fmt.Sprint(round, i), 100_000)
							if err := pushBlob(t.Context(), r, blob); err != nil {
								t.Errorf("push: %v", err)
							}
						})
					}
					pushes.Wait()
					if asked := server.tokenRequests(); len(asked) != 4 {
						t.Errorf("round %d: got %d token requests %q, want 4", round, len(asked), asked)
					}
					expire(server)
				}
			})
		})
	}
}

// The first request to a registry goes alone, to get its challenge. One that its caller gave up before the answer once
// let all others go without credentials: each of them cost a 401.
func TestFirstRequestThatIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &tokenAuth{registry: newRegistry(t), username: "alice", password: "correct horse"}
		var refused atomic.Int32
		slow := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Header.Get("Authorization") == "" && strings.HasPrefix(req.URL.Path, "/v2/") {
				refused.Add(1)
				time.Sleep(time.Second)
			}
			server.ServeHTTP(w, req)
		})
		r, _ := bubbled(t, slow, func(o *Options) { o.Credentials = logins(alice) })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var requests sync.WaitGroup
		requests.Go(func() {
			if err := r.Prepare(ctx); err == nil {
				t.Error("the first request was not cancelled")
			}
		})
		synctest.Wait()
		for i := range 8 {
			requests.Go(func() {
				if _, err := r.Resolve(t.Context(), fmt.Sprint("v", i)); !errors.Is(err, content.ErrNotFound) {
					t.Errorf("got %v, want that the tag is not there", err)
				}
			})
		}
		requests.Wait()
		if got := refused.Load(); got != 2 {
			t.Errorf("%d requests without credentials, want 2: the one that was cancelled, and the next", got)
		}
	})
}

func pushBlob(ctx context.Context, r *Repository, blob contenttest.Blob) error {
	upload, err := r.StartUpload(ctx, blob.Descriptor)
	if err != nil {
		return err
	}
	return upload.Commit(ctx, blob.Stream())
}

// A wrong password is tried once, however many requests there are: Docker Hub locks users.
func TestWrongPasswordIsTriedOnce(t *testing.T) {
	wrong := auth.Credential{Username: "alice", Password: "wrong-password"}
	server := &tokenAuth{registry: newRegistry(t), username: "alice", password: "correct horse"}
	for name, handler := range map[string]http.Handler{
		"token": server, "basic": basicAuth(newRegistry(t), "alice", "correct horse"),
	} {
		t.Run(name, func(t *testing.T) {
			host, seen := serve(t, handler)
			var log logged
			c := newClient(t, Options{Credentials: logins(wrong), Retry: quick(), Logger: debugLog(&log)})
			var requests sync.WaitGroup
			for i := range 16 {
				requests.Go(func() {
					_, err := target(t, c, host, fmt.Sprintf("repo%d", i%4)).StartUpload(t.Context(), layer(10).Descriptor)
					if !errors.Is(err, content.ErrUnauthorized) || errors.Is(err, content.ErrDenied) {
						t.Errorf("got %v, want unauthorized", err)
						return
					}
					if !strings.Contains(err.Error(), "incorrect username or password") && !strings.Contains(err.Error(), "authentication required") {
						t.Errorf("no words of the registry in %v", err)
					}
					if strings.Contains(err.Error(), "wrong-password") {
						t.Errorf("the password is in %v", err)
					}
				})
			}
			requests.Wait()
			attempts := 0
			for _, req := range seen.all("") {
				if _, _, ok := req.BasicAuth(); ok {
					attempts++
				}
			}
			if attempts != 1 {
				t.Errorf("the password was tried %d times, want once", attempts)
			}
			requireNoSecret(t, log.String(), wrong.Password.Reveal())
		})
	}
}

// logged is what a client has logged. What nobody waits for any more may still be logging.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func debugLog(w *logged) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func requireNoSecret(t *testing.T, text string, secrets ...string) {
	t.Helper()
	if text == "" {
		t.Error("nothing was logged")
	}
	for _, secret := range append(secrets, "secret-token", "Basic ", "Bearer ") {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the log:\n%s", secret, text)
		}
	}
}

// A mount needs one token for both repositories; one token serves all sources so far.
func TestMountTokens(t *testing.T) {
	server := &tokenAuth{registry: newRegistry(t), username: "alice", password: "correct horse"}
	host, _ := serve(t, server)
	c := newClient(t, Options{Credentials: logins(alice)})
	into := target(t, c, host, "into")
	for i := range 10 {
		name := fmt.Sprintf("from%d", i)
		push(t, target(t, c, host, name), 10+i)
		if upload, err := into.Mount(t.Context(), layer(10+i).Descriptor, name); upload != nil || err != nil {
			t.Errorf("mount from %s: got %v and %v, want nil and nil", name, upload, err)
		}
	}
	for _, asked := range server.tokenRequests() {
		if n := len(strings.Fields(asked)) - 1; n > 8 {
			t.Errorf("%d scopes in %s", n, asked)
		}
	}
	if upload, err := into.Mount(t.Context(), layer(10).Descriptor, "from9"); err != nil {
		t.Errorf("mount again: got %v and %v", upload, err)
	}
	push(t, into, 5000)
	if asked := server.tokenRequests(); len(asked) != 0 {
		t.Errorf("token requests where a token was there: %q", asked)
	}
}

// A token server that refuses the source of a mount has not refused the destination.
func TestRefusedMountTokenSpoilsNothing(t *testing.T) {
	server := &tokenAuth{registry: newRegistry(t), username: "alice", password: "correct horse",
		refuses: func(s scope) bool { return s.name == "private" }}
	host, _ := serve(t, server)
	r := target(t, newClient(t, Options{Credentials: logins(alice)}), host, "into")
	if upload, err := r.Mount(t.Context(), layer(10).Descriptor, "private"); !errors.Is(err, content.ErrNotMounted) {
		t.Errorf("mount: got %v and %v, want not mounted", upload, err)
	}
	push(t, r, 10)
	server.tokenRequests()
	server.expire()
	push(t, r, 20)
	if asked := server.tokenRequests(); len(asked) != 1 || strings.Contains(asked[0], "private") {
		t.Errorf("token requests: got %q, want one without the refused source", asked)
	}
}

// Who may only read still reads, though a target asks for the right to push at once.
func TestWishIsNoNeed(t *testing.T) {
	registry := newRegistry(t)
	plain, _ := serve(t, registry)
	image := contenttest.NewImage("linux/amd64", layer(10))
	image.Push(t, target(t, newClient(t, Options{}), plain, "a"), "v1")
	server := &tokenAuth{registry: registry, refuses: func(s scope) bool { return slices.Contains(s.actions, "push") }}
	host, _ := serve(t, server)
	r := target(t, newClient(t, Options{}), host, "a")
	for range 2 {
		if _, err := r.Resolve(t.Context(), "v1"); err != nil {
			t.Errorf("resolve: %v", err)
		}
	}
	if _, err := r.StartUpload(t.Context(), layer(10).Descriptor); !errors.Is(err, content.ErrDenied) {
		t.Errorf("push: got %v, want denied", err)
	}
}

// A repository one may not write to: the registry answers 401 to a token that is fresh.
func TestInsufficientScope(t *testing.T) {
	server := &tokenAuth{registry: newRegistry(t), username: "alice", password: "correct horse",
		grants: func(scope) bool { return false }}
	host, _ := serve(t, server)
	_, err := target(t, newClient(t, Options{Credentials: logins(alice), Retry: quick()}), host, "a").StartUpload(t.Context(), layer(10).Descriptor)
	if !errors.Is(err, content.ErrUnauthorized) {
		t.Errorf("got %v, want unauthorized", err)
	}
	if asked := server.tokenRequests(); len(asked) != 1 {
		t.Errorf("token requests: got %q, want one", asked)
	}
}

// The token server may know a repository by another name than the API does.
func TestScopeOfAnotherName(t *testing.T) {
	server := &tokenAuth{registry: newRegistry(t)}
	host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/v2/") {
			req.URL.Path = strings.Replace(req.URL.Path, "/proxy/", "/", 1)
		}
		server.ServeHTTP(w, req)
	}))
	r := source(t, newClient(t, Options{}), host, "proxy/lib")
	for range 3 {
		if _, err := r.Resolve(t.Context(), "none"); !errors.Is(err, content.ErrNotFound) {
			t.Errorf("got %v, want not found", err)
		}
	}
	if asked := server.tokenRequests(); !slices.Equal(asked, []string{"GET repository:lib:pull"}) || seen.count("HEAD") != 4 {
		t.Errorf("got %q and %q, want one token for lib and 4 requests", asked, seen.lines())
	}
}

func TestRefusedRealms(t *testing.T) {
	for _, realm := range []string{
		"http://user:pw@127.0.0.1/token", "http://169.254.169.254/latest", "http://[fe80::1]/token",
		"http://100.100.100.200/token", "file:///etc/passwd",
	} {
		server := &tokenAuth{registry: newRegistry(t), realm: realm}
		host, _ := serve(t, server)
		_, err := target(t, newClient(t, Options{Retry: quick()}), host, "a").Resolve(t.Context(), "v1")
		if !errors.Is(err, content.ErrInvalid) {
			t.Errorf("realm %s: got %v, want a refusal", realm, err)
		}
	}
}

func TestRealmOnAnotherHost(t *testing.T) {
	realm, seen := serve(t, &tokenAuth{})
	server := &tokenAuth{registry: newRegistry(t), realm: "http://" + realm + "/token?keep=this", username: "alice", password: "correct horse"}
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") == "Bearer secret-token-1" {
			server.registry.ServeHTTP(w, req)
			return
		}
		server.ServeHTTP(w, req)
	}))
	c := newClient(t, Options{Credentials: logins(alice)})
	push(t, target(t, c, host, "a"), 10)
	asked := seen.all("GET /token")
	if len(asked) != 1 || asked[0].URL.Query().Get("keep") != "this" {
		t.Errorf("token requests: %q", seen.lines())
	}
	if requests := c.Requests(); requests[host] != 3 || requests[realm] != 1 {
		t.Errorf("requests: got %v, want 3 and 1", requests)
	}
}

// A token server that an attacker controls redirected a POST with 307 or 308, and the client sent the password or the
// identity token in its body to the other host.
func TestTokenRequestIsNotRedirected(t *testing.T) {
	identity := auth.Credential{Username: "alice", IdentityToken: "refresh me"}
	for _, test := range []struct {
		name       string
		credential auth.Credential
		status     int
		elsewhere  bool
	}{
		{"an identity token, 307", identity, http.StatusTemporaryRedirect, true},
		{"an identity token, 308", identity, http.StatusPermanentRedirect, true},
		{"a password, 308", alice, http.StatusPermanentRedirect, true},
		{"to another path", identity, http.StatusPermanentRedirect, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			thief, stolen := serve(t, http.NotFoundHandler())
			server := &tokenAuth{registry: newRegistry(t), username: "alice", password: "correct horse", refresh: "refresh me", noGet: true}
			host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				to := "/token/again"
				if test.elsewhere {
					to = "http://" + thief + "/token"
				}
				if req.URL.Path == "/token" && req.Method == http.MethodPost {
					w.Header().Set("Location", to)
					w.WriteHeader(test.status)
					return
				}
				server.ServeHTTP(w, req)
			}))
			err := pushBlob(t.Context(), target(t, newClient(t, Options{Credentials: logins(test.credential), Retry: quick()}), host, "a"), layer(10))
			if stolen.count("") != 0 {
				t.Errorf("the other host got %q", stolen.lines())
			}
			switch {
			case !test.elsewhere && err != nil:
				t.Error(err)
			case test.elsewhere && (!errors.Is(err, content.ErrInvalid) || !strings.Contains(err.Error(), host+" redirects")):
				t.Errorf("got %v, want an error that names the token server", err)
			}
		})
	}
}

// A token is renewed before a body if less than a third of its life is left, so that the PUT is sent once.
func TestUploadRenewsItsTokenBeforeTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &tokenAuth{registry: newRegistry(t), life: time.Hour}
		r, seen := bubbled(t, server)
		upload, err := r.StartUpload(t.Context(), layer(100_000).Descriptor)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(45 * time.Minute)
		if err := upload.Commit(t.Context(), layer(100_000).Stream()); err != nil {
			t.Errorf("commit: %v", err)
		}
		if len(server.tokenRequests()) != 2 || seen.count("PUT") != 1 {
			t.Errorf("got %q, want a second token before one PUT", seen.lines())
		}
	})
}

// A half-read body is never sent again; the next attempt has a new token.
func TestTokenRevokedUnderAnUpload(t *testing.T) {
	server := &tokenAuth{registry: newRegistry(t)}
	host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body) // it says no when all has gone out
		req.Body = io.NopCloser(bytes.NewReader(body))
		server.ServeHTTP(w, req)
	}))
	r := target(t, newClient(t, Options{}), host, "a")
	upload, err := r.StartUpload(t.Context(), layer(1<<20).Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	server.expire()
	err = upload.Commit(t.Context(), layer(1<<20).Stream())
	if err == nil || errors.Is(err, content.ErrUnauthorized) {
		t.Errorf("got %v, want an error that another attempt may mend", err)
	}
	if got := seen.count("PUT"); got != 1 {
		t.Errorf("got %d PUTs, want 1", got)
	}
	push(t, r, 1<<20)
}

// What is small enough to be sent again is.
func TestTokenRevokedUnderASmallUpload(t *testing.T) {
	server := &tokenAuth{registry: newRegistry(t)}
	host, _ := serve(t, server)
	r := target(t, newClient(t, Options{}), host, "a")
	upload, err := r.StartUpload(t.Context(), layer(1000).Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	server.expire()
	if err := upload.Commit(t.Context(), layer(1000).Stream()); err != nil {
		t.Errorf("commit: %v", err)
	}
}

// zot answers /v2/ and reads with 200, and the first POST with 401.
func TestChallengeComesLate(t *testing.T) {
	registry := newRegistry(t)
	guarded := basicAuth(registry, "alice", "correct horse")
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet || req.Method == http.MethodHead {
			registry.ServeHTTP(w, req)
			return
		}
		guarded.ServeHTTP(w, req)
	}))
	r := target(t, newClient(t, Options{Credentials: logins(alice)}), host, "a")
	if there, err := r.HasBlob(t.Context(), layer(10).Descriptor); there || err != nil {
		t.Errorf("has blob: got %v and %v", there, err)
	}
	push(t, r, 10)
}

func TestAccountsDiffer(t *testing.T) {
	accounts := map[string]bool{}
	for _, credential := range []auth.Credential{
		{}, alice, {Username: "alice", Password: "other"}, {Username: "bob", Password: "correct horse"}, {IdentityToken: "t"},
	} {
		account := target(t, newClient(t, Options{Credentials: logins(credential)}), "h", "a").Location().Account
		if accounts[account] || strings.Contains(account, "horse") {
			t.Errorf("%v: the account %q is not its own", credential, account)
		}
		accounts[account] = true
	}
}

// A token server may be a registry with its own settings. Close held a lock that a request to it needed.
func TestCloseDuringATokenRequest(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	tokens, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"token":"t"}`) }))
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+tokens+`/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	var once sync.Once
	c := newClient(t, Options{Hosts: func(name string) HostConfig {
		if name == tokens {
			once.Do(func() { close(begun); <-release })
			return HostConfig{MaxConnections: 7}
		}
		return HostConfig{TLS: TLSDisabled}
	}})
	ctx, leave := context.WithCancel(t.Context())
	var asking, closing sync.WaitGroup
	asking.Go(func() { _, _ = target(t, c, host, "a").Resolve(ctx, "x") })
	<-begun
	leave()
	asking.Wait()
	closing.Go(c.Close)
	close(release)
	closing.Wait()
}

// The first request that tried a password was cancelled before the answer. Then all others tried it at once.
func TestWrongPasswordWhoseFirstTryWasCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		r, _ := bubbled(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if !strings.HasPrefix(req.URL.Path, "/token") {
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+req.Host+`/token"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			if _, _, ok := req.BasicAuth(); ok {
				tries.Add(1)
				time.Sleep(time.Second)
			}
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "wrong password")
		}), func(o *Options) { o.Credentials = logins(alice) })
		ctx, leave := context.WithTimeout(t.Context(), time.Second/2)
		defer leave()
		var all sync.WaitGroup
		all.Go(func() { _, _ = r.Resolve(ctx, "x") })
		synctest.Wait()
		for i := range 10 {
			all.Go(func() {
				other := target(t, r.host.client, r.host.wire.Name(), fmt.Sprint("repo", i))
				if _, err := other.Resolve(t.Context(), "x"); !errors.Is(err, content.ErrUnauthorized) {
					t.Errorf("got %v, want unauthorized", err)
				}
			})
		}
		all.Wait()
		if n := tries.Load(); n != 2 {
			t.Errorf("the password was sent %d times, want 2", n)
		}
	})
}

// An answer of a proxy, or none, says nothing about a password: the next request tries it, and no other beside it.
func TestWrongPasswordAfterTrouble(t *testing.T) {
	for name, trouble := range map[string]func(http.ResponseWriter){
		"503":   func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"reset": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests, tries atomic.Int32
				r, _ := bubbled(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					_, _, with := req.BasicAuth()
					if with {
						time.Sleep(time.Second)
						if requests.Add(1) == 1 {
							trouble(w)
							return
						}
						tries.Add(1)
					}
					w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
					w.WriteHeader(http.StatusUnauthorized)
				}), func(o *Options) { o.Credentials, o.Retry = logins(alice), retry.Policy{Attempts: 1} })
				var all sync.WaitGroup
				for i := range 12 {
					all.Go(func() { _, _ = r.Resolve(t.Context(), fmt.Sprint(i)) })
				}
				all.Wait()
				if n := tries.Load(); n != 1 {
					t.Errorf("the password was tried %d times more, want once", n)
				}
			})
		})
	}
}
