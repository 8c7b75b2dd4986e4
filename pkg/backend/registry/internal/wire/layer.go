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
	if reason := answer.Objection(u); reason != "" {
		return fmt.Errorf("the URL of a layer %s: %w", reason, content.ErrInvalid)
	}
	switch {
	case u.Scheme == "http" && !l.host.plain.Load():
		return refuse("is not https")
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
	shared := netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	for _, reached := range answer.Reached(ip) {
		if reached.IsLoopback() && isLoopback(l.host.address) {
			continue
		}
		if !reached.IsGlobalUnicast() || reached.IsPrivate() || shared.Contains(reached) {
			return fmt.Errorf("the address %s of a layer's URL is not public: %w", ip, content.ErrInvalid)
		}
	}
	return nil
}
