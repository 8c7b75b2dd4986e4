package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	registryauth "github.com/regsync/regsync/pkg/backend/registry/internal/auth"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
)

// caller sends the requests of one repository or, if name is empty, of the registry as a whole.
type caller struct {
	host    *host
	name    string // of the repository
	account string
	mirrors []*caller
	reader  bool         // requests tokens with pull access only
	mirror  bool         // another mirror or the registry is tried next
	pulls   *limit.Pulls // of the image that is read; nil if none
}

// call is one request to a registry, and the answers that mean success.
type call struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte     // of a small request
	blob   *wire.Body // of a large one
	traits wire.Traits
	access registryauth.Access
	accept []int // statuses; 200 if none
	size   int64 // of the requested blob; zero if the request is not for a blob
	// manifest: it is for a manifest. skipIfCounted: it is not sent if the registry is known to count pulls by then.
	manifest, skipIfCounted bool
}

// Location implements [content.Located].
func (r *caller) Location() content.Location {
	return content.Location{Registry: r.host.wire.Registry(), Repository: r.name, Account: r.account}
}

// check refuses a reference that is neither a tag nor a digest, so that it does not become part of a URL.
func (r *caller) check(tagOrDigest string) error {
	if err := content.CheckReference(tagOrDigest); err != nil {
		return fmt.Errorf("%s: %w", r.Location(), err)
	}
	return nil
}

// url returns the URL of a path below the repository, such as "blobs/uploads/".
func (r *caller) url(path string, query url.Values) *url.URL {
	return r.host.wire.URL("/v2/"+r.name+"/"+path, query)
}

// manifestURL returns the URL of a manifest. The tag or digest is one element of the path, even if it has a slash that
// an earlier check has missed.
func (r *caller) manifestURL(tagOrDigest string) *url.URL {
	u := r.url("manifests/", nil)
	u.RawPath = u.EscapedPath() + url.PathEscape(tagOrDigest)
	u.Path += tagOrDigest
	return u
}

func (r *caller) reading() registryauth.Access {
	access := registryauth.Access{Repository: r.name, Need: registryauth.Repository(r.name, "pull")}
	if !r.reader {
		access.Wish = registryauth.Repository(r.name, "pull", "push")
	}
	return access
}

func (r *caller) writing() registryauth.Access {
	return registryauth.Access{Repository: r.name, Need: registryauth.Repository(r.name, "pull", "push")}
}

// traits returns the traits of a request of a class, for a blob or, if the descriptor is empty, for something else.
func (r *caller) traits(class limit.Class, d content.Descriptor) wire.Traits {
	return wire.Traits{Account: r.account, Class: class, Item: d.Digest.String()}
}

// small returns the traits of a request without a blob.
func (r *caller) small() wire.Traits { return r.traits(limit.Small, content.Descriptor{}) }

// get returns the call that reads a small document.
func (r *caller) get(from *url.URL, access registryauth.Access) call {
	return call{method: http.MethodGet, url: from, traits: r.small(), access: access}
}

// do sends a call once. The caller closes the answer's body.
func (r *caller) do(ctx context.Context, c call) (*http.Response, error) {
	h := r.host
	if c.access.Since.IsZero() {
		c.access.Since = time.Now()
	}
	req, err := wire.NewRequest(ctx, c.method, c.url, c.header, c.traits)
	if err != nil {
		return nil, err
	}
	switch {
	case c.blob != nil:
		c.blob.Attach(req)
	case c.body != nil:
		req.SetBytes(c.body)
	}
	sent := time.Now()
	resp, err := h.auth.Send(req, c.access)
	if err != nil {
		return nil, err
	}
	answer.Decode(resp, c.size)
	own := h.wire.Owns(resp.Request.URL)
	if own {
		h.noteQuota(c, resp)
	}
	if slices.Contains(c.accept, resp.StatusCode) || len(c.accept) == 0 && resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer answer.Discard(resp)
	refusal := answer.New(resp)
	if c.blob != nil {
		answer.MarkExpired(refusal)
	}
	if !own {
		answer.MarkForeign(refusal)
	}
	if refusal.Status == http.StatusTooManyRequests {
		return nil, r.limited(c, resp, refusal, sent)
	}
	return nil, refusal
}

