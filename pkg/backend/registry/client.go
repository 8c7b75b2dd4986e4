package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend/hub"
	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	registryauth "github.com/regsync/regsync/pkg/backend/registry/internal/auth"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
)

// Client reaches registries. It serves a whole run and may be used concurrently.
type Client struct {
	options Options
	limits  limits
	wire    wire.Options
	counter wire.Counter

	mu    sync.Mutex
	hosts map[string]*host
}

// New makes a client. It opens nothing; errors in the settings of a registry come with the
// first use of that registry.
func New(options Options) *Client {
	if options.UserAgent == "" {
		options.UserAgent = "regsync"
	}
	if options.Hosts == nil {
		options.Hosts = func(string) HostConfig { return HostConfig{} }
	}
	if options.Credentials == nil {
		options.Credentials = anonymous{}
	}
	if options.CertsDirs == nil {
		options.CertsDirs = DefaultCertsDirs()
	}
	if options.HubAPI == "" {
		options.HubAPI = hub.Site
	}
	if options.Limiter == nil {
		options.Limiter = limit.New(limit.Options{})
	}
	c := &Client{options: options, limits: defaultLimits(), hosts: map[string]*host{}}
	c.wire = wire.Options{
		Limits: wire.DefaultLimits(), Limiter: options.Limiter, Logger: options.Logger, UserAgent: options.UserAgent,
		CertsDirs: options.CertsDirs, Other: c.configured, Counter: &c.counter, Dial: options.Dial,
	}
	return c
}

type anonymous struct{}

var _ Credentials = anonymous{}

func (anonymous) Credential(context.Context, string, string) (auth.Credential, error) {
	return auth.Credential{}, nil
}

// Repository opens the repository of ref, whose tag and digest do not matter, without a
// request. What is read comes from the registry's mirrors first, where it has any.
func (c *Client) Repository(ctx context.Context, ref reference.Reference) (*Repository, error) {
	r, err := c.Target(ctx, ref)
	if err != nil {
		return nil, err
	}
	r.reader = true
	r.mirrors, err = c.mirrors(r.caller)
	return r, err
}

// Target opens the repository of ref to write to it: what is read comes from the registry
// itself, since a mirror may lag behind, and the first token already allows to push.
func (c *Client) Target(ctx context.Context, ref reference.Reference) (*Repository, error) {
	if !ref.IsRegistry() || ref.Registry == "" || ref.Repository == "" {
		return nil, fmt.Errorf("open %s: %w: not a repository of a registry", ref, content.ErrInvalid)
	}
	if err := reference.CheckRepository(ref.Repository); err != nil {
		return nil, fmt.Errorf("open %q: %w: %w", ref.Name(), content.ErrInvalid, err)
	}
	h, err := c.host(ref.Registry)
	if err != nil {
		return nil, err
	}
	credential, err := c.options.Credentials.Credential(ctx, h.wire.Name(), ref.Repository)
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", h.wire.Name(), err)
	}
	return newRepository(&caller{host: h, name: ref.Repository, account: credential.Fingerprint()}), nil
}

// Requests are the requests so far by the host that got them, token servers and redirects
// included.
func (c *Client) Requests() map[string]int64 { return c.counter.Read() }

// Name is one name for all hosts of a registry: what is mounted, limited and known is so for
// the registry. It is the Location.Registry of its repositories.
func Name(host string) string { return wire.Registry(host) }

// Login asks a registry whether a credential is good, and tries it once. Nothing of it is
// kept. A wrong one is a [content.ErrUnauthorized] with the registry's words. verified is false if the registry
// accepts any credential, so that nothing is known about this one. What is no registry is a [NotRegistryError].
func (c *Client) Login(ctx context.Context, name string, credential auth.Credential) (verified bool, err error) {
	verified, asked, err := c.tryLogin(ctx, name, credential, (*host).checkLogin)
	if err == nil && !verified && !asked {
		// It took the credential without having asked for one. Does it take that of an account that it cannot have?
		nobody := auth.Credential{Username: "regsync-login-check", Password: auth.Secret(rand.Text())}
		_, _, refusal := c.tryLogin(ctx, name, nobody, (*host).offerLogin)
		verified = errors.Is(refusal, content.ErrUnauthorized)
	}
	if err != nil {
		return false, fmt.Errorf("login to %s: %w", name, err)
	}
	return verified, nil
}

