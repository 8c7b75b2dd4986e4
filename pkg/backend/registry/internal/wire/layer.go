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

// layerRules are the rules for the URLs of foreign layers of images at a registry.
type layerRules struct{ host *Host }

// checkURL refuses URLs that no foreign layer may have. checkDial checks the addresses that the host name resolves
// to.
func (l layerRules) checkURL(u *url.URL) error {
	refuse := func(reason string) error {
		return fmt.Errorf("the URL of the layer at %q %s: %w", u.Host, reason, content.ErrInvalid)
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !l.host.plain.Load()):
		return refuse("is not https")
	case name == "":
		return refuse("has no host")
	case u.User != nil:
		return refuse("contains user info")
	case (name == "localhost" || strings.HasSuffix(name, ".localhost")) && !isLoopback(l.host.address):
		return refuse("is on this machine")
	}
	if err := answer.CheckHostname(name); err != nil {
		return refuse(err.Error())
	}
	name, _, _ = strings.Cut(name, "%")
	if ip, err := netip.ParseAddr(name); err == nil {
		return l.checkIP(ip)
	}
	return nil
}

// checkDial is a [dialGuard].
func (l layerRules) checkDial(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return l.checkIP(to.Addr())
}

func (l layerRules) checkIP(ip netip.Addr) error {
	if err := answer.CheckIP(ip); err != nil {
		return err
	}
	ip = answer.EmbeddedIPv4(ip.WithZone("").Unmap())
	if ip.IsLoopback() && isLoopback(l.host.address) {
		return nil
	}
	shared := netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || shared.Contains(ip) {
		return fmt.Errorf("the address %s of a layer's URL is not public: %w", ip, content.ErrInvalid)
	}
	return nil
}
