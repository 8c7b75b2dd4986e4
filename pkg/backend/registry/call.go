package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// call is one request to a registry and the answers that are none of an error.
type call struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte    // of a small request
	stream *outgoing // of a large one
	intent intent
	accept []int // statuses; 200 if none
	size   int64 // of the blob that is asked for; zero if it is none
}

// do sends a call once. The caller closes the answer's body.
func (h *host) do(ctx context.Context, c call) (*http.Response, error) {
	return h.send(ctx, h.registryRT, c)
}

func (h *host) send(ctx context.Context, rt http.RoundTripper, c call) (*http.Response, error) {
	if c.intent.asked.IsZero() {
		c.intent.asked = time.Now()
	}
	req, err := c.request(withIntent(ctx, c.intent))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", h.client.options.UserAgent)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	decode(resp, c.size)
	if slices.Contains(c.accept, resp.StatusCode) || len(c.accept) == 0 && resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer discard(resp)
	failure := newError(resp)
	failure.foreign = !h.owns(resp.Request.URL)
	if failure.Status == http.StatusTooManyRequests && failure.Wait > retry.MaxRetryAfter && !failure.foreign {
		return nil, &limit.PauseError{Registry: h.registry, Class: c.intent.class(), Until: time.Now().Add(failure.Wait), Err: failure}
	}
	return nil, failure
}

func (c call) request(ctx context.Context) (*http.Request, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, c.method, c.url.String(), nil)
	if err != nil {
		return nil, err
	}
	if c.header != nil {
		req.Header = c.header.Clone()
	}
	switch {
	case c.stream != nil:
		c.stream.attach(req)
	case c.body != nil:
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.body)), nil }
		req.Body, _ = open()
		req.GetBody, req.ContentLength = open, int64(len(c.body))
	}
	return req, nil
}

// once sends a call and passes the answer to read. The caller holds the slots and retries.
func (r *Repository) once(ctx context.Context, c call, read func(*http.Response) error) error {
	resp, err := r.host.do(ctx, c)
	if err != nil {
		return err
	}
	defer discard(resp)
	return read(resp)
}

// ask sends a call that is an item by itself, with retries and a slot for each attempt, and
// passes the answer to read.
func (r *Repository) ask(ctx context.Context, c call, read func(*http.Response) error) error {
	return r.item(ctx, c, func(ctx context.Context, c call) error { return r.once(ctx, c, read) })
}

// item makes attempts at a call that is an item by itself. Each attempt gets its token before
// its slot, and holds the slot until it ends. A mirror gets one attempt, without a wait.
func (r *Repository) item(ctx context.Context, c call, attempt func(context.Context, call) error) error {
	h, sent := r.host, false
	policy, limiter := h.client.options.Retry, h.client.options.Limiter
	var uncounted time.Time // the last such failure
	policy.Uncounted = func(err error) bool {
		if !sent || !h.isOwn(err) || !limiter.Down(h.registry) || limiter.GivenUp(h.registry) {
			return false
		}
		last := uncounted
		uncounted = time.Now()
		return last.IsZero() || !limiter.AnsweredSince(h.registry, last) // else it answers others, and fails this one
	}
	if r.mirror {
		policy.Attempts, policy.Uncounted = 1, nil
	}
	return policy.Do(ctx, func(ctx context.Context, begin func()) error {
		sent = false
		c.intent.asked = time.Now()
		if err := h.authority.prepare(ctx, c.intent); err != nil {
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
func (r *Repository) acquire(ctx context.Context, c call) (release func(), err error) {
	limiter, peer := r.host.client.options.Limiter, limit.Peer{Registry: r.host.registry, Account: c.intent.account}
	if r.mirror {
		release, err = limiter.Try(ctx, peer, c.intent.class())
	} else {
		release, err = limiter.Acquire(ctx, peer, c.intent.class())
	}
	if _, down := errors.AsType[*limit.DownError](err); down {
		err = &ConnectionError{Registry: peer.Registry, Host: r.host.address, Method: c.method, URL: redact(c.url), Err: err}
	}
	return release, err
}

// isOwn reports whether an error comes from the registry's own host.
func (h *host) isOwn(err error) bool {
	if answer, ok := errors.AsType[*Error](err); ok {
		return !answer.foreign
	}
	connection, ok := errors.AsType[*ConnectionError](err)
	return ok && connection.Host == h.address
}

// nothing reads no more of an answer than that it came.
func nothing(*http.Response) error { return nil }

// readBounded reads a whole document of at most limit bytes.
func readBounded(resp *http.Response, limit int64) ([]byte, error) {
	tooLarge := func(size string) error {
		return fmt.Errorf("%s: %w: %s bytes exceed the limit of %d",
			redact(resp.Request.URL), content.ErrInvalid, size, limit)
	}
	if resp.ContentLength > limit {
		return nil, tooLarge(strconv.FormatInt(resp.ContentLength, 10))
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", redact(resp.Request.URL), err)
	}
	if int64(len(raw)) > limit {
		return nil, tooLarge("endless")
	}
	return raw, nil
}

// readJSON reads a document of at most limit bytes into v.
func readJSON(resp *http.Response, limit int64, v any) error {
	raw, err := readBounded(resp, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		// A document that ends early was cut off, as by a proxy that states no length.
		if cut := json.NewDecoder(bytes.NewReader(raw)).Decode(new(json.RawMessage)); errors.Is(cut, io.ErrUnexpectedEOF) {
			err = cut
		}
		return fmt.Errorf("%s: %w", redact(resp.Request.URL), brokenOrInvalid(err))
	}
	return nil
}
