package answer

import (
	"errors"
	"net/netip"
	"net/url"
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

func FuzzFollow(f *testing.F) {
	f.Add("https://u@169.254.169.254/x")
	f.Add("//[fe80::1]:80")
	f.Fuzz(func(t *testing.T, to string) {
		u, err := Follow(mustParse(t, "https://registry.example/v2/"), to)
		if err != nil {
			return
		}
		if u.Scheme != "https" || u.User != nil || u.Host == "" {
			t.Errorf("%q leads to %s", to, u)
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.Unmap().IsLinkLocalUnicast() {
			t.Errorf("%q leads to %s", to, u)
		}
	})
}
