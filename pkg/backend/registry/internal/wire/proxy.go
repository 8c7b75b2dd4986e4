package wire

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/regsync/regsync/pkg/content"
)

// proxies choose how to reach a host, and remember the proxies that were chosen: their
// addresses are the user's, not a registry's.
type proxies struct {
	proxy func(*http.Request) (*url.URL, error)

	mu    sync.Mutex
	known map[string]bool // host:port
}

// newProxies reads the setting of a registry; see [Config]. Errors do not quote it, as
// there may be a password in it.
func newProxies(setting string) (*proxies, error) {
	p := &proxies{known: map[string]bool{}}
	switch setting {
	case "":
		p.proxy = http.ProxyFromEnvironment
		return p, nil
	case "direct":
		p.proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
		return p, nil
	}
	u, err := url.Parse(setting)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil, fmt.Errorf("proxy: %w: neither direct nor the URL of an http, https or socks5 proxy", content.ErrInvalid)
	}
	p.proxy = http.ProxyURL(u)
	return p, nil
}

func (p *proxies) choose(req *http.Request) (*url.URL, error) {
	u, err := p.proxy(req)
	if err != nil { // its text quotes the setting, which may contain a password
		return nil, fmt.Errorf("proxy: %w: the environment's proxy for %s is not a valid URL", content.ErrInvalid, req.URL.Scheme)
	}
	if u != nil {
		p.mu.Lock()
		p.known[proxyAddress(u)] = true
		p.mu.Unlock()
	}
	return u, nil
}

// chosen reports whether address, host:port before its resolution, is that of a proxy.
func (p *proxies) chosen(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[strings.ToLower(address)]
}

// proxyAddress returns the host:port that net/http dials for a proxy.
func proxyAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), cmp.Or(port, "1080")) // socks5 and socks5h
}
