package wire

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/pkg/limit"
)

// Limits are how long to wait for a peer. None applies to a whole body.
type Limits struct {
	Dial, Handshake time.Duration
	Connect         time.Duration // dial and handshake, with what a proxy takes for them
	Answer          time.Duration // from the last byte of a request to the header of its answer
	Stall           time.Duration // without a byte, while that peer has to take or send one
	Idle            time.Duration // of a connection that is kept
	// Rate is the fewest bytes a second of a body, over RateSpan of time in which that peer has to take or
	// send them; no minimum if RateSpan is zero.
	Rate     int64
	RateSpan time.Duration
	// Linger is how much longer than its caller a request waits that opens an upload.
	Linger time.Duration
}

// DefaultLimits are those of a real run.
func DefaultLimits() Limits {
	return Limits{
		Dial: 10 * time.Second, Handshake: 10 * time.Second, Connect: 30 * time.Second,
		Answer: time.Minute, Stall: 30 * time.Second, Idle: 90 * time.Second, Linger: time.Second,
		Rate: 1 << 10, RateSpan: 2 * time.Minute,
	}
}

// Options are common to the hosts of a client.
type Options struct {
	Limits  Limits
	Limiter *limit.Limiter
	// Logger is told every request at the debug level; may be nil.
	Logger    *slog.Logger
	UserAgent string
	// CertsDirs are directories of directories named after registries, as docker's /etc/docker/certs.d.
	CertsDirs []string
	// Other is the host with settings of its own that has an address; nil if there is none.
	Other func(address string) *Host
	// Dial takes the place of a net.Dialer, and of its checks; nil is none.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Transport takes the place of all connections, in tests; nil is none.
	Transport http.RoundTripper
	Counter   *Counter
}

// Config are the settings of one registry that concern its connections.
type Config struct {
	TLS TLSMode
	// CA, Cert and Key are PEM files: authorities that are trusted besides the system's, and the client's
	// certificate.
	CA, Cert, Key string
	// Proxy is a URL, "direct" for none, or empty for the environment's.
	Proxy string
	// IdleConnections is how many idle connections are kept; 192 if zero.
	IdleConnections int
}

// Host is how one registry is reached, for as long as its client lives.
type Host struct {
	options  *Options
	config   Config
	name     string // as users and settings call it: "docker.io"
	registry string // the one name of all its hosts
	address  string // of its API, host[:port]
	route    *route
	warnings []error
	requests RoundTripper // to the registry, its token server, and where it redirects
	layers   RoundTripper // to the URLs of foreign layers

	plain     atomic.Bool // it answered in plain http
	encrypted atomic.Bool // it answered in TLS: no way back
}

// NewHost creates a Host. It connects to nothing. The error is about the settings.
func NewHost(options *Options, name string, config Config) (*Host, error) {
	h := &Host{options: options, config: config, name: name, registry: Registry(name), address: apiAddress(name)}
	h.plain.Store(config.TLS == TLSDisabled)
	var err error
	if h.route, err = newRoute(h); err != nil {
		return nil, err
	}
	h.requests = h.stack(h.route.carry, nil)
	h.layers = h.stack(h.route.carryLayer, layerRules{h}.checkURL)
	return h, nil
}

// stack is what every request passes through, from the top. allow checks each URL, besides what
// [answer.Follow] refuses of a redirect; it may be nil.
func (h *Host) stack(carry func(*Request) (*http.Response, error), allow func(*url.URL) error) RoundTripper {
	return &redirect{allow: allow, next: &report{host: h, next: &lifetime{options: h.options, carry: carry}}}
}

// Requests sends requests to the registry, to its token server, and to where one of them sends us.
func (h *Host) Requests() RoundTripper { return h.requests }

// Layers sends requests to the URLs of foreign layers, which the author of an image sets. A URL must
// be https, or may be http if the registry is reached by plain http; it must have no user info, and not
// lead to a loopback, private, link-local or cloud-metadata address, except to a loopback address if the
// registry is at one. Redirects are followed under the same rules. Client certificates are not used.
func (h *Host) Layers() RoundTripper { return h.layers }

// Warnings are about settings that were left out.
func (h *Host) Warnings() []error { return h.warnings }

// Name is what users and settings call the registry: "docker.io".
func (h *Host) Name() string { return h.name }

// Registry is the one name of all hosts of the registry.
func (h *Host) Registry() string { return h.registry }

// Address is that of the registry's API, host[:port].
func (h *Host) Address() string { return h.address }

// URL is that of a path of the API.
func (h *Host) URL(path string, query url.Values) *url.URL {
	scheme := "https"
	if h.plain.Load() {
		scheme = "http"
	}
	return &url.URL{Scheme: scheme, Host: h.address, Path: path, RawQuery: query.Encode()}
}

// Owns reports whether u is at the registry itself, so that credentials may go there.
func (h *Host) Owns(u *url.URL) bool {
	if u.Scheme == "http" && !h.mayBePlain() {
		return false
	}
	return SameEndpoint(u, &url.URL{Scheme: u.Scheme, Host: h.address})
}

func (h *Host) mayBePlain() bool {
	if h.plain.Load() || h.config.TLS == TLSDisabled {
		return true
	}
	return h.config.TLS != TLSEnabled && isLoopback(h.address) && !h.encrypted.Load()
}

// Close closes idle connections.
func (h *Host) Close() { h.route.closeIdle() }

// SameEndpoint reports whether two URLs are at one host and port, with the port of the scheme where there is none.
func SameEndpoint(a, b *url.URL) bool { return endpoint(a) == endpoint(b) }

func endpoint(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func isLoopback(hostport string) bool {
	name := (&url.URL{Host: hostport}).Hostname()
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}
