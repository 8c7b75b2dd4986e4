package wire

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/content"
)

func newHost(t *testing.T, name string) *Host {
	t.Helper()
	h, err := NewHost(&Options{Limits: DefaultLimits()}, name, Config{})
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

func TestCheckDial(t *testing.T) {
	for _, test := range []struct {
		address string
		allowed bool
	}{
		{"127.0.0.1:80", true}, {"[::1]:443", true}, {"10.1.2.3:443", true}, {"93.184.216.34:443", true},
		{"169.254.169.254:80", false}, {"169.254.0.1:5000", false}, {"[fe80::1%lo]:80", false},
		{"100.100.100.200:80", false}, {"[fd00:ec2::254]:80", false}, {"168.63.129.16:80", false},
		{"[::ffff:169.254.169.254]:80", false}, {"[64:ff9b::a9fe:a9fe]:80", false},
	} {
		if err := checkDial("tcp", test.address, nil); (err == nil) != test.allowed {
			t.Errorf("%s: got %v, want allowed %v", test.address, err, test.allowed)
		}
	}
}

// Dialing a name that resolves to a metadata address is refused.
func TestGuardAtDial(t *testing.T) {
	dialled := dial(DefaultLimits(), &proxies{known: map[string]bool{}}, checkDial)
	if _, err := dialled(t.Context(), "tcp", "169.254.169.254:80"); !errors.Is(err, content.ErrInvalid) {
		t.Errorf("got %v, want a refusal", err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	conn, err := dialled(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatalf("loopback: %v", err)
	}
	_ = conn.Close()
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
		err := layerRules{h}.checkURL(mustParse(t, test.url))
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
		if err != nil || (layerRules{newHost(t, "registry.example")}).checkURL(u) != nil {
			return
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !ip.Unmap().IsGlobalUnicast() {
			t.Errorf("%q was let through", text)
		}
	})
}
