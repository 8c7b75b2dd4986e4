package registry

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
)

// serve starts a server and gives its host:port. Requests are counted.
func serve(t *testing.T, handler http.Handler) (string, *tally) {
	t.Helper()
	seen := &tally{}
	server := httptest.NewServer(seen.around(handler))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), seen
}

// tally is what a server was asked.
type tally struct {
	mu       sync.Mutex
	requests []*http.Request
}

// around is handler with its requests counted.
func (s *tally) around(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.add(req)
		handler.ServeHTTP(w, req)
	})
}

func (s *tally) add(req *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, req.Clone(context.Background()))
}

// all are the requests so far whose line has the given part: "POST /v2/a/blobs".
func (s *tally) all(part string) []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*http.Request
	for _, req := range s.requests {
		if strings.Contains(req.Method+" "+req.URL.RequestURI(), part) {
			found = append(found, req)
		}
	}
	return found
}

func (s *tally) count(part string) int { return len(s.all(part)) }

// lines are the requests so far.
func (s *tally) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, req := range s.requests {
		lines = append(lines, req.Method+" "+req.URL.RequestURI())
	}
	return lines
}

// newRegistry is a real registry's handler.
func newRegistry(t *testing.T) http.Handler {
	t.Helper()
	yes := true
	server := olareg.New(config.Config{
		Storage: config.ConfigStorage{StoreType: config.StoreMem},
		API:     config.ConfigAPI{DeleteEnabled: &yes, Blob: config.ConfigAPIBlob{DeleteEnabled: &yes}},
	})
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// newClient waits for nothing for long, tries once where the options say nothing, and reads no
// certificates of this machine.
func newClient(t testing.TB, options Options) *Client {
	t.Helper()
	if options.CertsDirs == nil {
		options.CertsDirs = []string{}
	}
	if options.Retry.Attempts == 0 {
		options.Retry.Attempts = 1
	}
	c := New(options)
	c.limits.statusPause = 10 * time.Millisecond
	t.Cleanup(c.Close)
	return c
}

// quick repeats at once.
func quick() retry.Policy {
	return retry.Policy{Attempts: 3, Base: time.Millisecond, Max: time.Millisecond}
}

func target(t testing.TB, c *Client, host, name string) *Repository {
	t.Helper()
	r, err := c.Target(t.Context(), reference.Reference{Transport: reference.Registry, Registry: host, Repository: name})
	if err != nil {
		t.Fatalf("open %s/%s: %v", host, name, err)
	}
	return r
}

func source(t testing.TB, c *Client, host, name string) *Repository {
	t.Helper()
	r, err := c.Repository(t.Context(), reference.Reference{Transport: reference.Registry, Registry: host, Repository: name})
	if err != nil {
		t.Fatalf("open %s/%s: %v", host, name, err)
	}
	return r
}

// logins are credentials for all registries.
func logins(c auth.Credential) auth.Store { return always{c} }

// manifestOf answers for one manifest, as a registry does.
func manifestOf(image contenttest.Image) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", image.Descriptor().MediaType)
		w.Header().Set("Docker-Content-Digest", image.Digest().String())
		w.Header().Set("Content-Length", strconv.FormatInt(image.Descriptor().Size, 10))
		if req.Method == http.MethodGet {
			_, _ = w.Write(image.Root.Bytes)
		}
	}
}

// refuse answers as registries refuse.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

func TestConformance(t *testing.T) {
	t.Run("with the referrers API", func(t *testing.T) { conform(t, true, registrytest.With(registrytest.ReferrersAPI)) })
	t.Run("without it", func(t *testing.T) { conform(t, false) })
	t.Run("with TLS and passwords", func(t *testing.T) {
		conform(t, false, registrytest.WithTLS(), registrytest.WithBasic("alice", "correct horse"))
	})
}

// conform runs the suite of all backends against registries with the given options.
func conform(t *testing.T, referrers bool, options ...registrytest.Option) {
	var configs sync.Map // of HostConfig, by host
	open := func(t *testing.T, host, name string) content.Target {
		return target(t, newClient(t, Options{
			Retry: quick(), Credentials: logins(alice),
			Hosts: func(host string) HostConfig {
				config, _ := configs.Load(host)
				known, _ := config.(HostConfig)
				return known
			},
		}), host, name)
	}
	siblings := 0
	abilities := contenttest.AllAbilities()
	abilities.Reread, abilities.Referrers = false, referrers
	contenttest.Run(t, contenttest.Backend{
		Open: func(t *testing.T) content.Target {
			server := registrytest.New(t, options...)
			if strings.HasPrefix(server.URL(), "https:") {
				configs.Store(server.Host(), HostConfig{CA: server.CAPEM()})
			}
			return open(t, server.Host(), "team/app")
		},
		Reopen: func(t *testing.T, opened content.Target) content.Target {
			return open(t, opened.Location().Registry, opened.Location().Repository)
		},
		Sibling: func(t *testing.T, opened content.Target) content.Target {
			siblings++
			r := opened.(*Repository)
			return target(t, r.host.client, r.host.wire.Name(), fmt.Sprintf("team/sibling%d", siblings))
		},
		Abilities: abilities,
		Strict:    true,
	})
}
