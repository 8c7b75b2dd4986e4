package registry

import (
	"errors"
	"net/http"
	"time"

	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// report is the RoundTripper that reports every answer, and every request without one, to the
// limiter. Hosts that the registry sends us to are reported under their own names; requests
// to them take no slots, so that it refuses here those to a host that was given up.
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
		return nil, err // it tells nothing about the host
	default:
		a.Err, a.RoundTrip = causeOf(err), silence(req, err, a.RoundTrip)
	}
	limiter.Report(a)
	return resp, err
}

// sourceFailed reports whether the body of a request broke, which comes from another host.
func sourceFailed(req *http.Request) bool {
	body, ok := req.Body.(*cursor)
	return ok && body.body.failure() != nil
}

// silence is for how long the host gave no sign of life before a request failed: all the time,
// unless it was taking a blob's bytes.
func silence(req *http.Request, err error, took time.Duration) time.Duration {
	if req.Body == nil || req.Body == http.NoBody {
		return took
	}
	if stalled, ok := errors.AsType[*StallError](err); ok {
		return stalled.Limit
	}
	return 0
}

// causeOf is why a host was not reached, without the request that found it out.
func causeOf(err error) error {
	if e, ok := err.(*ConnectionError); ok { //nolint:errorlint // only the outermost names the request
		return e.Err
	}
	return err
}
