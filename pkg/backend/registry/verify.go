package registry

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/regsync/regsync/pkg/auth"
)

// Login asks a registry whether a credential is good, and tries it once. Nothing of it is
// kept. A wrong one is a [content.ErrUnauthorized] with the registry's words. A registry
// that asks nobody who he is takes any. What is no registry is a [NotRegistryError].
func (c *Client) Login(ctx context.Context, host string, credential auth.Credential) error {
	options := c.options
	options.Credentials = always{credential}
	probe := New(options)
	probe.limits = c.limits
	defer probe.Close()
	h, err := probe.host(host)
	if err == nil {
		err = h.checkLogin(ctx, credential)
	}
	if err != nil {
		return fmt.Errorf("login to %s: %w", host, err)
	}
	return nil
}

type always struct{ credential auth.Credential }

var _ Credentials = always{}

func (a always) Credential(context.Context, string, string) (auth.Credential, error) {
	return a.credential, nil
}

// checkLogin asks for what most registries let only in who is known. Those that let
// everybody see /v2/ are asked for their catalog, and when that is open, or not there, are
// given the password without being asked for it: zot refuses it then, if it is wrong.
func (h *host) checkLogin(ctx context.Context, credential auth.Credential) error {
	r := &Repository{host: h}
	base := call{method: http.MethodGet, url: h.url("/v2/", nil)}
	if err := r.ask(ctx, base, aBase); err != nil || h.authority.offer() != nil {
		return err
	}
	catalog := call{
		method: http.MethodGet, url: h.url("/v2/_catalog", url.Values{"n": {"1"}}),
		intent: intent{need: scopes{newScope("registry", "catalog", "*")}},
	}
	err := r.ask(ctx, catalog, nothing)
	if h.authority.offer() != nil {
		if h.authority.login(credential).isProven() {
			return nil // known, though perhaps not allowed to list
		}
		return err
	}
	h.authority.learn(&offer{challenge: challenge{scheme: "basic"}}, intent{})
	return r.ask(ctx, base, aBase)
}
