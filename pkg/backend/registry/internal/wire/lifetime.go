package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// lifetime ends requests whose peer is silent or too slow, and requests whose caller has given up. A clock runs while the
// peer should receive or send a byte, but not while the client waits for its own source.
//
// A request that opens an upload goes on for a short time after its caller has given up: only the answer names the
// session, and without it the session would stay open. If a blob is not sent to its end, the connection is reset:
// after a mere close, the kernel would still send the megabytes that it has buffered, and over a slow link the
// upload could not be cancelled until then.
//
// It also enforces the bandwidth of the registry, for redirect targets too.
type lifetime struct {
	host  *Host
	carry roundTrip
}

func (l *lifetime) send(req *Request) (*http.Response, error) {
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
			time.AfterFunc(l.host.options.Limits.Linger, func() { cancel(context.Cause(caller)) })
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
	limits := l.host.options.Limits
	sending := newClock(limits.Stall, "to send data", silent)
	answering := newClock(max(req.Patience, limits.Answer), AwaitingAnswer, silent)
	connecting := newClock(limits.Connect, "for a connection", silent)
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { answering.stop(); connecting.start() },
		GotConn:      func(got httptrace.GotConnInfo) { connecting.stop(); used.set(got.Conn, req) },
		WroteRequest: func(httptrace.WroteRequestInfo) { sending.stop(); answering.start() },
	})
	limited := &Request{Request: req.Clone(traced), Traits: req.Traits}
	limited.Header.Set("User-Agent", l.host.options.UserAgent)
	// http.Transport repeats a GET or a HEAD if the server has just closed the connection and no byte of an answer
	// has arrived. An empty idempotency key, which is not sent, makes it repeat other requests too, if they have no
	// body or GetBody.
	limited.Header["X-Idempotency-Key"] = []string{}
	l.watchBody(limited, &rateMonitor{clock: sending, limits: limits, direction: "sent", end: silent}, used)
	resp, err := l.carry(limited)
	req.sent = limited.sent
	for _, c := range []*clock{connecting, sending, answering} {
		c.end()
	}
	if err != nil {
		cause := tooSlow(ctx)
		end()
		if cause != nil {
			return nil, cause
		}
		return nil, err
	}
	arriving := &rateMonitor{clock: newClock(limits.Stall, "for data", cancel), limits: limits, direction: "received", end: cancel}
	resp.Body = &receiving{body: resp.Body, monitor: arriving, ctx: ctx, end: end, wait: l.waiting(ctx), piece: l.piece}
	return resp, nil
}

// tooSlow returns the [StallError] or the [RateError] that ended a request; nil if none did.
func tooSlow(ctx context.Context) error {
	cause := context.Cause(ctx)
	if e, ok := errors.AsType[*StallError](cause); ok {
		return e
	}
	if e, ok := errors.AsType[*RateError](cause); ok {
		return e
	}
	return nil
}

// watchBody makes the body of req start the clock when it has returned bytes to send, and reset the connection when
// reading it fails.
func (l *lifetime) watchBody(req *Request, monitor *rateMonitor, used *connection) {
	if req.Body == nil || req.Body == http.NoBody {
		return
	}
	wait := l.waiting(req.Context())
	req.Body = &sending{ReadCloser: req.Body, monitor: monitor, used: used, wait: wait}
	if open := req.GetBody; open != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := open()
			if err != nil {
				return nil, err
			}
			return &sending{ReadCloser: body, monitor: monitor, used: used, wait: wait}, nil
		}
	}
}

// waiting returns a function that waits for the bandwidth of the registry.
func (l *lifetime) waiting(ctx context.Context) func(n int) error {
	return func(n int) error { return l.host.options.Limiter.WaitBytes(ctx, l.host.registry, n) }
}

func (l *lifetime) piece() int { return l.host.options.Limiter.Piece(l.host.registry) }

// sending is the body of a request.
type sending struct {
	io.ReadCloser
	monitor *rateMonitor
	used    *connection
	out     int               // bytes of the last Read, which the peer has to receive
	wait    func(n int) error // until n bytes may be sent
}

func (s *sending) Read(p []byte) (int, error) {
	if err := s.monitor.stop(s.out); err != nil {
		return 0, err
	}
	n, err := s.ReadCloser.Read(p)
	if late := s.wait(n); late != nil && err == nil {
		err = late
	}
	if s.out = n; n > 0 {
		s.monitor.start()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.used.reset()
	}
	return n, err
}

// receiving is the body of an answer.
type receiving struct {
	body    io.ReadCloser
	monitor *rateMonitor
	ctx     context.Context // of the request, to know why it ended
	end     func()
	wait    func(n int) error // until the bandwidth allows n bytes that were received
	// piece is how many bytes to read at once; zero is as many as there are.
	piece func() int
}

func (r *receiving) Read(p []byte) (int, error) {
	if most := r.piece(); most > 0 && most < len(p) { // readers above have clocks of their own
		p = p[:most]
	}
	r.monitor.start()
	n, err := r.body.Read(p)
	slow := r.monitor.stop(n)
	late := r.wait(n)
	switch {
	case errors.Is(err, io.EOF):
		return n, err
	case err == nil:
		err = late
	case errors.Is(err, errTrailerCut()):
		err = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	if err != nil {
		slow = tooSlow(r.ctx)
	}
	if slow != nil {
		return n, slow
	}
	return n, err
}

// errTrailerCut returns the error of net/http for a body that ends within its trailer. It is the only one for a body that
// is cut which is neither exported nor an [io.ErrUnexpectedEOF].
var errTrailerCut = sync.OnceValue(func() error {
	cut := bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"))
	resp, err := http.ReadResponse(cut, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
})

func (r *receiving) Close() error {
	r.monitor.clock.end()
	err := r.body.Close()
	r.end()
	return err
}

// rateMonitor ends a request whose peer receives or sends bytes more slowly than the minimum rate. It measures spans of
// [Limits.RateSpan], and only the time in which the peer should receive or send. Its clock ends silent requests.
type rateMonitor struct {
	clock     *clock
	limits    Limits
	direction string
	end       context.CancelCauseFunc

	mu    sync.Mutex // net/http may read a body on two goroutines, one after the other
	began time.Time
	spent time.Duration // of the current span
	moved int64         // bytes in it
}

func (m *rateMonitor) start() {
	m.mu.Lock()
	m.began = time.Now()
	m.mu.Unlock()
	m.clock.start()
}

// stop counts n bytes. It returns a [RateError] if the span is over and has had too few.
func (m *rateMonitor) stop(n int) error {
	m.clock.stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.began.IsZero() {
		return nil
	}
	m.spent += time.Since(m.began)
	m.moved += int64(n)
	m.began = time.Time{}
	if m.limits.RateSpan == 0 || m.spent < m.limits.RateSpan {
		return nil
	}
	if float64(m.moved) < float64(m.limits.Rate)*m.spent.Seconds() {
		err := &RateError{Direction: m.direction, Bytes: m.moved, Waited: m.spent.Round(time.Second)}
		m.end(err)
		return err
	}
	m.spent, m.moved = 0, 0
	return nil
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
