package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
)

func newHost(t *testing.T, name string) *Host { return newHostWith(t, name, Config{}) }

func newHostWith(t *testing.T, name string, config Config) *Host {
	t.Helper()
	h, err := NewHost(&Options{Limits: DefaultLimits()}, name, config)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func mustParse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestForeignAddresses(t *testing.T) {
	for _, test := range []struct {
		address string
		allowed bool
	}{
		{"127.0.0.1:80", true}, {"[::1]:443", true}, {"10.1.2.3:443", true}, {"93.184.216.34:443", true},
		{"169.254.169.254:80", false}, {"169.254.0.1:5000", false}, {"[fe80::1%lo]:80", false},
		{"100.100.100.200:80", false}, {"[fd00:ec2::254]:80", false}, {"168.63.129.16:80", false},
		{"[::ffff:169.254.169.254]:80", false}, {"[64:ff9b::a9fe:a9fe]:80", false},
	} {
		if err := answer.CheckIP(netip.MustParseAddrPort(test.address).Addr()); (err == nil) != test.allowed {
			t.Errorf("%s: got %v, want allowed %v", test.address, err, test.allowed)
		}
	}
}

// resolving returns a resolver for which every name has one IPv4 address.
func resolving(to [4]byte) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answerQuery(server, to)
		return client, nil
	}}
}

// answerQuery answers a query over a stream (RFC 1035, 4.1 and 4.2.2).
func answerQuery(c net.Conn, to [4]byte) {
	defer c.Close()
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return
	}
	query := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, query); err != nil {
		return
	}
	question := 12
	for query[question] != 0 { // the labels of the name
		question += int(query[question]) + 1
	}
	end := question + 5
	answers := binary.BigEndian.Uint16(query[question+1:]) & 1 // of type A, which is 1, and not AAAA, which is 28
	message := slices.Concat(query[:2], []byte{0x80, 0, 0, 1, 0, byte(answers), 0, 0, 0, 0}, query[12:end])
	if answers > 0 {
		message = slices.Concat(message, []byte{0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4}, to[:])
	}
	_, _ = c.Write(slices.Concat(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message))
}

