package registry

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/pkg/reference"
)

// host is what the client knows about one registry, for the whole run.
type host struct {
	client   *Client
	name     string // as users and settings call it: "docker.io"
	registry string // the one name of all its hosts
	address  string // of its API, host[:port]
	config   HostConfig

	route      *route
	authority  *authority
	registryRT http.RoundTripper // for requests to the registry
	realmRT    http.RoundTripper // for requests to its token server
	layerRT    http.RoundTripper // for requests to the URLs of foreign layers

	plain       atomic.Bool // it answered in plain http
	encrypted   atomic.Bool // it answered in TLS: no way back
	noReferrers atomic.Bool // it has no referrers API
	refusesURLs atomic.Bool // it refuses manifests with URLs of foreign layers
	countsPulls atomic.Bool // a manifest's GET is a pull, of which there is a quota
	avoidUntil  atomic.Int64

	sizes sizes // of the requests that bring a blob
}

func newHost(c *Client, name string, config HostConfig) (*host, error) {
	h := &host{
		client: c, name: name, registry: Name(name), address: apiAddress(name), config: config,
	}
	h.plain.Store(config.TLS == TLSDisabled)
	h.countsPulls.Store(h.registry == reference.DockerHub)
	var err error
	if h.route, err = newRoute(h); err != nil {
		return nil, err
	}
	h.authority = newAuthority(h, c.options.Credentials)
	h.realmRT = h.stack(h.route, nil)
	h.layerRT = h.stack(h.route.urls, h.checkLayerURL)
	h.registryRT = &authorize{host: h, next: h.realmRT}
	return h, nil
}

// url is that of a path of the API.
func (h *host) url(path string, query url.Values) *url.URL {
	scheme := "https"
	if h.plain.Load() {
		scheme = "http"
	}
	return &url.URL{Scheme: scheme, Host: h.address, Path: path, RawQuery: query.Encode()}
}

// owns reports whether u is at the registry itself, so that credentials may go there.
func (h *host) owns(u *url.URL) bool {
	if u.Scheme == "http" && !h.mayBePlain() {
		return false
	}
	return endpoint(u.Scheme, u.Host) == endpoint(u.Scheme, h.address)
}

func (h *host) mayBePlain() bool {
	if h.plain.Load() || h.config.TLS == TLSDisabled {
		return true
	}
	return h.config.TLS != TLSEnabled && isLoopback(h.address) && !h.encrypted.Load()
}

// noteQuota learns from an answer that the registry counts pulls (Docker Hub, "Usage and
// limits", and what caches it).
func (h *host) noteQuota(header http.Header) {
	if header.Get("Ratelimit-Limit") != "" || header.Get("Ratelimit-Remaining") != "" {
		h.countsPulls.Store(true)
	}
}

// avoid keeps a mirror from being asked for a while.
func (h *host) avoid(d time.Duration) { h.avoidUntil.Store(time.Now().Add(d).UnixNano()) }

func (h *host) avoided() bool { return time.Now().UnixNano() < h.avoidUntil.Load() }

// endpoint is host[:port] with the port of the scheme where there is none.
func endpoint(scheme, hostport string) string {
	u := url.URL{Host: strings.ToLower(hostport)}
	port := u.Port()
	if port == "" {
		port = "443"
		if scheme == "http" {
			port = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func isLoopback(hostport string) bool {
	name := (&url.URL{Host: hostport}).Hostname()
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}
