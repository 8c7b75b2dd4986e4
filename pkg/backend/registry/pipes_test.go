package registry

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// pipes is a network in memory. Whoever waits for a byte there waits in the eyes of
// synctest, too, so that a test has all the time it needs.
type pipes struct {
	dialled chan net.Conn
	closed  chan struct{}
	closing sync.Once
}

var _ net.Listener = (*pipes)(nil)

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.dialled <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialled:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.closing.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// bubbled opens team/app at a server behind pipes, with the patience of a real run.
func bubbled(t *testing.T, handler http.Handler, options ...func(*Options)) (*Repository, *tally) {
	t.Helper()
	seen := &tally{}
	network := &pipes{dialled: make(chan net.Conn), closed: make(chan struct{})}
	server := &httptest.Server{Listener: network, Config: &http.Server{Handler: seen.around(handler)}}
	server.Start()
	t.Cleanup(server.Close)
	all := Options{Retry: quick(), Hosts: hosts(HostConfig{TLS: TLSDisabled})}
	for _, change := range options {
		change(&all)
	}
	c := newClient(t, all)
	c.limits, c.wire.Transport = defaultLimits(), &http.Transport{DialContext: network.dial}
	return target(t, c, "registry.example", "team/app"), seen
}
