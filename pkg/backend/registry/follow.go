package registry

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/regsync/regsync/pkg/content"
)

// follow is the URL that an answer names: a Location, a redirect, a realm, a Link. from is
// the URL of the request that was answered. Other hosts are allowed; what is refused is an
// [content.ErrInvalid].
func follow(from *url.URL, to string) (*url.URL, error) {
	refuse := func(reason string) (*url.URL, error) {
		return nil, fmt.Errorf("%s sends us to an address that %s: %w", from.Host, reason, content.ErrInvalid)
	}
	if to == "" {
		return refuse("is empty")
	}
	u, err := from.Parse(to)
	if err != nil { // its text would quote what may hold a secret
		return refuse("is no URL")
	}
	u.Fragment, u.RawFragment = "", ""
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse("is neither https nor http")
	case u.Hostname() == "":
		return refuse("has no host")
	case u.User != nil:
		return refuse("has user info in it")
	}
	if from.Scheme == "https" && u.Scheme == "http" {
		if !behindProxy(from, u) {
			return refuse("is http, from https")
		}
		u.Scheme, u.Host = from.Scheme, from.Host
	}
	if !strings.EqualFold(u.Hostname(), from.Hostname()) {
		if err := checkHostname(u.Hostname()); err != nil {
			return nil, fmt.Errorf("%s sends us to %s: %w", from.Host, u.Hostname(), err)
		}
	}
	return u, nil
}

// behindProxy reports whether u is from's own host as it calls itself behind a proxy that
// ends TLS and does not say so: a common mistake in the setup of distribution.
func behindProxy(from, u *url.URL) bool {
	port := u.Port()
	return strings.EqualFold(from.Hostname(), u.Hostname()) && (port == "" || port == "80" || port == from.Port())
}
