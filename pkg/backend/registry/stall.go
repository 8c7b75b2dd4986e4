package registry

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

// waitingForAnswer is the phase in which the whole request is out.
const waitingForAnswer = "for an answer"

// StallError says that a peer was silent for too long while we waited for it. It is a
// timeout.
type StallError struct {
	// Phase is what we waited for: "to take a byte", waitingForAnswer, "for a byte".
	Phase string
	Limit time.Duration
}

func (e *StallError) Error() string {
	return "waited " + e.Limit.String() + " " + e.Phase
}

var _ net.Error = (*StallError)(nil)

// Timeout implements net.Error.
func (e *StallError) Timeout() bool { return true }

// Temporary implements net.Error.
func (e *StallError) Temporary() bool { return true }

// stall is the RoundTripper that ends requests whose peer is silent. Its clock runs while
// the peer has to take a byte or to send one, never while we wait for our own side.
type stall struct {
	limits limits
	next   http.RoundTripper
}

var _ http.RoundTripper = (*stall)(nil)

// RoundTrip implements http.RoundTripper.
func (s *stall) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	patience := max(intentOf(ctx).patience, s.limits.answer)
	sending := newClock(s.limits.stall, "to take a byte", cancel)
	answering := newClock(patience, waitingForAnswer, cancel)
	connecting := newClock(s.limits.connect, "for a connection", cancel)
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { answering.stop(); connecting.start() },
		GotConn:      func(httptrace.GotConnInfo) { connecting.stop() },
		WroteRequest: func(httptrace.WroteRequestInfo) { sending.stop(); answering.start() },
	})
	resp, err := s.next.RoundTrip(clocked(req.WithContext(traced), sending))
	for _, c := range []*clock{connecting, sending, answering} {
		c.end()
	}
	if err != nil {
		cause := stalled(ctx)
		cancel(nil)
		if cause != nil {
			return nil, cause
		}
		return nil, err
	}
	resp.Body = &receiving{
		body: resp.Body, clock: newClock(s.limits.stall, "for a byte", cancel), ctx: ctx, cancel: cancel,
	}
	return resp, nil
}

func stalled(ctx context.Context) error {
	if e, ok := errors.AsType[*StallError](context.Cause(ctx)); ok {
		return e
	}
	return nil
}

// clocked is req with a body that starts the clock when it has given something to send.
func clocked(req *http.Request, c *clock) *http.Request {
	if req.Body == nil || req.Body == http.NoBody {
		return req
	}
	req.Body = &sending{req.Body, c}
	if open := req.GetBody; open != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := open()
			if err != nil {
				return nil, err
			}
			return &sending{body, c}, nil
		}
	}
	return req
}

type sending struct {
	io.ReadCloser
	clock *clock
}

func (s *sending) Read(p []byte) (int, error) {
	s.clock.stop()
	n, err := s.ReadCloser.Read(p)
	if n > 0 {
		s.clock.start()
	}
	return n, err
}

type receiving struct {
	body   io.ReadCloser
	clock  *clock
	ctx    context.Context // of the request, to know why it ended
	cancel context.CancelCauseFunc
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
	r.cancel(nil)
	return err
}

// clock cancels a request when it was not stopped in time. It is born stopped.
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

// end stops the clock for good.
func (c *clock) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
	c.ended = true
}
