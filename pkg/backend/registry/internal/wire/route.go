package wire

import (
	"net/http"
)

// route sends a request over the connections of its host: the registry's; those of another host with its own
// settings, but without its client certificate; or those for hosts that the registry redirects to. The latter use the
// registry's proxy and certificate authorities, but neither its client certificate nor its setting to skip
// certificate checks.
type route struct {
	host *Host
	// own is for the registry's requests; guest for those of other registries that lead here; foreign for other hosts,
	// layer for the URLs of foreign layers.
	own, guest, foreign, layer http.RoundTripper
}

func newRoute(h *Host) (*route, error) {
	proxies, err := newProxies(h.config.Proxy)
	if err != nil {
		return nil, err
	}
	own, warnings, err := ownTLS(h.config, h.name, h.options.CertsDirs)
	h.warnings = warnings
	if err != nil {
		return nil, err
	}
	if all := h.options.Transport; all != nil {
		return &route{host: h, own: all, guest: all, foreign: all, layer: all}, nil
	}
	return &route{
		host:    h,
		own:     newTransport(h, own, proxies, nil),
		guest:   newTransport(h, guestTLS(own), proxies, nil),
		foreign: newTransport(h, foreignTLS(own), proxies, checkDial),
		layer:   newTransport(h, foreignTLS(own), proxies, layerRules{h}.checkDial),
	}, nil
}

// carry uses plain http for a registry that is configured so, and for one on a loopback address that did not answer
// with TLS. An untrusted certificate does not lead to plain http.
func (r *route) carry(req *Request) (*http.Response, error) {
	h := r.host
	if !h.Owns(req.URL) {
		return r.elsewhere(req).RoundTrip(req.Request)
	}
	if h.plain.Load() {
		return r.own.RoundTrip(req.inPlain())
	}
	resp, err := r.own.RoundTrip(req.Request)
	if err == nil {
		if req.URL.Scheme == "https" {
			h.encrypted.Store(true)
		}
		return resp, nil
	}
	if !isNotTLS(err) || !h.mayBePlain() {
		return nil, err
	}
	again, ok := req.Rewind()
	if !ok {
		return nil, err
	}
	resp, err = r.own.RoundTrip(again.inPlain())
	req.sent = again.sent
	if err == nil {
		h.plain.Store(true)
	}
	return resp, err
}

func (r *route) carryLayer(req *Request) (*http.Response, error) {
	return r.layer.RoundTrip(req.Request)
}

// inPlain returns the request with the scheme http.
func (r *Request) inPlain() *http.Request {
	if r.URL.Scheme == "http" {
		return r.Request
	}
	plain := r.Clone(r.Context())
	plain.URL.Scheme = "http"
	r.sent = plain.URL
	return plain
}

// elsewhere returns the connections for another host: its own if it has its own settings. A registry without
// settings is treated like any other address, even if it is part of the run.
func (r *route) elsewhere(req *Request) http.RoundTripper {
	if h := r.host.other(req.URL.Host); h != nil {
		return h.route.guest
	}
	return r.foreign
}

func (r *route) closeIdle() {
	for _, transport := range []http.RoundTripper{r.own, r.guest, r.foreign, r.layer} {
		if closing, ok := transport.(interface{ CloseIdleConnections() }); ok {
			closing.CloseIdleConnections()
		}
	}
}
