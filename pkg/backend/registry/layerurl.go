package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
)

// maxLayerURLs is how many URLs of one layer are tried.
const maxLayerURLs = 8

var _ content.URLFetcher = (*Repository)(nil)

// FetchURLs implements [content.URLFetcher] with one GET for each URL. The URLs come from the author
// of the image, so they are untrusted. They must be https, or may be http if the registry is reached by
// plain http. They must have no user info, and not lead to a loopback, private, link-local or
// cloud-metadata address, except to a loopback address if the registry is at one. Redirects are followed
// under the same rules. Neither credentials nor client certificates are sent.
func (r *Repository) FetchURLs(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	failure := fmt.Errorf("foreign layer %s has no URL: %w", d.Digest, content.ErrNotFound)
	for i, layerURL := range d.URLs[:min(len(d.URLs), maxLayerURLs)] {
		body, err := r.fetchURL(ctx, d, layerURL)
		if err == nil || ctx.Err() != nil {
			return body, err
		}
		if i == 0 || retry.Retryable(err) && !retry.Retryable(failure) {
			failure = fmt.Errorf("foreign layer %s: %w", d.Digest, err)
		}
	}
	return nil, failure
}

func (r *Repository) fetchURL(ctx context.Context, d content.Descriptor, layerURL string) (io.ReadCloser, error) {
	u, err := url.Parse(layerURL)
	if err != nil { // err quotes the URL, which may hold a secret
		return nil, fmt.Errorf("its URL cannot be parsed: %w", content.ErrInvalid)
	}
	u.Fragment, u.RawFragment = "", ""
	if err := r.host.checkLayerURL(u); err != nil {
		return nil, err
	}
	resp, err := r.host.send(ctx, r.host.layerRT, call{
		method: http.MethodGet, url: u, header: http.Header{"Accept-Encoding": {"identity"}},
		intent: intent{stream: true, item: d.Digest.String()},
	})
	if err != nil {
		if answer, ok := errors.AsType[*Error](err); ok {
			answer.foreign = true // it says nothing about an account at the registry
		}
		return nil, err
	}
	if resp.ContentLength >= 0 && resp.ContentLength != d.Size {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s states %d bytes, not %d: %w", redact(u), resp.ContentLength, d.Size, content.ErrMismatch)
	}
	return &blobBody{resp.Body, d.Digest}, nil
}

// checkLayerURL refuses the URL of a foreign layer if it leads where it must not, as far as the URL
// itself shows; checkLayerDial checks the addresses that its name resolves to.
func (h *host) checkLayerURL(u *url.URL) error {
	refuse := func(reason string) error {
		return fmt.Errorf("the URL of the layer at %q %s: %w", u.Host, reason, content.ErrInvalid)
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !h.plain.Load()):
		return refuse("is not https")
	case name == "":
		return refuse("has no host")
	case u.User != nil:
		return refuse("has user info in it")
	case (name == "localhost" || strings.HasSuffix(name, ".localhost")) && !isLoopback(h.address):
		return refuse("is on this machine")
	}
	if err := checkHostname(name); err != nil {
		return refuse(err.Error())
	}
	name, _, _ = strings.Cut(name, "%")
	if ip, err := netip.ParseAddr(name); err == nil {
		return h.checkLayerIP(ip)
	}
	return nil
}

// checkLayerDial is a [dialGuard].
func (h *host) checkLayerDial(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return h.checkLayerIP(to.Addr())
}

func (h *host) checkLayerIP(ip netip.Addr) error {
	if err := checkIP(ip); err != nil {
		return err
	}
	ip = embedded(ip.WithZone("").Unmap())
	if ip.IsLoopback() && isLoopback(h.address) {
		return nil
	}
	shared := netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || shared.Contains(ip) {
		return fmt.Errorf("the address %s of a layer's URL is not public: %w", ip, content.ErrInvalid)
	}
	return nil
}
