package registrytest

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Network is a network in memory, for registries and clients in one bubble of testing/synctest: what
// waits for a byte there waits in the eyes of synctest, too.
type Network struct {
	mu    sync.Mutex
	hosts map[string]*listener
	asked []string
	open  atomic.Int64
}

// Dialled are the hosts that clients have tried to connect to, in the order of the first attempts.
func (n *Network) Dialled() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.asked)
}

// Open is how many connections clients have not closed yet.
func (n *Network) Open() int { return int(n.open.Load()) }

// Dial connects to a server of the network. Its signature is that of net.Dialer's DialContext; a host
// that is not there refuses the connection.
func (n *Network) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.hosts[name]
	if !slices.Contains(n.asked, name) {
		n.asked = append(n.asked, name)
	}
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

// hostAddr is the address of a host, by its name.
type hostAddr string

var _ net.Addr = hostAddr("")

// Network implements net.Addr.
func (hostAddr) Network() string { return "tcp" }

func (a hostAddr) String() string { return strings.TrimSuffix(string(a), ":80") }

// pipe is a connection: its two ends.
func pipe() (ours, theirs *end) {
	a, b := net.Pipe()
	first, second := &ending{}, &ending{}
	return &end{Conn: a, own: first, peer: second}, &end{Conn: b, own: second, peer: first}
}

// ending is how an end of a connection was closed.
type ending struct{ reset, closed atomic.Bool }

// end is one end of a pipe, with the errors of TCP.
type end struct {
	net.Conn
	own, peer *ending
	ended     func() // called by the first Close; nil if nothing counts it
}

// SetLinger with zero makes Close reset the connection, as that of net.TCPConn does.
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

// failure is what TCP says instead of err. afterEnd is what it says after a close without a reset.
func (e *end) failure(op string, err, afterEnd error) error {
	switch {
	case err == nil, !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe):
		return err
	case e.peer.reset.Load() && e.peer.closed.Load():
		return &net.OpError{Op: op, Net: "tcp", Err: syscall.ECONNRESET}
	case e.own.closed.Load():
		return &net.OpError{Op: op, Net: "tcp", Err: net.ErrClosed}
	case afterEnd == io.EOF: //nolint:errorlint // the very value, which readers compare with
		return io.EOF
	}
	return &net.OpError{Op: op, Net: "tcp", Err: afterEnd}
}
