package answer

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/content"
)

func mustParse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestFollow(t *testing.T) {
	for _, test := range []struct{ from, to, want string }{
		{"https://h/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/1?_state=x%3D", "https://h/v2/a/blobs/uploads/1?_state=x%3D"},
		{"https://h/v2/a/blobs/uploads/", "2", "https://h/v2/a/blobs/uploads/2"},
		{"https://h/x", "https://s3.example/y?sig=1#f", "https://s3.example/y?sig=1"},
		{"https://h/x", "//other/y", "https://other/y"},
		{"http://h/x", "https://h/y", "https://h/y"},
		{"http://h/x", "http://other/y", "http://other/y"},
		{"https://h/x", "https://127.0.0.1:5000/y", "https://127.0.0.1:5000/y"},
		{"https://h:5443/x", "http://h/y", "https://h:5443/y"},      // behind a proxy that does not say so
		{"https://h:5443/x", "http://h:5443/y", "https://h:5443/y"}, // the same
		{"https://h/x", "http://h:8080/y", ""},
		{"https://h/x", "http://other/y", ""},
		{"https://h/x", "https://user:pw@h/y", ""},
		{"https://h/x", "https://user@other/y", ""},
		{"https://h/x", "ftp://h/y", ""},
		{"https://h/x", "file:///etc/passwd", ""},
		{"https://h/x", "", ""},
		{"https://h/x", "https:///y", ""},
		{"https://h/x", "https://h\x7f/y", ""},
		{"http://h/x", "http://169.254.169.254/latest/meta-data", ""},
		{"http://h/x", "http://[fe80::1%25eth0]/y", ""},
		{"http://h/x", "http://[fd00:ec2::254]/y", ""},
		{"http://h/x", "http://100.100.100.200/y", ""},
		{"http://h/x", "http://[::ffff:169.254.169.254]/y", ""},
		{"http://h/x", "http://[64:ff9b::a9fe:a9fe]/y", ""},
		{"http://h/x", "http://2852039166/y", ""},
		{"http://h/x", "http://0xa9fea9fe/y", ""},
		{"http://h/x", "http://169.254.43518/y", ""},
		{"http://h/x", "http://[fd20:ce::254]/y", ""},
		{"http://h/x", "http://metadata.google.internal/y", ""},
		{"http://h/x", "http://Metadata.Google.Internal./y", ""},
		{"http://h/x", "http://instance-data/y", ""},
		{"http://h/x", "http://metadata.tencentyun.com/y", ""},
		{"http://h/x", "http://\uff4detadata.google.internal/y", ""}, // net/http makes it ASCII
		{"http://h/x", "http://xn--nxasmq6b.example/y", "http://xn--nxasmq6b.example/y"},
		{"http://h/x", "http://" + strings.Repeat("x.", 126) + "x/y", "http://" + strings.Repeat("x.", 126) + "x/y"},
		{"http://h/x", "http://" + strings.Repeat("x.", 127) + "/y", ""},
		{"http://h/x", "http://h:" + strings.Repeat("0", 100) + "80/y", ""},
		{"http://h/x", "/" + strings.Repeat("y", 8000), "http://h/" + strings.Repeat("y", 8000)},
		{"http://h/x", "/" + strings.Repeat("y", 8192), ""},
		{"http://h/" + strings.Repeat("y", 5000) + "/x", strings.Repeat("y", 5000), ""}, // relative URLs must not grow from page to page
	} {
		got, err := Follow(mustParse(t, test.from), test.to)
		switch {
		case test.want == "" && !errors.Is(err, content.ErrInvalid):
			t.Errorf("from %s to %s: got %v and %v, want a refusal", test.from, test.to, got, err)
		case test.want != "" && (err != nil || got.String() != test.want):
			t.Errorf("from %s to %s: got %v and %v, want %s", test.from, test.to, got, err, test.want)
		}
	}
}

// Metadata services are also reached through translated IPv4 addresses, and at addresses that are not link-local.
func TestCheckIP(t *testing.T) {
	for address, allowed := range map[string]bool{
		"93.184.216.34": true, "127.0.0.1": true, "10.1.2.3": true, "::1": true, "2606:4700::1111": true, "fd12:3456::1": true,
		"169.254.169.254": false, "169.254.0.23": false, "100.100.100.200": false, "192.0.0.192": false, "168.63.129.16": false,
		"fe80::1%lo": false, "ff02::1": false, "fd00:ec2::254": false, "fd00:ec2::23": false, "fd20:ce::254": false, "fd00:c1::a9fe:a9fe": false,
		"::ffff:169.254.169.254": false, "::169.254.169.254": false, "::ffff:0:169.254.169.254": false,
		"64:ff9b::a9fe:a9fe": false, "64:ff9b::808:808": true, "64:ff9b:1::a9fe:a9fe": false, "64:ff9b:1:a9fe:a9:fe00::": false,
		"64:ff9b:1:a9:fe:a9fe::": false, "64:ff9b:1::a9:fea9:fe00:0": false, "64:ff9b:1::808:808": true,
		"2002:a9fe:a9fe::1": false, "2002:6464:64c8::": false, "2002:808:808::1": true,
	} {
		err := CheckIP(netip.MustParseAddr(address))
		if (err == nil) != allowed || err != nil && !errors.Is(err, content.ErrInvalid) {
			t.Errorf("%s: got %v, want allowed %v", address, err, allowed)
		}
	}
}

func FuzzFollow(f *testing.F) {
	f.Add("https://u@169.254.169.254/x")
	f.Add("//[fe80::1]:80")
	f.Fuzz(func(t *testing.T, to string) {
		u, err := Follow(mustParse(t, "https://registry.example/v2/"), to)
		if err != nil {
			return
		}
		if len(u.String()) > maxURL || len(u.Hostname()) > maxHostname {
			t.Errorf("%q is too long", u)
		}
		if u.Scheme != "https" || u.User != nil || u.Host == "" {
			t.Errorf("%q leads to %s", to, u)
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.Unmap().IsLinkLocalUnicast() {
			t.Errorf("%q leads to %s", to, u)
		}
	})
}