// limited returns the error of a 429 answer. Docker Hub has three kinds: the pull quota is used up; too many requests of
// any kind from one address; too many requests to its API. sent is when the request was sent.
func (r *caller) limited(c call, resp *http.Response, refusal *answer.Error, sent time.Time) error {
	h, peer := r.host, r.peer(c)
	stated := answer.QuotaOf(resp) != nil && !answer.IsForeign(refusal)
	onlyInBody := !stated && c.traits.Class == limit.Pull && h.countsPulls() &&
		refusal.Code == "TOOMANYREQUESTS" && resp.Header.Get("Ratelimit-Remaining") == ""
	switch {
	case stated, onlyInBody:
		refusal.Limit = answer.LimitPulls
		if onlyInBody {
			h.client.options.Limiter.QuotaUsedUp(peer, sent, refusal.Wait)
		}
		if pause := h.client.options.Limiter.QuotaError(peer); pause != nil {
			pause.Err = refusal
			return pause
		}
	case h.wire.Registry() == reference.DockerHub && !h.wire.Owns(c.url) && c.traits.Class == limit.Small:
		refusal.Limit = answer.LimitAPI
	default:
		refusal.Limit = answer.LimitRequests
	}
	if answer.IsForeign(refusal) || refusal.Wait <= retry.MaxRetryAfter {
		return refusal
	}
	pause := &limit.PauseError{Registry: peer.Registry, Class: c.traits.Class, Until: time.Now().Add(refusal.Wait), Err: refusal}
	if pause.Quota = refusal.Limit == answer.LimitPulls; !pause.Quota && pause.Class == limit.Pull {
		pause.Class = limit.Small
	}
	return pause
}

// peer returns the peer whose limits apply to a call. Docker Hub's API has its own limits.
func (r *caller) peer(c call) limit.Peer {
	if !r.host.wire.Owns(c.url) {
		return limit.Peer{Registry: wire.Registry(c.url.Host)}
	}
	return limit.Peer{Registry: r.host.wire.Registry(), Account: r.account}
}

// once sends a call and passes the answer to read. Slots and retries are up to its caller.
func (r *caller) once(ctx context.Context, c call, read func(*http.Response) error) error {
	resp, err := r.do(ctx, c) //nolint:bodyclose // answer.Discard closes it
	if err != nil {
		return err
	}
	defer answer.Discard(resp)
	return answer.Scrub(resp.Request, read(resp))
}

// ask sends a call that is an item of its own, with retries and a slot for each attempt, and passes the answer to
// read.
func (r *caller) ask(ctx context.Context, c call, read func(*http.Response) error) error {
	return r.item(ctx, c, func(ctx context.Context, c call) error { return r.once(ctx, c, read) })
}

// item makes attempts at a call that is an item of its own. Each attempt gets its token before its slot, and holds
// the slot until it ends. At a mirror there is one attempt, without a wait.
func (r *caller) item(ctx context.Context, c call, attempt func(context.Context, call) error) error {
	registry, sent := r.host.wire.Registry(), false
	policy, limiter := r.host.client.options.Retry, r.host.client.options.Limiter
	var uncounted time.Time // the time of the last failure that was not counted
	policy.Uncounted = func(err error) bool {
		if !sent || !r.host.isOwn(err) || !limiter.Down(registry) || limiter.GivenUp(registry) {
			return false
		}
		last := uncounted
		uncounted = time.Now()
		return last.IsZero() || !limiter.AnsweredSince(registry, last) // else only this call fails
	}
	if r.mirror {
		policy.Attempts, policy.Uncounted = 1, nil
	}
	return policy.Do(ctx, func(ctx context.Context, begin func()) error {
		sent = false
		c.access.Since = time.Now()
		if err := r.host.auth.Prepare(ctx, c.access); err != nil {
			return err
		}
		release, err := r.acquire(ctx, c)
		if err != nil {
			return err
		}
		defer release()
		begin()
		sent = true
		return attempt(ctx, c)
	})
}

// acquire waits for the slot of a call.
func (r *caller) acquire(ctx context.Context, c call) (release func(), err error) {
	h := r.host
	limiter, peer := h.client.options.Limiter, r.peer(c)
	switch {
	case r.mirror:
		release, err = limiter.Try(ctx, peer, c.traits.Class)
	case c.traits.Class == limit.Pull:
		release, err = limiter.AcquirePull(ctx, peer, r.pulls)
	default:
		release, err = limiter.Acquire(ctx, peer, c.traits.Class)
	}
	if err == nil && c.skipIfCounted && h.countsPulls() {
		release()
		return nil, content.ErrCountsPulls
	}
	if _, down := errors.AsType[*limit.DownError](err); down {
		err = &wire.ConnectionError{
			Registry: peer.Registry, Host: h.wire.Address(), Method: c.method, URL: h.wire.Redact(c.url), Err: err,
		}
	}
	return release, err
}

// nothing ignores the body of an answer.
func nothing(*http.Response) error { return nil }

// tooMany returns the error for a listing that exceeds one of the limits. It names the repository, if there is one.
func (r *caller) tooMany(bound int, what string) error {
	err := fmt.Errorf("%w: more than %d %s", content.ErrInvalid, bound, what)
	if r.name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", r.Location(), err)
}
