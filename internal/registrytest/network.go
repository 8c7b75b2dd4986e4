package registrytest

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Network is an in-memory network for registries and clients in one testing/synctest bubble: a goroutine that waits
// for a byte of it is durably blocked.
type Network struct {
	mu    sync.Mutex
	hosts map[string]*listener
	open  atomic.Int64
}

// Open returns the number of connections that clients have not closed yet.
func (n *Network) Open() int { return int(n.open.Load()) }

// Dial connects to a server of the network. It has the signature of net.Dialer's DialContext. An unknown host
// refuses the connection.
func (n *Network) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.hosts[name]
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: hostAddr(address), Err: syscall.ECONNREFUSED}
	}
	ours, theirs := pipe()
	select {
	case l.dialled <- theirs:
		n.open.Add(1)
		ours.ended = sync.OnceFunc(func() { n.open.Add(-1) })
		return ours, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: hostAddr(address), Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (n *Network) listen(name string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts == nil {
		n.hosts = map[string]*listener{}
	}
	l := &listener{name: name, dialled: make(chan net.Conn), closed: make(chan struct{})}
	n.hosts[name] = l
	return l
}

type listener struct {
	name    string
	dialled chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

var _ net.Listener = (*listener)(nil)

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.dialled:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return hostAddr(l.name) }

// hostAddr is the address of a host: its name.
type hostAddr string

var _ net.Addr = hostAddr("")

// Network implements net.Addr.
func (hostAddr) Network() string { return "tcp" }

func (a hostAddr) String() string { return strings.TrimSuffix(string(a), ":80") }

// pipe returns the two ends of a connection.
func pipe() (ours, theirs *end) {
	a, b := net.Pipe()
	first, second := &ending{}, &ending{}
	return &end{Conn: a, own: first, peer: second}, &end{Conn: b, own: second, peer: first}
}

// ending records how one end of a connection was closed.
type ending struct{ reset, closed atomic.Bool }

// end is one end of a pipe, with the errors of TCP.
type end struct {
	net.Conn
	own, peer *ending
	ended     func() // called by the first Close; nil if nothing counts it
}

// SetLinger with zero makes Close reset the connection, as for a net.TCPConn.
func (e *end) SetLinger(seconds int) error {
	e.own.reset.Store(seconds == 0)
	return nil
}

// Close implements net.Conn.
func (e *end) Close() error {
	if e.own.closed.Store(true); e.ended != nil {
		e.ended()
	}
	return e.Conn.Close()
}

// Read implements net.Conn.
func (e *end) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	return n, e.failure("read", err, io.EOF)
}

// Write implements net.Conn.
func (e *end) Write(p []byte) (int, error) {
	n, err := e.Conn.Write(p)
	return n, e.failure("write", err, syscall.EPIPE)
}

// failure returns the error of TCP that corresponds to err. afterEnd is the one for a close without a reset.
func (e *end) failure(op string, err, afterEnd error) error {
	switch {
	case err == nil, !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe):
		return err
	case e.peer.reset.Load() && e.peer.closed.Load():
		return &net.OpError{Op: op, Net: "tcp", Err: syscall.ECONNRESET}
	case e.own.closed.Load():
		return &net.OpError{Op: op, Net: "tcp", Err: net.ErrClosed}
	case afterEnd == io.EOF: //nolint:errorlint // readers compare with io.EOF itself
		return io.EOF
	}
	return &net.OpError{Op: op, Net: "tcp", Err: afterEnd}
}
