package registrytest

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
)

// Server is a registry on loopback.
type Server struct {
	t        testing.TB
	settings settings

	main      *httptest.Server
	elsewhere *httptest.Server // nil unless a quirk needs a second host
	closing   chan struct{}

	log      *journal
	faults   *faults
	tokens   *tokens
	replaced *replacements
	storage  *storage
	core     http.Handler // the registry as such
}

// New starts a registry that ends with the test.
func New(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := &Server{t: t, closing: make(chan struct{}), log: &journal{}}
	for _, option := range options {
		option(&s.settings)
	}
	registry := olareg.New(olaregConfig(s.settings.referrers))
	s.core = newDialect(registry, s.settings)
	s.replaced = &replacements{next: s.core}
	s.storage = &storage{next: s.replaced, signature: 1}
	s.faults = &faults{closing: s.closing}
	s.tokens = &tokens{config: s.settings.tokens, scheme: "http"}

	quirks := &quirks{settings: s.settings, next: s.replaced, core: s.core, storage: s.storage}
	s.main = s.start(s.guarded(quirks))
	s.tokens.host = s.Host()
	if s.settings.redirectBlobs || s.settings.locationElsewhere {
		s.elsewhere = s.start(relocate(s.settings, s.storage))
		s.storage.url = s.elsewhere.URL
	}
	t.Cleanup(func() {
		close(s.closing)
		for _, server := range []*httptest.Server{s.main, s.elsewhere} {
			if server != nil {
				server.CloseClientConnections()
				server.Close()
			}
		}
		_ = registry.Close()
	})
	return s
}

// start serves next behind the log, the link and the faults.
func (s *Server) start(next http.Handler) *httptest.Server {
	link := &link{latency: s.settings.latency, next: s.faults.before(next)}
	if rate := s.settings.bytesPerSecond; rate > 0 {
		link.in, link.out = &pace{rate: rate}, &pace{rate: rate}
	}
	server := httptest.NewUnstartedServer(s.log.around(addHeader(s.settings.header, link)))
	server.Config.ErrorLog = quiet()
	if s.settings.tls {
		server.StartTLS()
		s.tokens.scheme = "https"
	} else {
		server.Start()
	}
	return server
}

func (s *Server) guarded(next http.Handler) http.Handler {
	switch {
	case s.settings.basic != nil:
		return &basic{user: *s.settings.basic, next: next}
	case s.settings.tokens != nil:
		return s.tokens.guard(next)
	}
	return next
}

func olaregConfig(referrers bool) config.Config {
	yes := true
	return config.Config{
		Storage: config.ConfigStorage{
			StoreType: config.StoreMem,
			GC:        config.ConfigGC{Frequency: -1, RepoUploadMax: -1, GracePeriod: 24 * time.Hour},
		},
		API: config.ConfigAPI{
			DeleteEnabled: &yes,
			Blob:          config.ConfigAPIBlob{DeleteEnabled: &yes},
			Referrer:      config.ConfigAPIReferrer{Enabled: &referrers},
		},
	}
}

// Host is the registry's "127.0.0.1:port".
func (s *Server) Host() string { return strings.TrimPrefix(s.URL(), schemeOf(s.URL())) }

// URL is the registry's address with its scheme, without a path.
func (s *Server) URL() string { return s.main.URL }

func schemeOf(url string) string { return url[:strings.Index(url, "://")+len("://")] }

// Elsewhere is the "127.0.0.1:port" of the second host that [RedirectBlobs] and
// [LocationElsewhere] send clients to; empty without them.
func (s *Server) Elsewhere() string {
	if s.elsewhere == nil {
		return ""
	}
	return strings.TrimPrefix(s.elsewhere.URL, schemeOf(s.elsewhere.URL))
}

// CAPEM writes the certificate that a client must trust to a file, and returns its path.
// The server must have [WithTLS].
func (s *Server) CAPEM() string {
	s.t.Helper()
	certificate := s.main.Certificate()
	if certificate == nil {
		s.t.Fatal("this registry has no TLS")
	}
	file := filepath.Join(s.t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// Client is an HTTP client that trusts the registry and authenticates nowhere.
func (s *Server) Client() *http.Client { return s.main.Client() }

// CloseConnections breaks all connections, idle and in use.
func (s *Server) CloseConnections() { s.main.CloseClientConnections() }
