// Package auth authorizes the requests to one registry: it answers challenges, and requests tokens from token
// servers.
//
// Start at [New] and [Authorizer.Send]. The package guarantees that a password that was refused, and never accepted
// before, is not tried again for an hour, because wrong passwords lock the user's account at Docker Hub; that
// concurrent requests share one request for the same token (single flight); and that a body whose transfer has begun
// is not sent again.
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

// Access is the access that a request needs.
type Access struct {
	// Repository selects the credentials; empty for the registry as a whole.
	Repository string
	// Need are the scopes without which the request fails.
	Need Scopes
	// Wish are scopes that later requests will need, so that one token serves all of them.
	Wish Scopes
	// From is the repository that a blob is mounted from.
	From string
	// Lasting requires a token with a third of its life left, because the request has a body or one follows.
	Lasting bool
	// Since is when the request began: a token that was requested later was requested for it.
	Since time.Time
}

// Authorizer authorizes requests to one registry. For the lifetime of the client it keeps the registry's challenge,
// the tokens, and which passwords are wrong.
type Authorizer struct {
	host        *wire.Host
	credentials auth.Store
	server      tokenServer

	first   gate // the registry's first request
	flights flight.Group[string, *token]
	running sync.WaitGroup
	asking  chan struct{} // has an element for each request to the token server

	mu      sync.Mutex // guards the fields below; a login's lock is taken under it
	offered *offer
	tokens  []*token
	logins  map[auth.Credential]*login
	// aliases are the names in scopes of repositories that have another name at the token server than in the
	// registry's API.
	aliases map[string]string
	// mounts are the source repositories of mounts, by target repository.
	mounts map[string][]string
	// needOnly has the time at which scopes beyond Need were refused, by repository.
	needOnly map[string]time.Time
}

// offer is the authentication scheme that a registry requires.
type offer struct {
	challenge challenge
	realm     *url.URL // of a Bearer challenge
	unasked   bool     // the registry has not sent a challenge
}

// grant is the authorization of a request.
type grant struct {
	header string
	token  *token // nil if none was used
	login  *login // of a password in header
}

// New creates an Authorizer. patience bounds a whole request to the token server.
func New(host *wire.Host, credentials auth.Store, patience time.Duration) *Authorizer {
	return &Authorizer{
		host: host, credentials: credentials, server: tokenServer{host: host, patience: patience},
		asking: make(chan struct{}, maxAsking), logins: map[auth.Credential]*login{},
		aliases: map[string]string{}, mounts: map[string][]string{}, needOnly: map[string]time.Time{},
	}
}

// Close waits for the requests to the token server, which end when no caller waits for them.
func (a *Authorizer) Close() { a.running.Wait() }

// Send sends a request with the authorization that access needs, and once more if the answer is a challenge. The
// first request to the registry has no credentials, to get its challenge; after the first 401, requests have
// credentials from the start.
func (a *Authorizer) Send(req *wire.Request, access Access) (*http.Response, error) {
	if !a.host.Owns(req.URL) { // an upload's Location elsewhere
		return a.host.Send(req)
	}
	first, err := a.first.enter(req.Context())
	if err != nil {
		req.Drop()
		return nil, err
	}
	if first {
		defer func() { a.first.leave(a.Challenged() || req.Context().Err() == nil) }() // a cancelled one may have learned nothing
	}
	g, err := a.authorise(req.Context(), access)
	if err != nil {
		req.Drop()
		return nil, err
	}
	resp, err := a.host.Send(g.applied(req))
	resp, err = a.checkOutcome(resp, err, access, g)
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
		second.drop()
		return resp, nil
	}
	resp, err = a.host.Send(second.applied(again))
	return a.checkOutcome(resp, err, access, second)
}

// applied returns req with the authorization of g.
func (g *grant) applied(req *wire.Request) *wire.Request {
	if g == nil {
		return req
	}
	return req.With("Authorization", g.header)
}

// checkOutcome records whether the answer to a request accepts or refuses its password, and releases the requests
// that wait for that.
func (a *Authorizer) checkOutcome(resp *http.Response, err error, access Access, g *grant) (*http.Response, error) {
	if g == nil || g.login == nil {
		return resp, err
	}
	defer g.login.leave()
	if err != nil || !a.host.Owns(resp.Request.URL) {
		return resp, err
	}
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return resp, nil // a proxy may answer so before the password is checked
	case status != http.StatusUnauthorized:
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

// Prepare obtains a token for a later request, if the registry uses tokens.
func (a *Authorizer) Prepare(ctx context.Context, access Access) error {
	if offered := a.offer(); offered == nil || offered.realm == nil {
		return nil
	}
	_, err := a.authorise(ctx, access)
	return err
}

// Contacted reports whether a request was sent to the registry.
func (a *Authorizer) Contacted() bool { return a.first.entered() }

// Challenged reports whether the registry has sent a challenge.
func (a *Authorizer) Challenged() bool { return a.offer() != nil }

// Proven reports whether a credential was accepted.
func (a *Authorizer) Proven(c auth.Credential) bool { return a.login(c).isProven() }

// OfferBasic makes the Authorizer send passwords without a challenge.
func (a *Authorizer) OfferBasic() {
	a.learn(&offer{challenge: challenge{scheme: "basic"}, unasked: true}, Access{})
}

// Offered reports whether passwords are sent because of [Authorizer.OfferBasic], and not after a challenge.
func (a *Authorizer) Offered() bool {
	offered := a.offer()
	return offered != nil && offered.unasked
}

// authorise returns the authorization of a request; nil means none.
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

// answer returns the authorization to try after a 401 to g, or nil if there is none.
func (a *Authorizer) answer(ctx context.Context, resp *http.Response, access Access, g *grant) (*grant, error) {
	found := pick(resp.Header)
	if found == nil {
		return nil, nil
	}
	offered := &offer{challenge: *found}
	if found.scheme == "bearer" {
		realm, err := answer.FollowAnswer(resp, found.params["realm"])
		if err != nil {
			return nil, err
		}
		offered.realm = realm
	}
	access = a.learn(offered, access)
	if g != nil && g.token != nil {
		if access.Since.Before(g.token.from) && g.token.scopes.covers(access.Need) {
			return nil, nil // a new token would not differ: this one was requested for this request
		}
		a.drop(g.token)
	}
	second, err := a.authorise(ctx, access)
	if err != nil || second == nil {
		return nil, err
	}
	if g != nil && g.header == second.header {
		second.drop()
		return nil, nil
	}
	return second, nil
}

// drop ends a grant that is not used.
func (g *grant) drop() {
	if g.login != nil {
		g.login.leave()
	}
}

// learn keeps an offer, and returns access with the scopes that the registry's challenge names.
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

// translate replaces repository names in scopes by their aliases. It must be called with a.mu held.
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
