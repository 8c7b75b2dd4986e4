package auth

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
)

// Credentials tell who one is for a repository of a registry; an empty repository is the
// registry as a whole. They may be asked often and concurrently.
type Credentials interface {
	Credential(ctx context.Context, host, repository string) (auth.Credential, error)
}

// Access is what a request has to be allowed.
type Access struct {
	// Repository is whose credentials are used; empty for the registry as a whole.
	Repository string
	// Need are the scopes without which the request fails.
	Need Scopes
	// Wish are scopes that later requests will need, so that one token serves all.
	Wish Scopes
	// From is the repository that a blob is mounted from.
	From string
	// Lasting asks for a token that has a third of its life left, because a body goes with
	// the request or follows it.
	Lasting bool
	// Since is when the request was begun: a token that was asked for later was asked for this request.
	Since time.Time
}

// Manager knows how to be let in by one registry, for as long as its client lives: how the registry asks,
// which tokens there are, and which passwords are wrong.
type Manager struct {
	host        *wire.Host
	credentials Credentials
	patience    time.Duration

	first     gate // the registry's first request
	flights   flight.Group[string, *token]
	running   sync.WaitGroup
	asking    chan struct{} // has an element for each request to the token server
	otherFlow atomic.Bool   // the token server does not know the usual way to ask

	mu      sync.Mutex // guards all below; a login's lock is taken below it
	offered *offer
	tokens  []*token
	logins  map[auth.Credential]*login
	// aliases are the names in scopes of repositories that the token server knows by
	// another name than the registry's API does.
	aliases map[string]string
	// mounts are the repositories that one mounts from, by the one that one mounts into.
	mounts map[string][]string
	// modest are repositories where we may read, and not ask for more, since when.
	modest map[string]time.Time
}

// offer is how a registry wants to be asked.
type offer struct {
	challenge challenge
	realm     *url.URL // of a Bearer challenge
}

// grant lets a request in.
type grant struct {
	header string
	token  *token // nil if none was asked for
	login  *login // of a password in header
}

// giveBack lets those go on who wait for what becomes of g's password.
func (g *grant) giveBack() {
	if g.login != nil {
		g.login.first.open()
	}
}

// New creates a Manager. patience is for a whole request to the token server.
func New(host *wire.Host, credentials Credentials, patience time.Duration) *Manager {
	return &Manager{
		host: host, credentials: credentials, patience: patience,
		asking: make(chan struct{}, maxAsking), logins: map[auth.Credential]*login{},
		aliases: map[string]string{}, mounts: map[string][]string{}, modest: map[string]time.Time{},
	}
}

// Close waits for the requests to the token server, which end when nobody waits for them.
func (m *Manager) Close() { m.running.Wait() }

// Send sends a request with what access needs, once more if it is answered with a challenge. The first
// request of all goes without credentials and serves as the question; from the first 401 on they are sent
// at once.
func (m *Manager) Send(req *wire.Request, access Access) (*http.Response, error) {
	next := m.host.Requests()
	if !m.host.Owns(req.URL) { // an upload's Location elsewhere
		return next.RoundTrip(req)
	}
	first, err := m.first.enter(req.Context())
	if err != nil {
		req.Drop()
		return nil, err
	}
	if first {
		defer m.first.open()
	}
	g, err := m.authorise(req.Context(), access)
	if err != nil {
		req.Drop()
		return nil, err
	}
	resp, err := next.RoundTrip(g.applied(req))
	for again := false; ; again = true {
		resp, err = m.judge(resp, err, access, g)
		if again || err != nil || resp.StatusCode != http.StatusUnauthorized || !m.host.Owns(resp.Request.URL) {
			return resp, err
		}
		answer.Detach(resp)
		if g, err = m.answer(req.Context(), resp, access, g); err != nil {
			return nil, err
		}
		if g == nil {
			return resp, nil
		}
		rewound, ok := req.Rewind()
		if !ok {
			g.giveBack()
			return resp, nil
		}
		resp, err = next.RoundTrip(g.applied(rewound))
	}
}

// applied is req with what g grants.
func (g *grant) applied(req *wire.Request) *wire.Request {
	if g == nil {
		return req
	}
	return req.With("Authorization", g.header)
}

