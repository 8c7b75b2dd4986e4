package wire

import (
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// report counts and logs every request, adds the request to the error if there is no answer, and reports the outcome to
// the limiter. Hosts that the registry redirects to are reported under their own names. Requests to them take no slots,
// so report itself refuses requests to a host that was given up.
type report struct {
	host *Host
	next roundTrip
}

func (r *report) send(req *Request) (*http.Response, error) {
	h := r.host
	h.secrets.Sent(req.Request, req.Secrets...)
	req = &Request{Request: req.WithContext(h.secrets.Attach(req.Context())), Traits: req.Traits}
	limiter, own, counted := h.options.Limiter, h.Owns(req.URL), req.URL.Host
	a := limit.Answer{Class: req.Class, Item: req.Item}
	if a.Item == "" {
		a.Item = req.URL.Path
	}
	if own {
		a.Peer = limit.Peer{Registry: h.registry, Account: req.Account}
		if err := limiter.WaitRequest(req.Context(), a.Peer, a.Class); err != nil {
			req.Drop()
			return nil, err
		}
	} else {
		counted = h.foreign.name(h.secrets.Hide(counted), h.name)
		a.Peer = limit.Peer{Registry: Registry(counted)}
		if down := limiter.Check(a.Peer.Registry); down != nil {
			req.Drop()
			return nil, r.unanswered(req, down)
		}
	}
	began := time.Now()
	resp, err := r.next(req)
	a.RoundTrip = time.Since(began)
	if !isNotTLS(err) { // else the server got no HTTP request
		h.options.Counter.add(counted)
	}
	err = answer.Scrub(req.Request, explainTLS(h.shown(req.URL), err))
	r.log(req, resp, err, a.RoundTrip)
	switch {
	case err == nil:
		a.Status, a.RetryAfter = resp.StatusCode, answer.RetryAfter(resp.StatusCode, resp.Header, time.Now())
		if q := answer.QuotaOf(resp); own && q != nil {
			a.Quota = (*limit.Quota)(q)
		}
		limiter.Report(a)
		return resp, nil
	case req.Context().Err() != nil, !retry.Retryable(err), sourceFailed(req):
		// This says nothing about the host.
	default:
		a.Err, a.RoundTrip, a.Refused = r.unanswered(req, err), idleTime(req, err, a.RoundTrip), errors.Is(err, syscall.ECONNREFUSED)
		limiter.Report(a)
	}
	return nil, r.unanswered(req, err)
}

// unanswered adds the request to an error.
func (r *report) unanswered(req *Request, cause error) error {
	u := req.target()
	return &ConnectionError{
		Registry: r.host.registry, Host: r.host.shown(u), Method: req.Method, URL: r.host.secrets.Redact(u), Err: cause,
	}
}

// sourceFailed reports whether reading the body of a request failed, at another host.
func sourceFailed(req *Request) bool {
	body, ok := req.Body.(*cursor)
	return ok && body.body.Err() != nil
}

// idleTime returns how long the host was silent before a request failed: the whole time, unless the host was
// receiving the bytes of a blob.
func idleTime(req *Request, err error, took time.Duration) time.Duration {
	if req.Body == nil || req.Body == http.NoBody {
		return took
	}
	if stalled, ok := errors.AsType[*StallError](err); ok {
		return stalled.Limit
	}
	return 0
}

func (r *report) log(req *Request, resp *http.Response, err error, took time.Duration) {
	logger := r.host.options.Logger
	if logger == nil || !logger.Enabled(req.Context(), slog.LevelDebug) {
		return
	}
	attributes := []slog.Attr{
		slog.String("method", req.Method), slog.String("url", r.host.secrets.Redact(req.target())), slog.Duration("took", took),
	}
	if err != nil {
		attributes = append(attributes, slog.Any("error", err))
	} else {
		attributes = append(attributes, slog.Int("status", resp.StatusCode), slog.Int64("length", resp.ContentLength))
	}
	logger.LogAttrs(req.Context(), slog.LevelDebug, "request", attributes...)
}

// maxForeign is how many other hosts of a registry are counted and limited apart. Registries use a few.
const maxForeign = 64

// foreignHosts are the other hosts that answers of a registry have named. A hostile registry can name any number.
type foreignHosts struct {
	mu    sync.Mutex
	known map[string]bool
}

// name returns the name by which a host is counted and limited: its own, or one for all that are too many.
func (f *foreignHosts) name(host, registry string) string {
	host = strings.ToLower(host)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known[host] {
		return host
	}
	if len(f.known) >= maxForeign {
		return "other hosts of " + registry
	}
	if f.known == nil {
		f.known = map[string]bool{}
	}
	f.known[host] = true
	return host
}

// Counter counts requests by host. The zero value is ready to use.
type Counter struct {
	mu sync.Mutex
	n  map[string]int64
}

func (c *Counter) add(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int64{}
	}
	c.n[host]++
}

// Read returns the counts so far.
func (c *Counter) Read() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}
