package wire

import (
	"net/url"
	"testing"
)

// A token server in a LAN may lead from http to https; the secret stays with the host.
func TestUpgrades(t *testing.T) {
	for _, test := range []struct {
		from, to string
		want     bool
	}{
		{"http://auth.lan/token", "https://auth.lan/token", true},
		{"http://auth.lan:80/token", "https://AUTH.lan:443/other", true},
		{"http://auth.lan/token", "https://evil.lan/token", false},
		{"http://auth.lan:8080/token", "https://auth.lan/token", false},
		{"http://auth.lan/token", "https://auth.lan:8443/token", false},
		{"https://auth.lan/token", "https://auth.lan:444/token", false},
		{"http://[::1]/token", "https://[::1]/token", true},
	} {
		from, err := url.Parse(test.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := url.Parse(test.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := upgrades(from, to); got != test.want {
			t.Errorf("from %s to %s: %v", from, to, got)
		}
	}
}