// judge learns from an answer whether the password that went with its request is right.
func (m *Manager) judge(resp *http.Response, err error, access Access, g *grant) (*http.Response, error) {
	if g == nil || g.login == nil {
		return resp, err
	}
	defer g.giveBack()
	if err != nil || !m.host.Owns(resp.Request.URL) {
		return resp, err
	}
	if resp.StatusCode != http.StatusUnauthorized {
		g.login.prove()
		return resp, nil
	}
	// Harbor answers 401 to a mount from a project that does not exist.
	if access.From == "" && !g.login.isProven() {
		refusal := answer.New(resp)
		answer.Discard(resp)
		g.login.refuse(refusal)
		return nil, refusal
	}
	return resp, nil
}

// Prepare has a token ready for a request to come, where tokens are used.
func (m *Manager) Prepare(ctx context.Context, access Access) error {
	if offered := m.offer(); offered == nil || offered.realm == nil {
		return nil
	}
	_, err := m.authorise(ctx, access)
	return err
}

// Challenged reports whether the registry has asked for credentials.
func (m *Manager) Challenged() bool { return m.offer() != nil }

// Proven reports whether a credential was accepted.
func (m *Manager) Proven(c auth.Credential) bool { return m.login(c).isProven() }

// OfferBasic has passwords sent to a registry that has not asked for any.
func (m *Manager) OfferBasic() { m.learn(&offer{challenge: challenge{scheme: "basic"}}, Access{}) }

// authorise gives what to send with a request; nil is nothing.
func (m *Manager) authorise(ctx context.Context, access Access) (*grant, error) {
	offered := m.offer()
	if offered == nil {
		return nil, nil
	}
	credential, err := m.credentials.Credential(ctx, m.host.Name(), access.Repository)
	switch {
	case err != nil:
		return nil, err
	case credential.RegistryToken != "":
		return &grant{header: "Bearer " + credential.RegistryToken.Reveal()}, nil
	case offered.realm == nil:
		return m.basic(ctx, credential)
	}
	t, err := m.token(ctx, offered, credential, access)
	if err != nil {
		return nil, err
	}
	return &grant{header: "Bearer " + t.value.Reveal(), token: t}, nil
}

func (m *Manager) basic(ctx context.Context, c auth.Credential) (*grant, error) {
	if c.Username == "" && c.Password == "" {
		return nil, nil
	}
	l := m.login(c)
	if _, err := l.enter(ctx); err != nil {
		return nil, err
	}
	return &grant{header: basicHeader(c.Username, c.Password), login: l}, nil
}

func basicHeader(username string, password auth.Secret) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password.Reveal()))
}

// answer gives what to send instead of g, which was answered with 401; nil if there is
// nothing better.
func (m *Manager) answer(ctx context.Context, resp *http.Response, access Access, g *grant) (*grant, error) {
	found := pick(resp.Header)
	if found == nil {
		return nil, nil
	}
	offered := &offer{challenge: *found}
	if found.scheme == "bearer" {
		realm, err := answer.Follow(resp.Request.URL, found.params["realm"])
		if err != nil {
			return nil, err
		}
		offered.realm = realm
	}
	access = m.learn(offered, access)
	if g != nil && g.token != nil {
		if access.Since.Before(g.token.from) && g.token.scopes.covers(access.Need) {
			return nil, nil // asked for this very request: it will not get better
		}
		m.drop(g.token)
	}
	second, err := m.authorise(ctx, access)
	if err != nil || second == nil || (g != nil && g.header == second.header) {
		return nil, err
	}
	return second, nil
}

// learn keeps an offer, and adds to access what the registry says that it needs.
func (m *Manager) learn(offered *offer, access Access) Access {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offered = offered
	wanted := parseScopes(offered.challenge.params["scope"])
	if len(wanted) == 1 && wanted[0].kind == "repository" && access.Repository != "" && access.From == "" {
		delete(m.aliases, access.Repository)
		if wanted[0].name != access.Repository {
			m.aliases[access.Repository] = wanted[0].name
		}
	}
	access.Need = m.translate(access.Need).and(wanted...)
	return access
}

// translate gives scopes the names that the token server knows. It is called with m.mu.
func (m *Manager) translate(s Scopes) Scopes {
	var translated Scopes
	for _, one := range s {
		if alias := m.aliases[one.name]; alias != "" && one.kind == "repository" {
			one.name = alias
		}
		translated = translated.and(one)
	}
	return translated
}

func (m *Manager) offer() *offer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.offered
}

func (m *Manager) login(c auth.Credential) *login {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.logins[c]; known == nil || known.isOutdated() {
		m.logins[c] = &login{}
	}
	return m.logins[c]
}

func (m *Manager) drop(t *token) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens = slices.DeleteFunc(m.tokens, func(have *token) bool { return have == t })
}
