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

// Name returns one name for all hosts of a registry: mounts, limits and knowledge apply to the registry, not to a
// host. It is the Location.Registry of its repositories.
func Name(host string) string { return wire.Registry(host) }

// Login checks a credential with a registry, and tries it once. It stores nothing. The error for a wrong credential
// is [content.ErrUnauthorized] with the registry's message. verified is false if the registry accepts any credential.
// The error for a host that is not a registry is a [NotRegistryError].
func (c *Client) Login(ctx context.Context, name string, credential auth.Credential) (verified bool, err error) {
	verified, asked, err := c.tryLogin(ctx, name, credential, (*host).checkLogin)
	if err == nil && !verified && !asked {
		// The registry accepted a credential that it had not asked for. It verifies credentials if it refuses one of an
		// account that cannot exist.
		probeCredential := auth.Credential{Username: "regsync-login-check", Password: auth.Secret(rand.Text())}
		_, _, refusal := c.tryLogin(ctx, name, probeCredential, (*host).offerLogin)
		verified = errors.Is(refusal, content.ErrUnauthorized)
	}
	if err != nil {
		return false, fmt.Errorf("login to %s: %w", name, err)
	}
	return verified, nil
}

// tryLogin runs a check with a new client. asked reports whether the registry asked for a credential.
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

// checkLogin requests /v2/, for which most registries require a login. If a registry does not, it requests the
// catalog; if the catalog is public or missing, it sends the password without a challenge: zot then refuses a wrong
// one.
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
			return nil // authenticated, but not allowed to list
		}
		return err
	}
	return h.offerLogin(ctx, credential)
}

// offerLogin sends the credential although the registry has not asked for one.
func (h *host) offerLogin(ctx context.Context, _ auth.Credential) error {
	r := &caller{host: h}
	h.auth.OfferBasic()
	return r.ask(ctx, call{method: http.MethodGet, url: h.wire.URL("/v2/", nil), traits: r.small()}, answer.CheckBase)
}

// Close waits for requests to token servers, which end when no caller waits for them, and closes idle connections.
func (c *Client) Close() {
	c.mu.Lock()
	hosts := slices.Collect(maps.Values(c.hosts))
	c.mu.Unlock() // a request to a token server may need it
	for _, h := range hosts {
		h.auth.Close()
		h.wire.Close()
	}
}

// mirrors returns callers for r's repository at the mirrors of its registry.
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

// configured returns the host at an address that has its own settings, or nil.
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