// Dialing a name that resolves to a metadata address is refused, and so is the address itself.
func TestGuardAtDial(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	port := mustParse(t, server.URL).Port()
	for _, test := range []struct {
		address string
		name    [4]byte
		allowed bool
	}{
		{"169.254.169.254:80", [4]byte{}, false},
		{"storage.example:" + port, [4]byte{169, 254, 169, 254}, false},
		{"storage.example:" + port, [4]byte{100, 100, 100, 200}, false},
		{"storage.example:" + port, [4]byte{127, 0, 0, 1}, true},
		{"127.0.0.1:" + port, [4]byte{}, true},
	} {
		h, err := NewHost(&Options{Limits: DefaultLimits(), Resolver: resolving(test.name)}, "registry.example", Config{})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := h.route.foreign.(*http.Transport).DialContext(t.Context(), "tcp", test.address)
		if (err == nil) != test.allowed || err != nil && !errors.Is(err, content.ErrInvalid) {
			t.Errorf("%s at %v: got %v, want allowed %v", test.address, test.name, err, test.allowed)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// Only the proxy's own host and port are dialled without a check. Its port did not count: any service on its host
// could be reached.
func TestOnlyTheProxyIsExempt(t *testing.T) {
	for setting, address := range map[string]string{
		"http://Proxy.Example:3128": "proxy.example:3128", "http://proxy.example": "proxy.example:80",
		"https://proxy.example": "proxy.example:443", "socks5://proxy.example": "proxy.example:1080", "socks5h://[::1]": "[::1]:1080",
	} {
		p, err := newProxies(setting)
		if err != nil {
			t.Fatal(err)
		}
		if p.chosen(address) {
			t.Errorf("%s: exempt before it is used", setting)
		}
		if _, err := p.choose(httptest.NewRequest(http.MethodGet, "https://registry.example/", nil)); err != nil {
			t.Fatal(err)
		}
		if !p.chosen(address) || p.chosen("proxy.example:8080") {
			t.Errorf("%s: %s is exempt: %v; another port: %v", setting, address, p.chosen(address), p.chosen("proxy.example:8080"))
		}
	}
}

// A registry on a loopback address that was found not to support TLS led anywhere over plain http, and its token
// server got the password so.
func TestPlainHTTPLeadsNoFurther(t *testing.T) {
	disabled := newHostWith(t, "minio.example:9000", Config{TLS: TLSDisabled})
	other := func(address string) *Host {
		if address == "minio.example:9000" {
			return disabled
		}
		return nil
	}
	for _, test := range []struct {
		registry string
		mode     TLSMode
		url      string
		allowed  bool
	}{
		{"127.0.0.1:5000", "", "http://127.0.0.1:5000/v2/", true},
		{"127.0.0.1:5000", "", "http://localhost:9000/x", true},
		{"127.0.0.1:5000", "", "http://example.com/x", false},
		{"127.0.0.1:5000", "", "http://10.1.2.3/x", false},
		{"127.0.0.1:5000", "", "https://example.com/x", true},
		{"127.0.0.1:5000", "", "http://minio.example:9000/x", true},
		{"127.0.0.1:5000", TLSDisabled, "http://example.com/x", false},
		{"harbor.example", TLSDisabled, "http://harbor.example/x", true},
		{"harbor.example", TLSDisabled, "http://harbor.example:5001/token", false},
		{"harbor.example", TLSDisabled, "http://storage.example/x", false},
		{"harbor.example", TLSDisabled, "http://minio.example:9000/x", true},
		{"harbor.example", TLSDisabled, "https://storage.example/x", true},
	} {
		h, err := NewHost(&Options{Limits: DefaultLimits(), Other: other}, test.registry, Config{TLS: test.mode})
		if err != nil {
			t.Fatal(err)
		}
		h.plain.Store(true)
		if err := h.checkPlain(mustParse(t, test.url)); (err == nil) != test.allowed || err != nil && !errors.Is(err, content.ErrInvalid) {
			t.Errorf("%s (%q) to %s: got %v, want allowed %v", test.registry, test.mode, test.url, err, test.allowed)
		}
	}
}

// A registry that names a new host in each answer made the counter and the limiter keep all of them.
func TestForeignHostsAreBounded(t *testing.T) {
	var f foreignHosts
	names := map[string]bool{}
	for n := range 10_000 {
		names[f.name(fmt.Sprintf("S%d.example", n), "evil.example")] = true
	}
	if len(names) != maxForeign+1 || !names["other hosts of evil.example"] || f.name("s1.EXAMPLE", "evil.example") != "s1.example" {
		t.Errorf("%d names, want %d", len(names), maxForeign+1)
	}
	if most := newHost(t, "evil.example").route.foreign.(*http.Transport).MaxIdleConns; most == 0 {
		t.Error("any number of connections may be idle")
	}
}

func TestCheckLayerURL(t *testing.T) {
	for _, test := range []struct {
		registry string
		plain    bool
		url      string
		allowed  bool
	}{
		{"registry.example", false, "https://mcr.microsoft.com/v2/windows/blobs/sha256:1", true},
		{"registry.example", false, "https://93.184.216.34/x", true},
		{"registry.example", false, "http://mcr.microsoft.com/x", false},
		{"registry.example", true, "http://mcr.microsoft.com/x", true},
		{"registry.example", true, "ftp://mcr.microsoft.com/x", false},
		{"registry.example", true, "file:///etc/passwd", false},
		{"registry.example", false, "https:///x", false},
		{"registry.example", false, "/x", false},
		{"registry.example", false, "https://user:secret@mcr.microsoft.com/x", false},
		{"registry.example", false, "https://127.0.0.1/x", false},
		{"registry.example", false, "https://[::1]/x", false},
		{"registry.example", false, "https://LocalHost./x", false},
		{"registry.example", false, "https://a.localhost/x", false},
		{"registry.example", false, "https://0.0.0.0/x", false},
		{"registry.example", false, "https://10.1.2.3/x", false},
		{"registry.example", false, "https://172.16.0.1/x", false},
		{"registry.example", false, "https://192.168.1.1/x", false},
		{"registry.example", false, "https://100.64.0.1/x", false},
		{"registry.example", false, "https://[fd00::1]/x", false},
		{"registry.example", false, "https://[::ffff:10.0.0.1]/x", false},
		{"registry.example", false, "https://[64:ff9b::a00:1]/x", false},
		{"registry.example", false, "https://[fe80::1%25eth0]/x", false},
		{"registry.example", false, "https://[64:ff9b:1::a00:1]/x", false},
		{"registry.example", false, "https://[64:ff9b:1::808:808]/x", true},
		{"registry.example", false, "https://[2002:a00:1::1]/x", false},
		{"registry.example", false, "https://[::10.0.0.1]/x", false},
		{"registry.example", false, "https://metadata.google.internal/x", false},
		{"registry.example", false, "https://" + strings.Repeat("x", 254) + "/x", false},
		{"registry.example", false, "https://mcr.microsoft.com/" + strings.Repeat("x", 8192), false},
		{"registry.example", false, "https://169.254.169.254/x", false},
		{"registry.example", false, "https://100.100.100.200/x", false},
		{"registry.example", false, "https://2130706433/x", false},
		{"registry.example", false, "https://0x7f000001/x", false},
		{"127.0.0.1:5000", true, "http://127.0.0.1/x", true},
		{"127.0.0.1:5000", true, "http://localhost:80/x", true},
		{"127.0.0.1:5000", true, "http://10.1.2.3/x", false},
		{"127.0.0.1:5000", true, "http://169.254.169.254/x", false},
		{"10.0.0.1:5000", true, "http://127.0.0.1/x", false},
		{"10.0.0.1:5000", true, "http://10.0.0.1:5000/x", false},
	} {
		h := newHost(t, test.registry)
		h.plain.Store(test.plain)
		err := h.checkLayerURL(mustParse(t, test.url))
		if (err == nil) != test.allowed || err != nil && (!errors.Is(err, content.ErrInvalid) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s of an image at %s: got %v, want allowed %v", test.url, test.registry, err, test.allowed)
		}
	}
}

// The addresses that a name resolves to are checked at dial, also after a redirect.
func TestLayerURLsAreCheckedAtDial(t *testing.T) {
	h := newHost(t, "registry.example")
	for _, address := range []string{"127.0.0.1:443", "10.1.2.3:443", "[::1]:443", "169.254.169.254:80", "100.64.1.1:443"} {
		if _, err := h.route.layer.(*http.Transport).DialContext(t.Context(), "tcp", address); !errors.Is(err, content.ErrInvalid) {
			t.Errorf("%s: got %v, want a refusal", address, err)
		}
	}
}

func FuzzCheckLayerURL(f *testing.F) {
	f.Add("https://u@169.254.169.254/x")
	f.Add("https://[fe80::1]:80")
	f.Add("https://127.0.0.1.:80")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil || newHost(t, "registry.example").checkLayerURL(u) != nil {
			return
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !ip.Unmap().IsGlobalUnicast() {
			t.Errorf("%q was let through", text)
		}
	})
}
