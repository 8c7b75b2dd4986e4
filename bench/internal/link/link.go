// Package link simulates the line to a registry, in user space and at the level of TCP, and counts what passes. Start
// with Start: it listens, and every connection to it is relayed to one upstream address.
//
// What it simulates: bytes arrive half a round trip after they were sent, a new connection costs one round trip before its
// first byte is sent, and each direction has a rate for each connection and one that all connections of the link share. Each
// direction of a connection holds at most the bytes that are on their way at full rate (the bandwidth-delay product) and
// a little more, so that a receiver that does not read stops the sender.
//
// What it does not simulate: loss, slow start and congestion control (a connection has its full rate from the first byte),
// jitter, reordering, packets and their headers, name resolution, the time that a busy server takes to answer, and limits of
// the path between the two registries. A TLS handshake costs the round trips that its messages need, and the processor time of
// both ends; a handshake with another number of messages is not simulated. Timers are about one millisecond late on an idle machine, and
// later on a busy one.
//
// Without a round trip and rates it only counts: bodies then pass from socket to socket within the kernel (splice).
package link

import (
	"context"
	"errors"
	"maps"
	"net"
	"sync"
	"time"
)

// Conditions are what a link is like. Without any it is as fast as the machine.
type Conditions struct {
	RoundTrip time.Duration
	// PerConnection and Total are bytes per second in each direction, 0 if unlimited: of one connection, and
	// of all connections of the link together.
	PerConnection int64
	Total         int64
}

// Options are what a link does beside relaying bytes.
type Options struct {
	// Opaque: the bytes are encrypted, so that requests and bodies cannot be counted.
	Opaque bool
	// RefuseMounts makes the registry answer each mount of a blob as one that does not support mounts.
	RefuseMounts bool
}

// Counts are what passed over a link.
type Counts struct {
	Requests map[string]int // by method
	// BodiesUp and BodiesDown are the bytes of the bodies of requests and of answers, without their framing; all bytes if
	// they are opaque.
	BodiesUp, BodiesDown int64
	// BytesUp and BytesDown are all bytes on the connections: bodies, headers, TLS.
	BytesUp, BytesDown int64
	Connections        int
	MostConnections    int // that were open at one time
}

// Link is one link. All methods may be called concurrently.
type Link struct {
	// Host is where it listens.
	Host string

	upstream string
	options  Options
	listener net.Listener
	relays   sync.WaitGroup

	mu         sync.Mutex
	conditions Conditions
	up, down   *pacer // of all connections
	counts     Counts
	open       map[net.Conn]bool // connections of clients
	closed     bool
}

// Start starts a link to upstream, a host and port, on a listener, which Close closes.
func Start(listener net.Listener, upstream string, options Options) *Link {
	l := &Link{
		Host: listener.Addr().String(), upstream: upstream, options: options, listener: listener,
		up: &pacer{}, down: &pacer{},
		counts: Counts{Requests: map[string]int{}}, open: map[net.Conn]bool{},
	}
	l.relays.Go(l.accept)
	return l
}

// Set changes the conditions for connections that are made from now on.
func (l *Link) Set(c Conditions) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conditions, l.up, l.down = c, &pacer{rate: c.Total}, &pacer{rate: c.Total}
}

// Take returns what has passed since it was last called.
func (l *Link) Take() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.counts
	taken.Requests = maps.Clone(taken.Requests)
	l.counts = Counts{Requests: map[string]int{}, MostConnections: len(l.open)}
	return taken
}

// Close breaks all connections and waits until nothing is relayed any more.
func (l *Link) Close() {
	l.listener.Close()
	l.mu.Lock()
	l.closed = true
	for client := range l.open {
		client.Close()
	}
	l.mu.Unlock()
	l.relays.Wait()
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // too many open files, for example
			time.Sleep(10 * time.Millisecond)
			continue
		}
		l.relays.Go(func() { l.serve(client) })
	}
}

func (l *Link) serve(client net.Conn) {
	defer client.Close()
	conditions, up, down, ok := l.begin(client)
	if !ok {
		return
	}
	defer l.end(client)
	var dialer net.Dialer
	server, err := dialer.DialContext(context.Background(), "tcp", l.upstream) // loopback: it answers or refuses at once
	if err != nil {
		return
	}
	defer server.Close()

	countUp, countDown := l.counter(&l.counts.BytesUp, &l.counts.BodiesUp), l.counter(&l.counts.BytesDown, &l.counts.BodiesDown)
	toServer := &relay{from: client, to: server, count: countUp, link: up, conditions: conditions}
	toClient := &relay{from: server, to: client, count: countDown, link: down, conditions: conditions}
	if !l.options.Opaque {
		asked := make(methods, 1000)
		toServer.message = &message{start: asked.startRequest(l.countRequest)}
		toClient.message = &message{start: asked.startAnswer}
		toServer.refuseMounts = l.options.RefuseMounts
	}
	// Whatever breaks one direction breaks the other: closing both ends the reads and writes of both.
	abort := func() { client.Close(); server.Close() }
	var other sync.WaitGroup
	other.Go(func() { toClient.run(abort) })
	toServer.run(abort)
	other.Wait()
}

func (l *Link) begin(client net.Conn) (c Conditions, up, down *pacer, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return Conditions{}, nil, nil, false
	}
	l.open[client] = true
	l.counts.Connections++
	l.counts.MostConnections = max(l.counts.MostConnections, len(l.open))
	return l.conditions, l.up, l.down, true
}

func (l *Link) end(client net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, client)
}

func (l *Link) countRequest(method string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Requests[method]++
}

// counter returns a function that adds to a count of bytes, and to one of bytes of bodies.
func (l *Link) counter(bytes, bodies *int64) func(n, body int64) {
	return func(n, body int64) {
		l.mu.Lock()
		defer l.mu.Unlock()
		*bytes += n
		*bodies += body
	}
}
