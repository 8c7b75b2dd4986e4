package wire

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/regsync/regsync/pkg/limit"
)

// Request is an HTTP request with the Traits that the RoundTrippers need. It is used once.
type Request struct {
	*http.Request
	Traits
	sent *url.URL // the URL that was requested, if route changed the scheme
}

// target returns the URL that was requested.
func (r *Request) target() *url.URL {
	if r.sent != nil {
		return r.sent
	}
	return r.URL
}

// Traits describe the purpose of a request.
type Traits struct {
	// Account is the account whose limits apply at the registry.
	Account string
	// Class is the limiter's class of the request.
	Class limit.Class
	// Item is the item for which failures are counted; the path of the URL if empty.
	Item string
	// Secrets are those in the body. The body is sent to no other endpoint, whatever the answer is.
	Secrets []string
	// Opens: the answer names an upload session.
	Opens bool
	// Patience is the time to wait for the answer, if it is longer than Limits.Answer.
	Patience time.Duration
}

// RoundTripper sends one request, as http.RoundTripper does.
type RoundTripper interface {
	RoundTrip(req *Request) (*http.Response, error)
}

// NewRequest creates a request without a body. If ctx has ended, it returns the cause.
func NewRequest(ctx context.Context, method string, u *url.URL, header http.Header, traits Traits) (*Request, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header.Clone()
	}
	return &Request{Request: req, Traits: traits}, nil
}

// SetBytes sets a small body.
func (r *Request) SetBytes(raw []byte) {
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }
	r.Body, _ = open()
	r.GetBody, r.ContentLength = open, int64(len(raw))
}

// Rewind returns r with its body from the start, and false if that is not possible.
func (r *Request) Rewind() (*Request, bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, true
	}
	if r.GetBody == nil {
		return nil, false
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, false
	}
	again := r.Clone(r.Context())
	again.Body = body
	return &Request{Request: again, Traits: r.Traits}, true
}

// With returns a copy of r with another header field.
func (r *Request) With(key, value string) *Request {
	changed := r.Clone(r.Context())
	changed.Header.Set(key, value)
	return &Request{Request: changed, Traits: r.Traits}
}

// Drop ends a request that is not sent.
func (r *Request) Drop() {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}
