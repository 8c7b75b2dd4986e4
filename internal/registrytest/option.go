package registrytest

import (
	"io"
	"log"
	"maps"
	"net/http"
	"time"
)

// Option changes what a registry is like. Without any it is a plain distribution registry.
type Option func(*settings)

type settings struct {
	tls    bool
	basic  *account
	tokens *TokenConfig
	header http.Header

	latency        time.Duration
	bytesPerSecond int64

	readOnly []string
	quirks   map[Name]int64 // the value is the number of a sized quirk

	pulls   int      // of each account; 0 for Docker Hub's number
	network *Network // nil: loopback
	name    string   // of the registry in network
}

type account struct{ name, password string }

// WithTLS serves https. See [Server.CAPEM].
func WithTLS() Option { return func(s *settings) { s.tls = true } }

// WithBasic requires Basic authentication for all requests.
func WithBasic(user, password string) Option {
	return func(s *settings) { s.basic = &account{user, password} }
}

// WithTokens requires Bearer tokens of a token server at /token of the same host.
func WithTokens(config TokenConfig) Option { return func(s *settings) { s.tokens = &config } }

// WithHeader adds a header to every answer, as Docker Hub's ratelimit-remaining.
func WithHeader(key, value string) Option {
	return func(s *settings) {
		if s.header == nil {
			s.header = http.Header{}
		}
		s.header.Add(key, value)
	}
}

// ReadOnly refuses to write to the repositories that match one of the patterns, in which *
// is any text: 403 DENIED. Without patterns, to all.
func ReadOnly(patterns ...string) Option {
	if len(patterns) == 0 {
		patterns = []string{"*"}
	}
	return func(s *settings) { s.readOnly = patterns }
}

// In serves http on an in-memory network under a host name, such as "registry.test". A second host, if a quirk needs
// one, has that name with the prefix "elsewhere.".
func In(network *Network, name string) Option {
	return func(s *settings) { s.network, s.name = network, name }
}

// Slow bounds the bodies of all connections together, each direction apart.
func Slow(bytesPerSecond int64) Option {
	return func(s *settings) { s.bytesPerSecond = bytesPerSecond }
}

// Latency is the time that each answer takes at least.
func Latency(d time.Duration) Option { return func(s *settings) { s.latency = d } }

func addHeader(header http.Header, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), header)
		next.ServeHTTP(w, r)
	})
}

// quiet swallows what a server says about handshakes and aborts that a test provokes.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
