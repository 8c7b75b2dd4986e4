package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// lifetime is the RoundTripper that ends requests whose peer is silent, and requests whose caller has given up. A
// clock runs while the peer should receive or send a byte, but not while the client waits for its own source.
//
// A request that opens an upload goes on for a short time after its caller has given up: only the answer names the
// session, and without it the session would stay open. If a blob is not sent to its end, the connection is reset:
// after a mere close, the kernel would still send the megabytes that it has buffered, and over a slow link the
// upload could not be cancelled until then.
type lifetime struct {
	options *Options
	carry   func(*Request) (*http.Response, error)
}

var _ RoundTripper = (*lifetime)(nil)

// RoundTrip implements RoundTripper.
func (l *lifetime) RoundTrip(req *Request) (*http.Response, error) {
	caller := req.Context()
	if err := context.Cause(caller); err != nil {
		req.Drop()
		return nil, err
	}
	// The transport's context ends only after the connection is set to be reset.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(caller))
	used := &connection{}
	stop := context.AfterFunc(caller, func() {
		if req.Opens {
			time.AfterFunc(l.options.Limits.Linger, func() { cancel(context.Cause(caller)) })
			return
		}
		used.reset()
		cancel(context.Cause(caller))
	})
	end := func() {
		stop()
		cancel(nil)
	}
	silent := func(cause error) {
		used.reset()
		cancel(cause)
	}
	limits := l.options.Limits
	sending := newClock(limits.Stall, "to take a byte", silent)
	answering := newClock(max(req.Patience, limits.Answer), AwaitingAnswer, silent)
	connecting := newClock(limits.Connect, "for a connection", silent)
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { answering.stop(); connecting.start() },
		GotConn:      func(got httptrace.GotConnInfo) { connecting.stop(); used.set(got.Conn, req) },
		WroteRequest: func(httptrace.WroteRequestInfo) { sending.stop(); answering.start() },
	})
	limited := &Request{Request: req.Clone(traced), Traits: req.Traits}
	limited.Header.Set("User-Agent", l.options.UserAgent)
	// http.Transport repeats a GET or a HEAD if the server has just closed the connection and no byte of an answer
	// has arrived. An empty idempotency key, which is not sent, makes it repeat other requests too, if they have no
	// body or GetBody.
	limited.Header["X-Idempotency-Key"] = []string{}
	watchBody(limited, sending, used)
	resp, err := l.carry(limited)
	req.sent = limited.sent
	for _, c := range []*clock{connecting, sending, answering} {
		c.end()
	}
	if err != nil {
		cause := stalled(ctx)
		end()
		if cause != nil {
			return nil, cause
		}
		return nil, err
	}
	resp.Body = &receiving{body: resp.Body, clock: newClock(limits.Stall, "for a byte", cancel), ctx: ctx, end: end}
	return resp, nil
}

func stalled(ctx context.Context) error {
	if e, ok := errors.AsType[*StallError](context.Cause(ctx)); ok {
		return e
	}
	return nil
}

// watchBody makes the body of req start the clock when it has returned bytes to send, and reset the connection when
// reading it fails.
func watchBody(req *Request, c *clock, used *connection) {
	if req.Body == nil || req.Body == http.NoBody {
		return
	}
	req.Body = &sending{req.Body, c, used}
	if open := req.GetBody; open != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := open()
			if err != nil {
				return nil, err
			}
			return &sending{body, c, used}, nil
		}
	}
}

// sending is the body of a request.
type sending struct {
	io.ReadCloser
	clock *clock
	used  *connection
}

func (s *sending) Read(p []byte) (int, error) {
	s.clock.stop()
	n, err := s.ReadCloser.Read(p)
	if n > 0 {
		s.clock.start()
	}
	if err != nil && err != io.EOF {
		s.used.reset()
	}
	return n, err
}

// receiving is the body of an answer.
type receiving struct {
	body  io.ReadCloser
	clock *clock
	ctx   context.Context // of the request, to know why it ended
	end   func()
}

func (r *receiving) Read(p []byte) (int, error) {
	r.clock.start()
	n, err := r.body.Read(p)
	r.clock.stop()
	if err != nil && err != io.EOF {
		if cause := stalled(r.ctx); cause != nil {
			return n, cause
		}
	}
	return n, err
}

func (r *receiving) Close() error {
	r.clock.end()
	err := r.body.Close()
	r.end()
	return err
}

// connection is the connection of a request with a blob.
type connection struct {
	mu   sync.Mutex
	conn net.Conn // nil until there is one, and for requests without a blob
}

func (c *connection) set(conn net.Conn, req *Request) {
	if _, blob := req.Body.(*cursor); !blob {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
}

// reset makes Close discard the unsent bytes of the connection, which is about to be closed.
func (c *connection) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := c.conn
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if plain, ok := conn.(*net.TCPConn); ok {
		_ = plain.SetLinger(0) // if this fails, the connection is closed normally
	}
}

// clock cancels a request if it is not stopped in time. A new clock is stopped.
type clock struct {
	limit time.Duration
	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

func newClock(limit time.Duration, phase string, cancel context.CancelCauseFunc) *clock {
	c := &clock{limit: limit}
	c.timer = time.AfterFunc(limit, func() { cancel(&StallError{phase, limit}) })
	c.timer.Stop()
	return c
}

func (c *clock) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.timer.Reset(c.limit)
	}
}

func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
}

// end stops the clock permanently.
func (c *clock) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
	c.ended = true
}
