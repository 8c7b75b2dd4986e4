// Package wire sends requests to a registry, to its token server, and to the hosts that the registry redirects to.
//
// Start at [NewHost] and the Send of a [Host], which calls in turn: redirect.go to follow redirects; report.go to count and log
// requests and to report them to the limiter; lifetime.go to end requests whose peer is silent; route.go to choose the
// connections, and https or http.
//
// The package guarantees that Authorization is sent only to the host that it is meant for, that it does not connect
// to a link-local or cloud-metadata address that a server names, that every wait has a limit but the transfer of a
// whole body has none, and that the log contains no secret.
package wire

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
)

// Limits are the times to wait for a peer. None applies to a whole body.
type Limits struct {
	Dial, Handshake time.Duration
	Connect         time.Duration // dial and handshake, including those of a proxy
	Answer          time.Duration // from the last byte of a request to the header of its answer
	Stall           time.Duration // without a byte, while the peer should receive or send one
	Idle            time.Duration // of an idle connection
	// Rate is the minimum rate of a body in bytes a second, measured over RateSpan of time in which the peer should
	// receive or send bytes; there is no minimum if RateSpan is zero.
	Rate     int64
	RateSpan time.Duration
	// Linger is how long a request that opens an upload goes on after its caller has given up.
	Linger time.Duration
}

// DefaultLimits returns the limits that apply outside of tests.
func DefaultLimits() Limits {
	return Limits{
		Dial: 10 * time.Second, Handshake: 10 * time.Second, Connect: 30 * time.Second,
		Answer: time.Minute, Stall: 30 * time.Second, Idle: 90 * time.Second, Linger: time.Second,
		Rate: 1 << 10, RateSpan: 2 * time.Minute,
	}
}

// Options are common to all hosts of a client.
type Options struct {
	Limits  Limits
	Limiter *limit.Limiter
	// Logger logs every request at the debug level; may be nil.
	Logger    *slog.Logger
	UserAgent string
	// CertsDirs have one subdirectory for each registry, like docker's /etc/docker/certs.d.
	CertsDirs []string
	// Other returns the host with its own settings at an address, or nil if there is none.
	Other func(address string) *Host
	// Resolver resolves the names of hosts; the default one if nil.
	Resolver *net.Resolver
	// Dial replaces the net.Dialer and its checks, unless it is nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Transport replaces all connections in tests, unless it is nil.
	Transport http.RoundTripper
	Counter   *Counter
}

// Config are the settings of one registry that concern its connections.
type Config struct {
	TLS TLSMode
	// CA, Cert and Key are PEM files: certificate authorities to trust besides the system's, and the client
	// certificate with its key.
	CA, Cert, Key string
	// Proxy is a URL, "direct" for none, or empty to use the environment.
	Proxy string
	// IdleConnections is the maximum number of idle connections; 192 if zero.
	IdleConnections int
}

// Host holds the connections to one registry for the lifetime of the client.
type Host struct {
	options  *Options
	config   Config
	name     string // as in references and settings: "docker.io"
	registry string // the one name of all its hosts
	address  string // of its API, host[:port]
	route    *route
	warnings []error

	// Send sends a request to the registry or its token server, and follows their redirects.
	Send roundTrip
	// SendToLayer sends a request to the URL of a foreign layer, which the author of an image sets. The URL must be https,
	// or may be http if the client uses plain http for the registry. It must have no user info, and must not lead to a
	// loopback, private, link-local or cloud-metadata address, except to a loopback address if the registry is at one.
	// Redirects are followed under the same rules. Client certificates are not used.
	SendToLayer roundTrip

	plain     atomic.Bool // it answered with plain http
	encrypted atomic.Bool // it answered with TLS: plain http is never tried again

	secrets answer.Secrets // that were sent in its requests
	foreign foreignHosts
}

// NewHost creates a Host. It connects to nothing. The error is about the settings.
func NewHost(options *Options, name string, config Config) (*Host, error) {
	h := &Host{options: options, config: config, name: name, registry: Registry(name), address: apiAddress(name)}
	h.plain.Store(config.TLS == TLSDisabled)
	var err error
	if h.route, err = newRoute(h); err != nil {
		return nil, err
	}
	carryLayer := func(req *Request) (*http.Response, error) { return h.route.layer.RoundTrip(req.Request) }
	h.Send = (&redirect{allow: h.checkPlain, next: h.logged(h.route.carry)}).send
	h.SendToLayer = (&redirect{allow: h.checkLayerURL, next: h.logged(carryLayer)}).send
	return h, nil
}

// logged returns carry with time limits, counted and logged.
func (h *Host) logged(carry roundTrip) roundTrip {
	timed := &lifetime{host: h, carry: carry}
	return (&report{host: h, next: timed.send}).send
}

// checkPlain refuses plain http to hosts other than the registry, except to loopback addresses and to hosts whose own
// settings say so: those of the registry do not apply to them, since a password may go there.
func (h *Host) checkPlain(u *url.URL) error {
	if u.Scheme != "http" || isLoopback(u.Host) || h.Owns(u) {
		return nil
	}
	if other := h.other(u.Host); other != nil && other.config.TLS == TLSDisabled {
		return nil
	}
	to := h.secrets.Hide(u.Host)
	return fmt.Errorf("%s refers to %s over plain HTTP, which only --plain-http %s, or \"tls: disabled\" for that host, allows: %w",
		h.name, to, to, content.ErrInvalid)
}

// other returns the host with its own settings at an address, or nil if there is none.
func (h *Host) other(address string) *Host {
	if h.options.Other == nil {
		return nil
	}
	return h.options.Other(address)
}

// Warnings returns warnings about settings that were ignored.
func (h *Host) Warnings() []error { return h.warnings }

// Name returns the registry's name in references and settings: "docker.io".
func (h *Host) Name() string { return h.name }

// Registry returns the one name of all hosts of the registry.
func (h *Host) Registry() string { return h.registry }

// Address returns the address of the registry's API, host[:port].
func (h *Host) Address() string { return h.address }

// URL returns the URL of a path of the API.
func (h *Host) URL(path string, query url.Values) *url.URL {
	scheme := "https"
	if h.plain.Load() {
		scheme = "http"
	}
	return &url.URL{Scheme: scheme, Host: h.address, Path: path, RawQuery: query.Encode()}
}

// Owns reports whether u is at the registry itself, so that credentials may be sent to it.
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
	return h.config.TLS == "" && isLoopback(h.address) && !h.encrypted.Load()
}

// shown returns the host of a URL for messages: the registry's address, by which callers recognise it, or another host.
func (h *Host) shown(u *url.URL) string {
	if h.Owns(u) {
		return h.address
	}
	return h.secrets.Hide(u.Host)
}

// Hide returns a text from an answer without the secrets that were sent in requests.
func (h *Host) Hide(text string) string { return h.secrets.Hide(text) }

// Redact returns a URL of a response as messages may show it.
func (h *Host) Redact(u *url.URL) string { return h.secrets.Redact(u) }

// Close closes idle connections.
func (h *Host) Close() {
	for _, transport := range []http.RoundTripper{h.route.own, h.route.guest, h.route.foreign, h.route.layer} {
		if closing, ok := transport.(interface{ CloseIdleConnections() }); ok {
			closing.CloseIdleConnections()
		}
	}
}

// SameEndpoint reports whether two URLs have the same host and port. A URL without a port has that of its scheme.
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
