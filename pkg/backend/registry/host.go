package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/pkg/backend/hub"
	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	registryauth "github.com/regsync/regsync/pkg/backend/registry/internal/auth"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// host is what the client knows about one registry.
type host struct {
	client *Client
	config HostConfig
	wire   *wire.Host
	auth   *registryauth.Authorizer

	pulls       atomic.Int32 // whether a manifest's GET is a pull, of which there is a quota
	noReferrers fact         // it has no referrers API
	refusesURLs fact         // it refuses manifests with URLs of foreign layers
	avoided     fact         // it is not used as a mirror
	uploading   uploading    // how it accepts uploads
	redirects   redirects    // of requests for blobs
	interrupted sync.Map     // digests of the manifests of which it may have stored a part

	decoding chan struct{} // has a value for each page of referrers that is being decoded
}

func newHost(c *Client, name string, config HostConfig) (*host, error) {
	to, err := wire.NewHost(&c.wire, name, wire.Config{
		TLS: config.TLS, CA: config.CA, Cert: config.Cert, Key: config.Key, Proxy: config.Proxy,
		IdleConnections: config.MaxConnections,
	})
	if err != nil {
		return nil, err
	}
	h := &host{
		client: c, config: config, wire: to, auth: registryauth.New(to, c.options.Credentials, c.limits.token),
		decoding: make(chan struct{}, referrerPages),
	}
	h.uploading.registry, h.uploading.memory = to.Registry(), c.options.Abilities
	if to.Registry() == reference.DockerHub {
		h.pulls.Store(pullsCounted)
	}
	return h, nil
}

// Whether a registry counts pulls.
const (
	pullsUnknown int32 = iota // it has not answered a request for a manifest yet
	pullsCounted
	pullsFree
)

func (h *host) countsPulls() bool { return h.pulls.Load() == pullsCounted }

// noteQuota records whether an answer shows that the registry counts pulls (Docker Hub, "Usage and
// limits", and what caches it).
func (h *host) noteQuota(c call, resp *http.Response) {
	switch {
	case answer.QuotaOf(resp) != nil:
		h.pulls.Store(pullsCounted)
	case c.manifest && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNotFound):
		if h.pulls.CompareAndSwap(pullsUnknown, pullsFree) {
			h.client.options.Limiter.NoQuota(h.wire.Registry())
		}
	}
}

// hub reads Docker Hub's API over the connections of its registry, with its proxy, slots and retries.
func (h *host) hub() (*hub.API, error) {
	limits := hub.Limits{Pages: h.client.limits.pages, Names: h.client.limits.names}
	return hub.New(h.client.options.HubAPI, hubReader{&caller{host: h}}, limits)
}

// maxHubPage bounds a page of Docker Hub's API, in bytes: it has a hundred entries.
const maxHubPage = 4 << 20

type hubReader struct{ caller *caller }

// ReadJSON implements [hub.Reader].
func (r hubReader) ReadJSON(ctx context.Context, from *url.URL, page any) error {
	return r.caller.ask(ctx, r.caller.get(from, registryauth.Access{}), func(resp *http.Response) error {
		if err := answer.CheckDocument(resp); err != nil {
			return err
		}
		return answer.ReadJSON(resp, maxHubPage, page)
	})
}

// Follow implements [hub.Reader]. It allows the same host only.
func (r hubReader) Follow(from *url.URL, link string) (*url.URL, error) {
	to, err := answer.Follow(from, link)
	if err == nil && !wire.SameEndpoint(from, to) {
		return nil, fmt.Errorf("%w: the next page is on another host: %s", content.ErrInvalid, to.Host)
	}
	return to, err
}

// isOwn reports whether an error comes from the registry's own host.
func (h *host) isOwn(err error) bool {
	if refusal, ok := errors.AsType[*answer.Error](err); ok {
		return !answer.IsForeign(refusal)
	}
	connection, ok := errors.AsType[*wire.ConnectionError](err)
	return ok && connection.Host == h.wire.Address()
}

// factLife is how long a fact holds. A process may run for months, and the registry may change.
const factLife = time.Hour

// fact is something that was observed at a host. It holds for the time that observe is given.
type fact struct{ until atomic.Int64 } // in Unix nanoseconds

func (f *fact) observe(life time.Duration) { f.until.Store(time.Now().Add(life).UnixNano()) }

func (f *fact) holds() bool { return time.Now().UnixNano() < f.until.Load() }
