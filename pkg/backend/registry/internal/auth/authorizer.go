package auth

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"sync"
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

// Authorizer knows how to be let in by one registry, for as long as its client lives: how the registry asks,
// which tokens there are, and which passwords are wrong.
type Authorizer struct {
	host        *wire.Host
	credentials Credentials
	server      tokenServer

	first   gate // the registry's first request
	flights flight.Group[string, *token]
	running sync.WaitGroup
	asking  chan struct{} // has an element for each request to the token server

	mu      sync.Mutex // guards all below; a login's lock is taken below it
	offered *offer
	tokens  []*token
	logins  map[auth.Credential]*login
	// aliases are the names in scopes of repositories that the token server knows by
	// another name than the registry's API does.
	aliases map[string]string
	// mounts are the repositories that one mounts from, by the one that one mounts into.
	mounts map[string][]string
	// frugal are repositories where more than is needed was refused, since when.
	frugal map[string]time.Time
}

// offer is how a registry wants to be asked.
type offer struct {
	challenge challenge
	realm     *url.URL // of a Bearer challenge
	unasked   bool     // the registry has not asked
}

// grant lets a request in.
type grant struct {
	header string
	token  *token // nil if none was asked for
	login  *login // of a password in header
}

// New creates a Authorizer. patience is for a whole request to the token server.
func New(host *wire.Host, credentials Credentials, patience time.Duration) *Authorizer {
	return &Authorizer{
		host: host, credentials: credentials, server: tokenServer{host: host, patience: patience},
		asking: make(chan struct{}, maxAsking), logins: map[auth.Credential]*login{},
		aliases: map[string]string{}, mounts: map[string][]string{}, frugal: map[string]time.Time{},
	}
}

// Close waits for the requests to the token server, which end when nobody waits for them.
func (a *Authorizer) Close() { a.running.Wait() }

// Send sends a request with what access needs, once more if it is answered with a challenge. The first
// request of all goes without credentials and serves as the question; from the first 401 on they are sent
// at once.
func (a *Authorizer) Send(req *wire.Request, access Access) (*http.Response, error) {
	next := a.host.Requests()
	if !a.host.Owns(req.URL) { // an upload's Location elsewhere
		return next.RoundTrip(req)
	}
	first, err := a.first.enter(req.Context())
	if err != nil {
		req.Drop()
		return nil, err
	}
	if first {
		defer a.first.leave(true)
	}
	g, err := a.authorise(req.Context(), access)
	if err != nil {
		req.Drop()
		return nil, err
	}
	resp, err := next.RoundTrip(g.applied(req))
	resp, err = a.judge(req.Context(), resp, err, access, g)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !a.host.Owns(resp.Request.URL) {
		return resp, err
	}
	answer.Detach(resp)
	second, err := a.answer(req.Context(), resp, access, g)
	if err != nil {
		return nil, err
	}
	if second == nil {
		return resp, nil
	}
	again, ok := req.Rewind()
	if !ok {
		if second.login != nil {
			second.login.first.leave(false)
		}
		return resp, nil
	}
	resp, err = next.RoundTrip(second.applied(again))
	return a.judge(req.Context(), resp, err, access, second)
}

// applied is req with what g grants.
func (g *grant) applied(req *wire.Request) *wire.Request {
	if g == nil {
		return req
	}
	return req.With("Authorization", g.header)
}

// judge learns from the outcome of a request whether the password that went with it is right, and lets those
// go on who wait for that.
func (a *Authorizer) judge(ctx context.Context, resp *http.Response, err error, access Access, g *grant) (*http.Response, error) {
	if g == nil || g.login == nil {
		return resp, err
	}
	defer func() { g.login.first.leave(ctx.Err() == nil) }()
	if err != nil || !a.host.Owns(resp.Request.URL) {
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
func (a *Authorizer) Prepare(ctx context.Context, access Access) error {
	if offered := a.offer(); offered == nil || offered.realm == nil {
		return nil
	}
	_, err := a.authorise(ctx, access)
	return err
}

// Challenged reports whether the registry has asked for credentials.
func (a *Authorizer) Challenged() bool { return a.offer() != nil }

// Proven reports whether a credential was accepted.
func (a *Authorizer) Proven(c auth.Credential) bool { return a.login(c).isProven() }

// OfferBasic has passwords sent to a registry that has not asked for any.
func (a *Authorizer) OfferBasic() {
	a.learn(&offer{challenge: challenge{scheme: "basic"}, unasked: true}, Access{})
}

// Offered reports whether passwords are sent because of [Authorizer.OfferBasic], and not because the registry has
// asked for them.
func (a *Authorizer) Offered() bool {
	offered := a.offer()
	return offered != nil && offered.unasked
}

// authorise gives what to send with a request; nil is nothing.
func (a *Authorizer) authorise(ctx context.Context, access Access) (*grant, error) {
	offered := a.offer()
	if offered == nil {
		return nil, nil
	}
	credential, err := a.credentials.Credential(ctx, a.host.Name(), access.Repository)
	switch {
	case err != nil:
		return nil, err
	case credential.RegistryToken != "":
		return &grant{header: "Bearer " + credential.RegistryToken.Reveal()}, nil
	case offered.realm == nil:
		return a.basic(ctx, credential)
	}
	t, err := a.token(ctx, offered, credential, access)
	if err != nil {
		return nil, err
	}
	return &grant{header: "Bearer " + t.value.Reveal(), token: t}, nil
}

func (a *Authorizer) basic(ctx context.Context, c auth.Credential) (*grant, error) {
	if c.Username == "" && c.Password == "" {
		return nil, nil
	}
	l := a.login(c)
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
func (a *Authorizer) answer(ctx context.Context, resp *http.Response, access Access, g *grant) (*grant, error) {
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
	access = a.learn(offered, access)
	if g != nil && g.token != nil {
		if access.Since.Before(g.token.from) && g.token.scopes.covers(access.Need) {
			return nil, nil // asked for this very request: it will not get better
		}
		a.drop(g.token)
	}
	second, err := a.authorise(ctx, access)
	if err != nil || second == nil || (g != nil && g.header == second.header) {
		return nil, err
	}
	return second, nil
}

// learn keeps an offer, and adds to access what the registry says that it needs.
func (a *Authorizer) learn(offered *offer, access Access) Access {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.offered = offered
	wanted := parseScopes(offered.challenge.params["scope"])
	if len(wanted) == 1 && wanted[0].kind == "repository" && access.Repository != "" && access.From == "" {
		delete(a.aliases, access.Repository)
		if wanted[0].name != access.Repository {
			a.aliases[access.Repository] = wanted[0].name
		}
	}
	access.Need = a.translate(access.Need).and(wanted...)
	return access
}

// translate gives scopes the names that the token server knows. It is called with a.mu.
func (a *Authorizer) translate(s Scopes) Scopes {
	var translated Scopes
	for _, one := range s {
		if alias := a.aliases[one.name]; alias != "" && one.kind == "repository" {
			one.name = alias
		}
		translated = translated.and(one)
	}
	return translated
}

func (a *Authorizer) offer() *offer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.offered
}

func (a *Authorizer) login(c auth.Credential) *login {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.logins[c]; known == nil || known.isOutdated() {
		a.logins[c] = &login{}
	}
	return a.logins[c]
}

func (a *Authorizer) drop(t *token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = slices.DeleteFunc(a.tokens, func(have *token) bool { return have == t })
}
