package registry

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"github.com/regsync/regsync/pkg/content"
)

// checkHostname refuses the hosts that an answer must not send us to, as far as the name
// shows it; checkDial sees what it resolves to.
func checkHostname(name string) error {
	name, _, _ = strings.Cut(name, "%") // the zone of an IPv6 address
	if ip, err := netip.ParseAddr(name); err == nil {
		return checkIP(ip)
	}
	// A resolver, or a proxy, may take 2852039166 or 0xa9fea9fe for an address.
	last := name[strings.LastIndex(strings.TrimSuffix(name, "."), ".")+1:]
	if _, err := strconv.ParseUint(strings.TrimSuffix(last, "."), 0, 64); err == nil {
		return fmt.Errorf("a number for a host: %w", content.ErrInvalid)
	}
	return nil
}

// checkDial is a net.Dialer's Control: it sees every address before it is connected to.
func checkDial(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return checkIP(to.Addr())
}

// checkIP refuses link-local addresses and those where clouds serve credentials to whoever
// asks: AWS (also 169.254.169.254, as Azure and Google), Alibaba, Oracle, Azure.
func checkIP(ip netip.Addr) error {
	ip = embedded(ip.WithZone("").Unmap())
	switch ip.String() {
	case "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16":
		return fmt.Errorf("the address %s serves cloud metadata: %w", ip, content.ErrInvalid)
	}
	if ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() {
		return fmt.Errorf("the address %s is link-local: %w", ip, content.ErrInvalid)
	}
	return nil
}

// embedded is the IPv4 address that a NAT64 prefix leads to (RFC 6052).
func embedded(ip netip.Addr) netip.Addr {
	if !netip.MustParsePrefix("64:ff9b::/96").Contains(ip) {
		return ip
	}
	raw := ip.As16()
	return netip.AddrFrom4([4]byte(raw[12:]))
}
