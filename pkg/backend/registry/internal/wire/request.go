package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
)

// Request is an HTTP request with its Traits. It is used once.
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

// roundTrip sends one request, as the RoundTrip of an http.RoundTripper does.
type roundTrip func(req *Request) (*http.Response, error)

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

// rewindable is how many bytes at the beginning of a body can be sent again on another connection, if the first one
// turns out to be closed.
const rewindable = 32 << 10

// Body is a blob, or a part of one, as the body of a request. It has a length, its beginning can be sent again, and
// it does not read its source after Close has returned.
type Body struct {
	size int64

	mu     sync.Mutex // guards the fields below; held while the stream is read
	stream *content.Stream
	source io.Reader // the stream, up to the end of this body
	head   []byte    // the first bytes
	read   int64     // bytes read from the stream
	closed bool
}

// NewBody creates a body of the next size bytes of s.
func NewBody(s *content.Stream, size int64) *Body {
	b := &Body{size: size, stream: s, source: s}
	if s.Offset()+size < s.Descriptor().Size { // else the stream checks its end itself
		b.source = io.LimitReader(s, size)
	}
	return b
}

// Size returns the number of bytes in the body.
func (b *Body) Size() int64 { return b.size }

// Prefetch reads the first bytes. It reads a small body to its end, so that no request is sent for a corrupt one.
func (b *Body) Prefetch() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	head := make([]byte, min(b.size, rewindable)+1) // one more byte, to detect the end
	n, _ := io.ReadFull(b.source, head)
	b.head, b.read = head[:n], int64(n)
	return b.stream.Err()
}

// Attach makes b the body of req.
func (b *Body) Attach(req *Request) {
	if req.ContentLength = b.size; b.size == 0 {
		req.Body = http.NoBody // else net/http probes for a length
		return
	}
	req.Body = &cursor{body: b}
	req.GetBody = b.reopen
}

// errSpent reports a connection that broke too late for the body to be sent again.
var errSpent = fmt.Errorf("the connection was closed while the body was sent: %w", syscall.ECONNRESET)

var errClosed = errors.New("the upload has ended")

func (b *Body) reopen() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.read > int64(len(b.head)) {
		return nil, errSpent
	}
	return &cursor{body: b}, nil
}

// Close waits until the body no longer reads its stream.
func (b *Body) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

// Err returns why the stream ended early, or nil if it did not.
func (b *Body) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stream.Err()
}

// Sent reports whether all bytes have been read from the body.
func (b *Body) Sent() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read == b.size
}

// cursor reads the body once. A second cursor starts again with the bytes of the head.
type cursor struct {
	body *Body
	at   int64
}

func (c *cursor) Read(p []byte) (int, error) {
	b := c.body
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, errClosed
	case c.at < int64(len(b.head)):
		n := copy(p, b.head[c.at:])
		c.at += int64(n)
		return n, nil
	case c.at != b.read:
		return 0, errSpent
	}
	n, err := b.source.Read(p)
	c.at += int64(n)
	b.read += int64(n)
	return n, err
}

// Close does not close the source, which belongs to the caller.
func (c *cursor) Close() error { return nil }
