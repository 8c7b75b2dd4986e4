package wire

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
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
	guest := foreignTLS(own)
	guest.InsecureSkipVerify = own.InsecureSkipVerify // it applies to the host, whichever registry refers to it
	return &route{
		host:    h,
		own:     newTransport(h, own, proxies, nil),
		guest:   newTransport(h, guest, proxies, nil),
		foreign: newTransport(h, foreignTLS(own), proxies, answer.CheckIP),
		layer:   newTransport(h, foreignTLS(own), proxies, h.checkLayerIP),
	}, nil
}

// carry sends a request. To another host it uses the connections of that host, if it has its own settings; a registry
// without settings is treated like any other address, even if it is part of the run.
//
// It uses plain http for a registry that is configured so, and for one on a loopback address that did not answer
// with TLS. An untrusted certificate does not lead to plain http.
func (r *route) carry(req *Request) (*http.Response, error) {
	h := r.host
	if !h.Owns(req.URL) {
		if other := h.other(req.URL.Host); other != nil {
			return other.route.guest.RoundTrip(req.Request)
		}
		return r.foreign.RoundTrip(req.Request)
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

// checkLayerURL refuses URLs that no foreign layer may have. checkLayerIP checks the addresses that a name resolves to.
func (h *Host) checkLayerURL(u *url.URL) error {
	refuse := func(reason string) error {
		return fmt.Errorf("the URL of the layer at %q %s: %w", u.Host, reason, content.ErrInvalid)
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if reason := answer.Objection(u); reason != "" {
		return fmt.Errorf("the URL of a layer %s: %w", reason, content.ErrInvalid)
	}
	switch {
	case u.Scheme == "http" && !h.plain.Load():
		return refuse("is not https")
	case (name == "localhost" || strings.HasSuffix(name, ".localhost")) && !isLoopback(h.address):
		return refuse("points to this machine")
	}
	if err := answer.CheckHostname(name); err != nil {
		return refuse(err.Error())
	}
	name, _, _ = strings.Cut(name, "%")
	if ip, err := netip.ParseAddr(name); err == nil {
		return h.checkLayerIP(ip)
	}
	return nil
}

func (h *Host) checkLayerIP(ip netip.Addr) error {
	if err := answer.CheckIP(ip); err != nil {
		return err
	}
	shared := netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	for _, reached := range answer.Reached(ip) {
		if reached.IsLoopback() && isLoopback(h.address) {
			continue
		}
		if !reached.IsGlobalUnicast() || reached.IsPrivate() || shared.Contains(reached) {
			return fmt.Errorf("the address %s of a layer's URL is not public: %w", ip, content.ErrInvalid)
		}
	}
	return nil
}
