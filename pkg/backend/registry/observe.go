package registry

import (
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"
)

// observe is the RoundTripper that counts and logs requests, and says of those that got no
// answer where they went.
type observe struct {
	host *host
	next http.RoundTripper
}

var _ http.RoundTripper = (*observe)(nil)

// RoundTrip implements http.RoundTripper.
func (o *observe) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := o.next.RoundTrip(req)
	if !isNotTLS(err) { // which nobody got as a request
		o.host.client.counts.add(req.URL.Host)
	}
	err = explainTLS(req, err)
	o.log(req, resp, err, time.Since(began))
	if err != nil {
		return nil, &ConnectionError{
			Registry: o.host.registry, Host: req.URL.Host, Method: req.Method, URL: redact(req.URL), Err: err,
		}
	}
	return resp, nil
}

func (o *observe) log(req *http.Request, resp *http.Response, err error, took time.Duration) {
	logger := o.host.client.options.Logger
	if logger == nil || !logger.Enabled(req.Context(), slog.LevelDebug) {
		return
	}
	attributes := []slog.Attr{
		slog.String("method", req.Method), slog.String("url", redact(req.URL)), slog.Duration("took", took),
	}
	if err != nil {
		attributes = append(attributes, slog.Any("error", err))
	} else {
		attributes = append(attributes, slog.Int("status", resp.StatusCode), slog.Int64("length", resp.ContentLength))
	}
	logger.LogAttrs(req.Context(), slog.LevelDebug, "request", attributes...)
}

// counter counts by host. The zero value is ready.
type counter struct {
	mu sync.Mutex
	n  map[string]int64
}

func (c *counter) add(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int64{}
	}
	c.n[host]++
}

func (c *counter) read() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}
