package answer

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/regsync/regsync/pkg/content"
)

// Follow returns the URL that an answer names: a Location, a redirect, a realm, a Link. from is the URL of the
// request that was answered. Other hosts are allowed. The error for a refused URL is [content.ErrInvalid].
func Follow(from *url.URL, to string) (*url.URL, error) {
	refuse := func(reason string) (*url.URL, error) {
		return nil, fmt.Errorf("%s leads to an address that %s: %w", from.Host, reason, content.ErrInvalid)
	}
	if to == "" {
		return refuse("is empty")
	}
	u, err := from.Parse(to)
	if err != nil { // its text would quote the URL, which may contain a secret
		return refuse("is not a URL")
	}
	u.Fragment, u.RawFragment = "", ""
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse("is neither https nor http")
	case u.Hostname() == "":
		return refuse("has no host")
	case u.User != nil:
		return refuse("contains user info")
	}
	if from.Scheme == "https" && u.Scheme == "http" {
		if !behindProxy(from, u) {
			return refuse("is http, although the request was https")
		}
		u.Scheme, u.Host = from.Scheme, from.Host
	}
	if !strings.EqualFold(u.Hostname(), from.Hostname()) {
		if err := CheckHostname(u.Hostname()); err != nil {
			return nil, fmt.Errorf("%s leads to %s: %w", from.Host, u.Hostname(), err)
		}
	}
	return u, nil
}

// behindProxy reports whether u is an http URL of from's own host, behind a proxy that terminates TLS and does not
// forward the scheme: a common misconfiguration of distribution.
func behindProxy(from, u *url.URL) bool {
	port := u.Port()
	return strings.EqualFold(from.Hostname(), u.Hostname()) && (port == "" || port == "80" || port == from.Port())
}

// CheckHostname refuses host names to which an answer must not lead. [CheckIP] checks the addresses that a name
// resolves to.
func CheckHostname(name string) error {
	name, _, _ = strings.Cut(name, "%") // the zone of an IPv6 address
	if ip, err := netip.ParseAddr(name); err == nil {
		return CheckIP(ip)
	}
	// A resolver or a proxy may interpret 2852039166 or 0xa9fea9fe as an address.
	last := name[strings.LastIndex(strings.TrimSuffix(name, "."), ".")+1:]
	if _, err := strconv.ParseUint(strings.TrimSuffix(last, "."), 0, 64); err == nil {
		return fmt.Errorf("the host name is a number: %w", content.ErrInvalid)
	}
	return nil
}

// CheckIP refuses link-local addresses and those where clouds serve credentials without authentication: AWS (also
// 169.254.169.254, as Azure and Google), Alibaba, Oracle, Azure.
func CheckIP(ip netip.Addr) error {
	ip = EmbeddedIPv4(ip.WithZone("").Unmap())
	switch ip.String() {
	case "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16":
		return fmt.Errorf("the address %s serves cloud metadata: %w", ip, content.ErrInvalid)
	}
	if ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() {
		return fmt.Errorf("the address %s is link-local: %w", ip, content.ErrInvalid)
	}
	return nil
}

// EmbeddedIPv4 returns the IPv4 address that a NAT64 prefix leads to (RFC 6052).
func EmbeddedIPv4(ip netip.Addr) netip.Addr {
	if !netip.MustParsePrefix("64:ff9b::/96").Contains(ip) {
		return ip
	}
	raw := ip.As16()
	return netip.AddrFrom4([4]byte(raw[12:]))
}
