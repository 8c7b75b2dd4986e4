package registry

import (
	"errors"
	"net/http"
	"time"

	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// report is the RoundTripper that reports every answer, and every request without one, to the
// limiter. Hosts that the registry redirects to are reported under their own names. Requests to
// them take no slots, so report itself refuses those to a host that was given up.
type report struct {
	host *host
	next http.RoundTripper
}

var _ http.RoundTripper = (*report)(nil)

// RoundTrip implements http.RoundTripper.
func (r *report) RoundTrip(req *http.Request) (*http.Response, error) {
	limiter := r.host.client.options.Limiter
	in, own := intentOf(req.Context()), r.host.owns(req.URL)
	a := limit.Answer{Peer: limit.Peer{Registry: Name(req.URL.Host)}, Class: in.class(), Item: in.item}
	if a.Item == "" {
		a.Item = req.URL.Path
	}
	if own {
		a.Peer = limit.Peer{Registry: r.host.registry, Account: in.account}
	} else if down := limiter.Check(a.Peer.Registry); down != nil {
		closeBody(req)
		return nil, &ConnectionError{
			Registry: r.host.registry, Host: req.URL.Host, Method: req.Method, URL: redact(req.URL), Err: down,
		}
	}
	began := time.Now()
	resp, err := r.next.RoundTrip(req)
	a.RoundTrip = time.Since(began)
	switch {
	case err == nil:
		a.Status, a.RetryAfter = resp.StatusCode, retryAfter(resp.StatusCode, resp.Header, time.Now())
		if own {
			r.host.noteQuota(resp.Header)
		}
	case req.Context().Err() != nil, !retry.Retryable(err), sourceFailed(req):
		return nil, err // says nothing about the host
	default:
		a.Err, a.RoundTrip = causeOf(err), idleTime(req, err, a.RoundTrip)
	}
	limiter.Report(a)
	return resp, err
}

// sourceFailed reports whether reading the body of a request failed, at another host.
func sourceFailed(req *http.Request) bool {
	body, ok := req.Body.(*cursor)
	return ok && body.body.failure() != nil
}

// idleTime is how long the host was silent before a request failed: the whole time, unless the
// host was receiving the bytes of a blob.
func idleTime(req *http.Request, err error, took time.Duration) time.Duration {
	if req.Body == nil || req.Body == http.NoBody {
		return took
	}
	if stalled, ok := errors.AsType[*StallError](err); ok {
		return stalled.Limit
	}
	return 0
}

// causeOf is why a host was not reached, without the description of the request.
func causeOf(err error) error {
	if e, ok := err.(*ConnectionError); ok { //nolint:errorlint // only the outermost names the request
		return e.Err
	}
	return err
}
