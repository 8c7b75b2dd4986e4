package registry

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/regsync/regsync/internal/retry"
)

const (
	// outage is how long a host must have been out of reach, with no answer in between,
	// before it is spared: longer than the attempts of one request take, so that a short
	// break of the network fails nothing that would have passed.
	outage = time.Minute
	// outageFailures is how many requests must have failed in that time.
	outageFailures = 5
	// outageGap is the time without a failure after which counting begins anew: who comes
	// so late finds out for himself.
	outageGap = 3 * time.Minute
	// probePause is how often a host that is spared is tried.
	probePause = 30 * time.Second
)

// UnreachableError is a request that was not sent, because its host has not been reached
// for a while. Another attempt soon is in vain.
type UnreachableError struct {
	// For is how long the host has not been reached.
	For time.Duration
	// Err is what came of the last request to it.
	Err error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("not tried, out of reach for %s: %v", e.For.Round(time.Second), e.Err)
}

// Unwrap gives the cause of the last request.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Lasting tells package retry that another attempt is in vain.
func (e *UnreachableError) Lasting() bool { return true }

// breaker is the RoundTripper that spares hosts that are out of reach: without it each of
// ten thousand images would spend all its attempts on a host that drops packets, nearly a
// minute, sixteen at a time. It looks at connections only: whatever a server answers, it
// can be reached.
type breaker struct {
	host *host
	next http.RoundTripper
}

var _ http.RoundTripper = (*breaker)(nil)

// RoundTrip implements http.RoundTripper.
func (b *breaker) RoundTrip(req *http.Request) (*http.Response, error) {
	at := endpoint(req.URL.Scheme, req.URL.Host)
	circuits := &b.host.client.circuits
	if spared := circuits.spared(at); spared != nil {
		closeBody(req)
		return nil, &ConnectionError{
			Registry: b.host.registry, Host: req.URL.Host, Method: req.Method, URL: redact(req.URL), Err: spared,
		}
	}
	// A body comes from another host, whose errors look like this one's.
	relays := intentOf(req.Context()).stream && req.Body != nil
	resp, err := b.next.RoundTrip(req)
	switch {
	case err == nil:
		circuits.answered(at)
	case !relays && req.Context().Err() == nil && retry.Retryable(err):
		circuits.failed(at, err)
	}
	return resp, err
}

// circuits knows the hosts that have not been reached since they were last asked. The zero
// value is ready.
type circuits struct {
	mu    sync.Mutex
	hosts map[string]*circuit // by endpoint
}

// circuit counts the failures of one host since it was last reached.
type circuit struct {
	failures    int
	first, last time.Time
	tried       time.Time // when it was last tried although it is spared
	cause       error
}

// open reports whether the host is spared.
func (c *circuit) open() bool {
	return c.failures >= outageFailures && c.last.Sub(c.first) >= outage
}

// spared says why a host is not to be asked now, or nil. One request now and then may try.
func (c *circuits) spared(host string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.current(host)
	if at == nil || !at.open() {
		return nil
	}
	if time.Since(at.tried) >= probePause {
		at.tried = time.Now()
		return nil
	}
	return &UnreachableError{For: time.Since(at.first), Err: at.cause}
}

// answered forgets a host's failures.
func (c *circuits) answered(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.hosts, host)
}

// failed counts a failure.
func (c *circuits) failed(host string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	at := c.current(host)
	if at == nil {
		if c.hosts == nil {
			c.hosts = map[string]*circuit{}
		}
		at = &circuit{first: now}
		c.hosts[host] = at
	}
	at.failures++
	at.last, at.tried, at.cause = now, now, causeOf(err)
}

// current are the failures of a host, unless they are too old to tell anything; else nil.
// c.mu is held.
func (c *circuits) current(host string) *circuit {
	if at := c.hosts[host]; at != nil && time.Since(at.last) <= outageGap {
		return at
	}
	return nil
}

// causeOf is why a host was not reached, without the request that found it out.
func causeOf(err error) error {
	if e, ok := err.(*ConnectionError); ok { //nolint:errorlint // only the outermost names the request
		return e.Err
	}
	return err
}
