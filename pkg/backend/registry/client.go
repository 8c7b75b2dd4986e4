package registry

import (
	"context"
	"fmt"
	"sync"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
)

// Client reaches registries. It serves a whole run and may be used concurrently.
type Client struct {
	options Options
	limits  limits
	counts  counter

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
		options.HubAPI = hubSite
	}
	if options.Limiter == nil {
		options.Limiter = limit.New(limit.Options{})
	}
	return &Client{options: options, limits: defaultLimits(), hosts: map[string]*host{}}
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
	r.mirrors, err = c.mirrors(r)
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
	credential, err := c.options.Credentials.Credential(ctx, h.name, ref.Repository)
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", h.name, err)
	}
	return &Repository{host: h, name: ref.Repository, account: credential.Fingerprint()}, nil
}

// Requests are the requests so far by the host that got them, token servers and redirects
// included.
func (c *Client) Requests() map[string]int64 { return c.counts.read() }

// Close closes connections that nobody uses.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.hosts {
		h.route.closeIdle()
	}
}

// host is the state of the registry that users call name.
func (c *Client) host(name string) (*host, error) {
	return c.hostWith(name, nil)
}

func (c *Client) hostWith(name string, adjust func(*HostConfig)) (*host, error) {
	name = reference.CanonicalHost(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.hosts[name]; h != nil {
		return h, nil
	}
	config := c.options.Hosts(name)
	if adjust != nil {
		adjust(&config)
	}
	h, err := newHost(c, name, config)
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", name, err)
	}
	c.hosts[name] = h
	return h, nil
}
