package wire

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
)

// checkLayerURL refuses the URL of a foreign layer if it leads where it must not, as far as the URL
// itself shows; checkLayerDial checks the addresses that its name resolves to.
func (h *Host) checkLayerURL(u *url.URL) error {
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
	if err := answer.CheckHostname(name); err != nil {
		return refuse(err.Error())
	}
	name, _, _ = strings.Cut(name, "%")
	if ip, err := netip.ParseAddr(name); err == nil {
		return h.checkLayerIP(ip)
	}
	return nil
}

// checkLayerDial is a [dialGuard].
func (h *Host) checkLayerDial(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return h.checkLayerIP(to.Addr())
}

func (h *Host) checkLayerIP(ip netip.Addr) error {
	if err := answer.CheckIP(ip); err != nil {
		return err
	}
	ip = answer.EmbeddedIPv4(ip.WithZone("").Unmap())
	if ip.IsLoopback() && isLoopback(h.address) {
		return nil
	}
	shared := netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || shared.Contains(ip) {
		return fmt.Errorf("the address %s of a layer's URL is not public: %w", ip, content.ErrInvalid)
	}
	return nil
}
