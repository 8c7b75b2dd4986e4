package registrytest

import (
	"cmp"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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
	pulls    *pulls
	replaced *replacements
	storage  *storage
	core     http.Handler // the registry as such
	dialect  *dialect     // the same
}

// New starts a registry that ends with the test.
func New(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := &Server{t: t, closing: make(chan struct{}), log: &journal{}}
	for _, option := range options {
		option(&s.settings)
	}
	registry := olareg.New(olaregConfig(s.settings.has(ReferrersAPI)))
	s.dialect = newDialect(registry, s.settings)
	s.core = s.dialect
	s.replaced = &replacements{next: s.core}
	s.storage = &storage{next: s.replaced, signature: 1}
	s.tokens = &tokens{config: s.settings.tokens, forOne: s.settings.has(TokenForOne), scheme: s.scheme()}
	s.faults = &faults{closing: s.closing, tokens: s.tokens}

	s.pulls = &pulls{tokens: s.tokens, limit: cmp.Or(s.settings.pulls, pullLimit)}
	quirks := &quirks{pulls: s.pulls, settings: s.settings, next: s.replaced, core: s.core, dialect: s.dialect, storage: s.storage}
	quirks.sessions = &sessions{settings: s.settings, next: s.replaced, core: s.core, tokens: s.tokens}
	s.main = s.listen(s.settings.name, s.guarded(quirks))
	s.tokens.host = s.main.Listener.Addr().String()
	if s.settings.has(BlobRedirect) || s.settings.has(LocationElsewhere) {
		s.elsewhere = s.listen("elsewhere."+s.settings.name, relocate(s.settings, s.storage))
		s.storage.url = s.scheme() + "://" + s.elsewhere.Listener.Addr().String()
	}
	s.serve()
	t.Cleanup(func() {
		close(s.closing)
		for _, server := range s.servers() {
			server.CloseClientConnections()
			server.Close() // waits for the requests under way
		}
		_ = registry.Close()
	})
	return s
}

// listen serves next on a port, or under a name of the network, behind the log, the link, the faults and the bounds
// of requests.
func (s *Server) listen(name string, next http.Handler) *httptest.Server {
	link := &link{latency: s.settings.latency, next: s.faults.before(bounded(s.settings, next))}
	if rate := s.settings.bytesPerSecond; rate > 0 {
		link.in, link.out = &pace{rate: rate}, &pace{rate: rate}
	}
	handler := s.log.around(addHeader(s.settings.header, link))
	server := &httptest.Server{Config: &http.Server{Handler: handler}}
	if s.settings.network != nil {
		server.Listener = s.settings.network.listen(name)
	} else {
		server = httptest.NewUnstartedServer(handler)
	}
	server.Config.ErrorLog, server.Config.ConnContext = quiet(), withConn
	return server
}

// serve starts the servers. It is the last step of [New], because a request may arrive at once: the
// port may have belonged to another server before.
func (s *Server) serve() {
	for _, server := range s.servers() {
		if s.settings.tls {
			server.StartTLS()
		} else {
			server.Start()
		}
	}
}

// servers are the registry, and its second host where it has one.
func (s *Server) servers() []*httptest.Server {
	if s.elsewhere == nil {
		return []*httptest.Server{s.main}
	}
	return []*httptest.Server{s.main, s.elsewhere}
}

func (s *Server) scheme() string {
	if s.settings.tls {
		return "https"
	}
	return "http"
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

// Host returns the registry's "127.0.0.1:port", or its name in a [Network].
func (s *Server) Host() string { return s.main.Listener.Addr().String() }

// URL is the registry's address with its scheme, without a path.
func (s *Server) URL() string { return s.main.URL }

// Elsewhere returns the "127.0.0.1:port" of the second host that [BlobRedirect] and [LocationElsewhere] send clients
// to, or "" without these quirks.
func (s *Server) Elsewhere() string {
	if s.elsewhere == nil {
		return ""
	}
	return s.elsewhere.Listener.Addr().String()
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
