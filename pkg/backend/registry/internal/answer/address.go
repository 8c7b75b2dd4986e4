package answer

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/regsync/regsync/pkg/content"
)

const (
	// maxURL bounds a URL that an answer or an image names, in bytes. The signed URLs of object stores have less than 4 KiB.
	maxURL  = 8 << 10
	tooLong = "has more than 8 KiB"
	// maxHostname is the limit of the DNS.
	maxHostname = 253
)

// Follow returns the URL that an answer names: a Location, a redirect, a realm, a Link. from is the URL of the
// request that was answered. Other hosts are allowed. The error for a refused URL is [content.ErrInvalid].
func Follow(from *url.URL, to string) (*url.URL, error) {
	refuse := func(reason string) (*url.URL, error) {
		return nil, fmt.Errorf("%s refers to an address that %s: %w", from.Host, reason, content.ErrInvalid)
	}
	switch {
	case to == "":
		return refuse("is empty")
	case len(to) > maxURL:
		return refuse(tooLong)
	}
	u, err := from.Parse(to)
	if err != nil { // its text would quote the URL, which may contain a secret
		return refuse("is not a URL")
	}
	u.Fragment, u.RawFragment = "", ""
	if reason := Objection(u); reason != "" {
		return refuse(reason)
	}
	if from.Scheme == "https" && u.Scheme == "http" {
		if !behindProxy(from, u) {
			return refuse("uses http, although the request used https")
		}
		u.Scheme, u.Host = from.Scheme, from.Host
	}
	if !strings.EqualFold(u.Hostname(), from.Hostname()) {
		if err := CheckHostname(u.Hostname()); err != nil {
			return nil, fmt.Errorf("%s refers to %s: %w", from.Host, u.Hostname(), err)
		}
	}
	return u, nil
}

// FollowAnswer returns the URL that an answer names, as [Follow] does.
func FollowAnswer(resp *http.Response, to string) (*url.URL, error) {
	u, err := Follow(resp.Request.URL, to)
	return u, Scrub(resp.Request, err)
}

// Objection returns why neither an answer nor an image may name a URL, whatever its host is; empty if they may.
func Objection(u *url.URL) string {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "is neither https nor http"
	case u.Hostname() == "":
		return "has no host"
	case u.User != nil:
		return "contains user info"
	case len(u.Hostname()) > maxHostname || len(u.Port()) > len("65535"):
		return fmt.Sprintf("has a host name of more than %d bytes", maxHostname)
	case len(u.String()) > maxURL:
		return tooLong
	}
	return ""
}

// behindProxy reports whether u is an http URL of from's own host, behind a proxy that terminates TLS and does not
// forward the scheme: a common misconfiguration of distribution.
func behindProxy(from, u *url.URL) bool {
	port := u.Port()
	return strings.EqualFold(from.Hostname(), u.Hostname()) && (port == "" || port == "80" || port == from.Port())
}

// CheckHostname refuses host names to which an answer must not lead. [CheckIP] checks the addresses that a name
// resolves to, but not behind a proxy, which resolves names itself.
func CheckHostname(name string) error {
	name, _, _ = strings.Cut(name, "%") // the zone of an IPv6 address
	if ip, err := netip.ParseAddr(name); err == nil {
		return CheckIP(ip)
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	switch name {
	case "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
		"metadata.azure.internal", "metadata.tencentyun.com", "metadata.platformequinix.com", "metadata.packet.net":
		return fmt.Errorf("the host serves cloud metadata: %w", content.ErrInvalid)
	}
	// net/http maps 1¹.0.0.1 and the like to ASCII after this check. Servers name such hosts in Punycode.
	if strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
		return fmt.Errorf("the host name is not ASCII: %w", content.ErrInvalid)
	}
	// A resolver or a proxy may interpret 2852039166 or 0xa9fea9fe as an address.
	if _, err := strconv.ParseUint(name[strings.LastIndex(name, ".")+1:], 0, 64); err == nil {
		return fmt.Errorf("the host name is a number: %w", content.ErrInvalid)
	}
	return nil
}

// CheckIP refuses link-local addresses and those where clouds serve credentials without authentication, also as IPv4
// addresses in IPv6 ones.
func CheckIP(ip netip.Addr) error {
	for _, reached := range Reached(ip) {
		if slices.ContainsFunc(metadata(), func(p netip.Prefix) bool { return p.Contains(reached) }) {
			return fmt.Errorf("the address %s serves cloud metadata: %w", ip, content.ErrInvalid)
		}
		if reached.IsLinkLocalUnicast() || reached.IsLinkLocalMulticast() {
			return fmt.Errorf("the address %s is link-local: %w", ip, content.ErrInvalid)
		}
	}
	return nil
}

// metadata returns the addresses of metadata services that are not link-local. Others use 169.254.169.254.
func metadata() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("fd00:ec2::/32"),      // AWS
		netip.MustParsePrefix("fd20:ce::/32"),       // Google
		netip.MustParsePrefix("fd00:c1::/32"),       // Oracle
		netip.MustParsePrefix("192.0.0.192/32"),     // Oracle
		netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
		netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	}
}

// Reached returns the addresses that a packet to ip may reach: ip, and the IPv4 addresses that translators and
// tunnels read from it.
func Reached(ip netip.Addr) []netip.Addr {
	ip = ip.WithZone("").Unmap()
	all := []netip.Addr{ip}
	if ip.Is4() {
		return all
	}
	raw := ip.As16()
	embedded := func(at ...int) {
		v4 := netip.AddrFrom4([4]byte{raw[at[0]], raw[at[1]], raw[at[2]], raw[at[3]]})
		if v4.As4()[0] != 0 { // 0.0.0.0/8 is no destination
			all = append(all, v4)
		}
	}
	in := func(prefix string) bool { return netip.MustParsePrefix(prefix).Contains(ip) }
	switch {
	case in("64:ff9b:1::/48"): // NAT64 (RFC 8215), in any layout of RFC 6052 from /48 on
		embedded(6, 7, 9, 10)
		embedded(7, 9, 10, 11)
		embedded(9, 10, 11, 12)
		embedded(12, 13, 14, 15)
	case in("64:ff9b::/96"), in("::/96"), in("::ffff:0:0:0/96"): // NAT64 (RFC 6052), IPv4-compatible, SIIT (RFC 2765)
		embedded(12, 13, 14, 15)
	case in("2002::/16"): // 6to4 (RFC 3056)
		embedded(2, 3, 4, 5)
	}
	return all
}
