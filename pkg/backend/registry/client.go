package registry

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
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
	"github.com/regsync/regsync/pkg/retry"
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
		options.Credentials = always{}
	}
	if options.CertsDirs == nil {
		options.CertsDirs = wire.DefaultCertsDirs()
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

// Repository opens the repository of ref, whose tag and digest do not matter, without a
// request. Reads go to the registry's mirrors first, if it has any.
func (c *Client) Repository(ctx context.Context, ref reference.Reference) (*Repository, error) {
	r, err := c.Target(ctx, ref)
	if err != nil {
		return nil, err
	}
	r.reader = true
	r.mirrors, err = c.mirrors(r.caller)
	return r, err
}

// Target opens the repository of ref for writing: its reads go to the registry
// itself, since a mirror may lag behind, and the first token already allows to push.
func (c *Client) Target(ctx context.Context, ref reference.Reference) (*Repository, error) {
	if !ref.IsRegistry() || ref.Registry == "" || ref.Repository == "" {
		return nil, fmt.Errorf("open %s: %w: not a registry repository", ref, content.ErrInvalid)
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

// Repository is one repository of a registry.
type Repository struct {
	*caller
	blobs
	manifests
	lists
}

func newRepository(r *caller) *Repository {
	return &Repository{r, blobs{r}, manifests{r}, lists{r}}
}

// WithPulls returns a view of the repository whose reads of manifests take from the pulls of one image. order is the
// position of the image among those that are read at the same time. The caller closes the pulls when the image's
// manifests have been read. The pulls are nil if the registry does not count any, and if mirrors are read first: then
// it is not known beforehand how many manifests are read here.
func (r *Repository) WithPulls(order int64) (content.Source, *limit.Pulls) {
	if len(r.mirrors) > 0 || r.host.pulls.Load() == pullsFree {
		return r, nil
	}
	metered := *r.caller
	metered.pulls = r.host.client.options.Limiter.Pulls(limit.Peer{Registry: r.host.wire.Registry(), Account: r.account}, order)
	return newRepository(&metered), metered.pulls
}

// HasMirrors implements [content.Mirrored].
func (r *Repository) HasMirrors() bool { return len(r.mirrors) > 0 }

// Prepare implements [content.Preparer]: one GET of /v2/, whose answer has the registry's challenge, and a token request if
// the registry requires one.
func (r *Repository) Prepare(ctx context.Context) error {
	if r.host.auth.Contacted() {
		return nil
	}
	return r.ask(ctx, r.get(r.host.wire.URL("/v2/", nil), r.reading()), nothing)
}

var (
	_ content.Preparer        = (*Repository)(nil)
	_ content.Mirrored        = (*Repository)(nil)
	_ content.Source          = (*Repository)(nil)
	_ content.Target          = (*Repository)(nil)
	_ content.Mounter         = (*Repository)(nil)
	_ content.BlobReader      = (*Repository)(nil)
	_ content.RangeFetcher    = (*Repository)(nil)
	_ content.URLFetcher      = (*Repository)(nil)
	_ content.UploadResumer   = (*Repository)(nil)
	_ content.TagFetcher      = (*Repository)(nil)
	_ content.TagLister       = (*Repository)(nil)
	_ content.ReferrersLister = (*Repository)(nil)
	_ content.Deleter         = (*Repository)(nil)
	_ content.PushTimer       = (*Repository)(nil)
)

// Requests are the requests so far by the host that got them, token servers and redirects
// included.
func (c *Client) Requests() map[string]int64 { return c.counter.Read() }

// Name returns one name for all hosts of a registry: mounts, limits and knowledge apply to the registry, not to a
// host. It is the Location.Registry of its repositories.
func Name(host string) string { return wire.Registry(host) }

// Login checks a credential with a registry, and tries it once. It stores nothing. The error for a wrong credential
// is [content.ErrUnauthorized] with the registry's message. The error for a host that is not a registry is a
// [NotRegistryError].
//
// verified is false if the registry may accept any credential: if it does not refuse a wrong one, which is tried once
// for a user that cannot exist. At services that are known to verify credentials, this is left out.
func (c *Client) Login(ctx context.Context, name string, credential auth.Credential) (verified bool, err error) {
	own, err := c.tryLogin(ctx, name, credential, c.options.Retry, (*host).checkLogin)
	if err != nil {
		return false, err
	}
	if verifiesLogins(wire.Registry(name)) {
		return own.asked, nil
	}
	check := (*host).checkLogin
	if !own.asked {
		check = (*host).offerLogin
	}
	wrong := auth.Credential{Username: "regsync-login-check", Password: auth.Secret(rand.Text())}
	other, err := c.tryLogin(ctx, name, wrong, retry.Policy{Attempts: 1}, check)
	return answer.IsRefusal(err) || err == nil && other.denied && !own.denied, nil
}

// verifiesLogins reports whether a registry is a service that is known to refuse wrong passwords. Such services count
// failed logins by address: Docker Hub refuses an address, and a user name for 10 minutes, after too many of them.
func verifiesLogins(registry string) bool {
	switch registry {
	case reference.DockerHub, "ghcr.io", "quay.io", "registry.gitlab.com":
		return true
	}
	return slices.ContainsFunc([]string{".amazonaws.com", ".azurecr.io", ".aliyuncs.com", ".pkg.dev"}, func(domain string) bool {
		return strings.HasSuffix(registry, domain)
	})
}

// loginAttempt is how a registry reacted to a credential.
type loginAttempt struct {
	asked  bool // it requires a credential
	denied bool // it accepted the credential, but did not allow to list repositories
}

// tryLogin runs a check, which reports whether it was denied something, with a new client.
func (c *Client) tryLogin(
	ctx context.Context, name string, credential auth.Credential, retries retry.Policy,
	check func(*host, context.Context, auth.Credential) (denied bool, err error),
) (attempt loginAttempt, err error) {
	options := c.options
	options.Credentials, options.Retry = always{credential}, retries
	probe := New(options)
	probe.limits, probe.wire.Limits, probe.wire.Transport = c.limits, c.wire.Limits, c.wire.Transport
	defer probe.Close()
	h, err := probe.host(name)
	if err != nil {
		return loginAttempt{}, err
	}
	denied, err := check(h, ctx, credential)
	return loginAttempt{asked: !h.auth.Offered(), denied: denied}, err
}

// always is a store with one credential for everything; the zero value is anonymous.
type always struct{ credential auth.Credential }

var _ auth.Store = always{}

func (a always) Credential(context.Context, string, string) (auth.Credential, error) {
	return a.credential, nil
}

// checkLogin requests /v2/, for which most registries require a login. If a registry does not, it requests the
// catalog; if the catalog is public or missing, it sends the password without a challenge: zot then refuses a wrong
// one.
func (h *host) checkLogin(ctx context.Context, credential auth.Credential) (denied bool, err error) {
	r := &caller{host: h}
	base := r.get(h.wire.URL("/v2/", nil), registryauth.Access{})
	if err := r.ask(ctx, base, answer.CheckBase); err != nil || h.auth.Challenged() {
		return false, err
	}
	catalog := r.get(h.wire.URL("/v2/_catalog", url.Values{"n": {"1"}}), registryauth.Access{Need: registryauth.Catalog()})
	err = r.ask(ctx, catalog, nothing)
	switch {
	case !h.auth.Challenged():
		return h.offerLogin(ctx, credential)
	case h.auth.Proven(credential): // authenticated, but perhaps not allowed to list
		return answer.IsRefusal(err), nil
	}
	return false, err
}

// offerLogin sends the credential although the registry has not sent a challenge.
func (h *host) offerLogin(ctx context.Context, _ auth.Credential) (denied bool, err error) {
	r := &caller{host: h}
	h.auth.OfferBasic()
	return false, r.ask(ctx, r.get(h.wire.URL("/v2/", nil), registryauth.Access{}), answer.CheckBase)
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
		h, err := c.open(u.Host, u.Scheme == "http")
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

// host returns the state of the registry that users call name.
func (c *Client) host(name string) (*host, error) { return c.open(name, false) }

// open is like host. If plain is set, a new host without a setting for TLS uses plain http.
func (c *Client) open(name string, plain bool) (*host, error) {
	h, created, err := c.findHost(reference.CanonicalHost(name), plain)
	if created && c.options.Warn != nil {
		for _, warning := range h.wire.Warnings() {
			c.options.Warn(warning)
		}
	}
	return h, err
}

func (c *Client) findHost(name string, plain bool) (h *host, created bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.hosts[name]; h != nil {
		return h, false, nil
	}
	config := c.options.Hosts(name)
	if plain && config.TLS == "" {
		config.TLS = TLSDisabled
	}
	h, err = newHost(c, name, config)
	if err != nil {
		return nil, false, fmt.Errorf("registry %s: %w", name, err)
	}
	c.hosts[name] = h
	return h, true, nil
}