// tryLogin runs a check with a client of its own. asked: the registry asked for a credential.
func (c *Client) tryLogin(
	ctx context.Context, name string, credential auth.Credential, check func(*host, context.Context, auth.Credential) error,
) (verified, asked bool, err error) {
	options := c.options
	options.Credentials = always{credential}
	probe := New(options)
	probe.limits, probe.wire.Limits, probe.wire.Transport = c.limits, c.wire.Limits, c.wire.Transport
	defer probe.Close()
	h, err := probe.host(name)
	if err != nil {
		return false, false, err
	}
	err = check(h, ctx, credential)
	return h.auth.Proven(credential) && !h.auth.Offered(), !h.auth.Offered(), err
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
	r := &caller{host: h}
	base := call{method: http.MethodGet, url: h.wire.URL("/v2/", nil), traits: r.small()}
	if err := r.ask(ctx, base, answer.CheckBase); err != nil || h.auth.Challenged() {
		return err
	}
	catalog := call{
		method: http.MethodGet, url: h.wire.URL("/v2/_catalog", url.Values{"n": {"1"}}),
		traits: r.small(), access: registryauth.Access{Need: registryauth.Catalog()},
	}
	err := r.ask(ctx, catalog, nothing)
	if h.auth.Challenged() {
		if h.auth.Proven(credential) {
			return nil // known, though perhaps not allowed to list
		}
		return err
	}
	return h.offerLogin(ctx, credential)
}

// offerLogin sends the credential to a registry that has not asked for one.
func (h *host) offerLogin(ctx context.Context, _ auth.Credential) error {
	r := &caller{host: h}
	h.auth.OfferBasic()
	return r.ask(ctx, call{method: http.MethodGet, url: h.wire.URL("/v2/", nil), traits: r.small()}, answer.CheckBase)
}

// Close waits for requests to token servers, which end with those who wait for them, and closes connections
// that nobody uses.
func (c *Client) Close() {
	c.mu.Lock()
	hosts := slices.Collect(maps.Values(c.hosts))
	c.mu.Unlock() // a request to a token server may need it
	for _, h := range hosts {
		h.auth.Close()
		h.wire.Close()
	}
}

// mirrors opens r's repository at the mirrors of its registry.
func (c *Client) mirrors(r *caller) ([]*caller, error) {
	var opened []*caller
	for _, mirror := range r.host.config.Mirrors {
		u, err := parseMirror(mirror)
		if err != nil {
			return nil, fmt.Errorf("registry %s: %w", r.host.wire.Name(), err)
		}
		h, err := c.hostWith(u.Host, func(config *HostConfig) {
			if u.Scheme == "http" && config.TLS == "" {
				config.TLS = TLSDisabled
			}
		})
		if err != nil {
			return nil, err
		}
		name := strings.Trim(u.Path+"/"+r.name, "/")
		opened = append(opened, &caller{host: h, name: name, reader: true, mirror: true})
	}
	return opened, nil
}

// configured is the host at an address that has settings of its own, or nil.
func (c *Client) configured(address string) *wire.Host {
	if c.options.Hosts(reference.CanonicalHost(address)).isZero() {
		return nil
	}
	h, err := c.host(address)
	if err != nil || h.wire.Address() != address {
		return nil
	}
	return h.wire
}

// host is the state of the registry that users call name.
func (c *Client) host(name string) (*host, error) {
	return c.hostWith(name, nil)
}

func (c *Client) hostWith(name string, adjust func(*HostConfig)) (*host, error) {
	h, created, err := c.findHost(reference.CanonicalHost(name), adjust)
	if created && c.options.Warn != nil {
		for _, warning := range h.wire.Warnings() {
			c.options.Warn(warning)
		}
	}
	return h, err
}

func (c *Client) findHost(name string, adjust func(*HostConfig)) (h *host, created bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.hosts[name]; h != nil {
		return h, false, nil
	}
	config := c.options.Hosts(name)
	if adjust != nil {
		adjust(&config)
	}
	h, err = newHost(c, name, config)
	if err != nil {
		return nil, false, fmt.Errorf("registry %s: %w", name, err)
	}
	c.hosts[name] = h
	return h, true, nil
}
