package registrytest

import (
	"io"
	"log"
	"maps"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
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

	readOnly          []string
	mount             func(from, to string, d digest.Digest) bool
	noRanges          bool
	redirectBlobs     bool
	locationElsewhere bool
	referrers         bool
	noLayerURLs       bool
	imagesOnly        bool
	tagPage           int
	maxRequest        int64
	maxChunk          int64
}

type account struct{ name, password string }

// WithTLS serves https. See [Server.CAPEM].
func WithTLS() Option { return func(s *settings) { s.tls = true } }

// WithBasic asks for Basic authentication everywhere.
func WithBasic(user, password string) Option {
	return func(s *settings) { s.basic = &account{user, password} }
}

// WithTokens asks for Bearer tokens, of a token server at /token of the same host.
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

// NoMount answers every mount with 202 and a session, that from the same repository too.
func NoMount() Option {
	return MountPolicy(func(string, string, digest.Digest) bool { return false })
}

// NoSelfMount answers a mount from the same repository with 202 and a session, whether the
// blob is there or not.
func NoSelfMount() Option {
	return MountPolicy(func(from, to string, _ digest.Digest) bool { return from != to })
}

// MountPolicy refuses with 202 and a session the mounts for which allow is false.
func MountPolicy(allow func(from, to string, d digest.Digest) bool) Option {
	return func(s *settings) { s.mount = allow }
}

// WithReferrers serves the referrers API, as zot and Harbor do.
func WithReferrers() Option { return func(s *settings) { s.referrers = true } }

// NoLayerURLs refuses images with foreign layers, as distribution does until its
// configuration allows their URLs: 500 UNKNOWN.
func NoLayerURLs() Option { return func(s *settings) { s.noLayerURLs = true } }

// ImagesOnly refuses manifests whose config is not an image config, as distribution does with the policy
// "classes: [image]", and Aliyun ACR's Personal Edition is reported to do: 403 DENIED.
func ImagesOnly() Option { return func(s *settings) { s.imagesOnly = true } }

// NoRanges answers a request for a range of a blob with 200 and all of it.
func NoRanges() Option { return func(s *settings) { s.noRanges = true } }

// LocationElsewhere lets uploads go to a second host, which wants no Authorization.
func LocationElsewhere() Option { return func(s *settings) { s.locationElsewhere = true } }

// RedirectBlobs answers GET and HEAD of blobs with 307 to a signed URL of a second host,
// which refuses an Authorization beside the signature as S3 does (400).
func RedirectBlobs() Option { return func(s *settings) { s.redirectBlobs = true } }

// TagPages lists at most n tags an answer, whatever the client asks for.
func TagPages(n int) Option { return func(s *settings) { s.tagPage = n } }

// MaxRequest refuses requests whose body is stated to have more than n bytes, before it is read: 413 without
// a word of a registry, as nginx does with client_max_body_size.
func MaxRequest(n int64) Option { return func(s *settings) { s.maxRequest = n } }

// MaxChunk refuses requests with Content-Range and more than n bytes, as GHCR does above 4 MiB: 416.
func MaxChunk(n int64) Option { return func(s *settings) { s.maxChunk = n } }

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
