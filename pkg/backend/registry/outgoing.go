package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"syscall"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

const (
	// heldBack is how many bytes at the end of a blob are sent only when all are known to
	// be right.
	heldBack = 32 << 10
	// rewindable is how many bytes at the beginning of a body can be sent again, on another
	// connection, when the first turns out to be closed.
	rewindable = 64 << 10
)

// outgoing is the body of an upload: the bytes of a blob from an offset on. It checks them,
// and ends with an error instead of the last ones if they are not right.
type outgoing struct {
	want     content.Descriptor
	digester digest.Digester // nil where the caller vouches for the bytes
	size     int64           // of this body

	mu     sync.Mutex // guards all below; held while the source is read
	source io.Reader
	taken  int64  // from the source
	head   []byte // the first bytes, while no more than rewindable were taken
	tail   []byte // the last bytes, when all are right
	err    error  // why there are no more
	closed bool
}

// newOutgoing is the body from offset on. Those from the beginning are checked by digest.
func newOutgoing(r io.Reader, d content.Descriptor, offset int64) *outgoing {
	o := &outgoing{want: d, source: r, size: d.Size - offset}
	if offset == 0 {
		o.digester = d.Digest.Algorithm().Digester()
	}
	return o
}

// prefetch reads a small body, so that nothing is sent of one that is wrong.
func (o *outgoing) prefetch() error {
	if o.size > rewindable {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	raw := make([]byte, o.size)
	if o.fill(raw) {
		o.head = raw
	}
	return o.err
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

// close returns when the source is not read any more.
func (o *outgoing) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

// failure is why the body ended early; nil if it did not.
func (o *outgoing) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// given reports whether all bytes were handed out.
func (o *outgoing) given() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err == nil && o.taken == o.size
}

// next hands out what follows the taken bytes. It is called with o.mu.
func (o *outgoing) next(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	left := o.size - o.taken
	if left == 0 {
		return 0, io.EOF
	}
	if free := left - heldBack; free > 0 {
		n, err := o.source.Read(p[:min(int64(len(p)), free)])
		o.take(p[:n])
		if err != nil {
			o.err = o.broken(err)
		}
		return n, o.err
	}
	if o.tail == nil {
		tail := make([]byte, left)
		if !o.fill(tail) {
			return 0, o.err
		}
		o.tail, o.taken = tail, o.taken-left
	}
	n := copy(p, o.tail[int64(len(o.tail))-left:])
	o.keep(p[:n])
	o.taken += int64(n)
	return n, nil
}

// fill reads the end of the body into p and checks all. It is called with o.mu.
func (o *outgoing) fill(p []byte) bool {
	n, err := io.ReadFull(o.source, p)
	if o.digester != nil {
		_, _ = o.digester.Hash().Write(p[:n])
	}
	o.taken += int64(n)
	if err != nil {
		o.err = o.broken(err)
		return false
	}
	o.err = o.verdict()
	return o.err == nil
}

// take counts and hashes what was read.
func (o *outgoing) take(p []byte) {
	if o.digester != nil {
		_, _ = o.digester.Hash().Write(p)
	}
	o.keep(p)
	o.taken += int64(len(p))
}

// keep remembers the first bytes.
func (o *outgoing) keep(p []byte) {
	if o.taken == int64(len(o.head)) && o.taken+int64(len(p)) <= rewindable {
		o.head = append(o.head, p...)
	}
}

// broken is the source's error; one that just ends is too short.
func (o *outgoing) broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &content.MismatchError{Want: o.want, GotSize: o.want.Size - o.size + o.taken}
	}
	return err
}

// verdict asks the source for its end, and the sum for the truth.
func (o *outgoing) verdict() error {
	var more [1]byte
	switch n, err := io.ReadFull(o.source, more[:]); {
	case n > 0:
		return &content.MismatchError{Want: o.want, GotSize: o.want.Size + 1}
	case err != io.EOF:
		return err
	}
	if o.digester == nil {
		return nil
	}
	if got := o.digester.Digest(); got != o.want.Digest {
		return &content.MismatchError{Want: o.want, GotSize: o.want.Size, GotDigest: got}
	}
	return nil
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
	n, err := o.next(p)
	c.at += int64(n)
	return n, err
}

// Close leaves the source to whoever opened it.
func (c *cursor) Close() error { return nil }
