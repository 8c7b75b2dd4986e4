package registry

import (
	"net/http"

	"github.com/regsync/regsync/pkg/reference"
)

// route is the RoundTripper that takes a request to the connections of its host: the
// registry's own; those of a host with settings of its own; or those for hosts that the
// registry sends us to, which share its proxy and its authorities, and get neither its
// client certificate nor its leave to skip checks.
type route struct {
	host    *host
	own     *http.Transport
	foreign *http.Transport
	// urls reaches the URLs of foreign layers; see layerurl.go.
	urls *http.Transport
}

var _ http.RoundTripper = (*route)(nil)

func newRoute(h *host) (*route, error) {
	proxies, err := newProxies(h.config.Proxy)
	if err != nil {
		return nil, err
	}
	own, err := ownTLS(h.config, h.name, h.client.options.CertsDirs)
	if err != nil {
		return nil, err
	}
	limits := h.client.limits
	r := &route{
		host:    h,
		own:     newTransport(limits, h.config, own, proxies, nil),
		foreign: newTransport(limits, h.config, foreignTLS(own), proxies, checkDial),
		urls:    newTransport(limits, h.config, foreignTLS(own), proxies, h.checkLayerDial),
	}
	if dial := h.client.options.Dial; dial != nil {
		r.own.DialContext, r.foreign.DialContext, r.urls.DialContext = dial, dial, dial
	}
	return r, nil
}

// RoundTrip implements http.RoundTripper.
func (r *route) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.host.owns(req.URL) {
		return r.own.RoundTrip(req)
	}
	if other := r.configured(req.URL.Host); other != nil {
		return other.route.own.RoundTrip(req)
	}
	return r.foreign.RoundTrip(req)
}

// configured is the host that has settings of its own, or nil. A registry that has none and
// that someone copies from gets no better treatment than any other address.
func (r *route) configured(name string) *host {
	c := r.host.client
	if c.options.Hosts(reference.CanonicalHost(name)).isZero() {
		return nil
	}
	other, err := c.host(name)
	if err != nil || other.address != name {
		return nil
	}
	return other
}

func (r *route) closeIdle() {
	r.own.CloseIdleConnections()
	r.foreign.CloseIdleConnections()
	r.urls.CloseIdleConnections()
}
