package registry

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"github.com/regsync/regsync/pkg/auth"
)

// authority knows how to be let in by one registry, for the whole run: how it asks, which
// tokens there are, and which passwords are wrong.
type authority struct {
	host        *host
	credentials Credentials

	first     scout // the registry's first request
	flights   singleflight.Group
	asking    chan struct{} // has an element for each request to the token server
	otherFlow atomic.Bool   // the token server does not know the usual way to ask

	mu      sync.Mutex
	offered *offer
	tokens  []*token
	logins  map[auth.Credential]*login
	// aliases are the names in scopes of repositories that the token server knows by
	// another name than the registry's API does.
	aliases map[string]string
	// mounts are the repositories that one mounts from, by the one that one mounts into.
	mounts map[string][]string
	// modest are repositories where we may read, and not ask for more.
	modest map[string]bool
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
		g.login.first.back()
	}
}

func newAuthority(h *host, credentials Credentials) *authority {
	return &authority{
		host: h, credentials: credentials, asking: make(chan struct{}, maxAsking), logins: map[auth.Credential]*login{},
		aliases: map[string]string{}, mounts: map[string][]string{}, modest: map[string]bool{},
	}
}

// enter makes all but one wait for the first answer of the registry.
func (a *authority) enter(ctx context.Context) (ahead bool, err error) { return a.first.enter(ctx) }

// authorise gives what to send with a request; nil is nothing.
func (a *authority) authorise(ctx context.Context, in intent) (*grant, error) {
	offered := a.offer()
	if offered == nil {
		return nil, nil
	}
	credential, err := a.credentials.Credential(ctx, a.host.name, in.repository)
	switch {
	case err != nil:
		return nil, err
	case credential.RegistryToken != "":
		return &grant{header: "Bearer " + credential.RegistryToken.Reveal()}, nil
	case offered.realm == nil:
		return a.basic(ctx, credential)
	}
	t, err := a.token(ctx, offered, credential, in)
	if err != nil {
		return nil, err
	}
	return &grant{header: "Bearer " + t.value.Reveal(), token: t}, nil
}

// prepare has a token ready for a request to come, where tokens are used.
func (a *authority) prepare(ctx context.Context, in intent) error {
	if offered := a.offer(); offered == nil || offered.realm == nil {
		return nil
	}
	_, err := a.authorise(ctx, in)
	return err
}

func (a *authority) basic(ctx context.Context, c auth.Credential) (*grant, error) {
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
func (a *authority) answer(ctx context.Context, resp *http.Response, in intent, g *grant) (*grant, error) {
	found := pick(resp.Header)
	if found == nil {
		return nil, nil
	}
	offered := &offer{challenge: *found}
	if found.scheme == "bearer" {
		realm, err := follow(resp.Request.URL, found.params["realm"])
		if err != nil {
			return nil, err
		}
		offered.realm = realm
	}
	in = a.learn(offered, in)
	if g != nil && g.token != nil {
		if in.asked.Before(g.token.from) && g.token.scopes.covers(in.need) {
			return nil, nil // asked for this very request: it will not get better
		}
		a.drop(g.token)
	}
	second, err := a.authorise(ctx, in)
	if err != nil || second == nil || (g != nil && g.header == second.header) {
		return nil, err
	}
	return second, nil
}

// learn keeps an offer, and adds to in what the registry says that it needs.
func (a *authority) learn(offered *offer, in intent) intent {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.offered = offered
	wanted := parseScopes(offered.challenge.params["scope"])
	if len(wanted) == 1 && wanted[0].kind == "repository" && in.repository != "" && in.from == "" {
		delete(a.aliases, in.repository)
		if wanted[0].name != in.repository {
			a.aliases[in.repository] = wanted[0].name
		}
	}
	in.need = a.translate(in.need).and(wanted...)
	return in
}

// translate gives scopes the names that the token server knows. It is called with a.mu.
func (a *authority) translate(s scopes) scopes {
	var translated scopes
	for _, one := range s {
		if alias := a.aliases[one.name]; alias != "" && one.kind == "repository" {
			one.name = alias
		}
		translated = translated.and(one)
	}
	return translated
}

func (a *authority) offer() *offer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.offered
}

func (a *authority) login(c auth.Credential) *login {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.logins[c] == nil {
		a.logins[c] = &login{}
	}
	return a.logins[c]
}

func (a *authority) drop(t *token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = slices.DeleteFunc(a.tokens, func(have *token) bool { return have == t })
}
