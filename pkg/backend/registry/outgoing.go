package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"syscall"

	"github.com/regsync/regsync/pkg/content"
)

// rewindable is how many bytes at the beginning of a body can be sent again, on another
// connection, when the first turns out to be closed.
const rewindable = 64 << 10

// outgoing is the body of an upload for net/http: it has a length, its beginning can be sent
// again, and it does not read its source after close returned.
type outgoing struct {
	size int64 // of this body
	last bool  // the blob ends with it

	mu     sync.Mutex // guards all below; held while the stream is read
	stream *content.Stream
	source io.Reader // the stream, up to the end of this body
	head   []byte    // the first bytes
	taken  int64     // from the stream
	closed bool
}

// newOutgoing creates a body of the next size bytes of s.
func newOutgoing(s *content.Stream, size int64) *outgoing {
	o := &outgoing{size: size, last: s.Offset()+size == s.Descriptor().Size, stream: s, source: s}
	if !o.last { // else the stream's own end is the one that counts
		o.source = io.LimitReader(s, size)
	}
	return o
}

// prefetch reads the first bytes. A small body is read to its end, so that there is no request
// for one that is wrong.
func (o *outgoing) prefetch() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	head := make([]byte, min(o.size, rewindable)+1) // one more, for the end
	n, _ := io.ReadFull(o.source, head)
	o.head, o.taken = head[:n], int64(n)
	return o.stream.Err()
}

// attach makes o the body of req.
func (o *outgoing) attach(req *http.Request) {
	if req.ContentLength = o.size; o.size == 0 {
		req.Body = http.NoBody // else net/http probes for a length
		return
	}
	req.Body = &cursor{body: o}
	req.GetBody = o.reopen
}

// errSpent is a connection that broke too late for the body to be sent again.
var errSpent = fmt.Errorf("the connection was closed while the body was sent: %w", syscall.ECONNRESET)

var errClosed = errors.New("the upload is over")

func (o *outgoing) reopen() (io.ReadCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.taken > int64(len(o.head)) {
		return nil, errSpent
	}
	return &cursor{body: o}, nil
}

// close waits until the stream is no longer read.
func (o *outgoing) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

// failure is why the body ended early; nil if it did not.
func (o *outgoing) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stream.Err()
}

// given reports whether all bytes were handed out.
func (o *outgoing) given() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.taken == o.size
}

// cursor is one reading of the body: a second one begins again with the bytes of the head.
type cursor struct {
	body *outgoing
	at   int64
}

func (c *cursor) Read(p []byte) (int, error) {
	o := c.body
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return 0, errClosed
	case c.at < int64(len(o.head)):
		n := copy(p, o.head[c.at:])
		c.at += int64(n)
		return n, nil
	case c.at != o.taken:
		return 0, errSpent
	}
	n, err := o.source.Read(p)
	c.at += int64(n)
	o.taken += int64(n)
	return n, err
}

// Close leaves the source to whoever opened it.
func (c *cursor) Close() error { return nil }
