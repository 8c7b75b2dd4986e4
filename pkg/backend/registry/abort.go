package registry

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
)

// abort is the RoundTripper that resets the connection of a blob that is not sent to its
// end. Merely closed, the kernel would send on what it has taken, some megabytes for each,
// and over a slow link the upload could not be given up for as long as that takes.
type abort struct{ next http.RoundTripper }

var _ http.RoundTripper = (*abort)(nil)

// RoundTrip implements http.RoundTripper.
func (a *abort) RoundTrip(req *http.Request) (*http.Response, error) {
	caller := req.Context()
	if !intentOf(caller).stream || req.Body == nil || req.Body == http.NoBody {
		return a.next.RoundTrip(req)
	}
	// The transport learns of the end after the connection has been prepared for it.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(caller))
	used := &resettable{}
	stop := context.AfterFunc(caller, func() {
		used.reset()
		cancel(context.Cause(caller))
	})
	end := func() {
		stop()
		cancel(nil)
	}
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) { used.set(got.Conn) },
	})
	resp, err := a.next.RoundTrip(aborting(req.WithContext(traced), used))
	if err != nil {
		end()
		return nil, err
	}
	resp.Body = &releasing{resp.Body, end}
	return resp, nil
}

// aborting is req with bodies that reset the connection when they break.
func aborting(req *http.Request, used *resettable) *http.Request {
	req.Body = &breaking{req.Body, used}
	if open := req.GetBody; open != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := open()
			if err != nil {
				return nil, err
			}
			return &breaking{body, used}, nil
		}
	}
	return req
}

type breaking struct {
	io.ReadCloser
	used *resettable
}

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.used.reset()
	}
	return n, err
}

// resettable is the connection that a request has got.
type resettable struct {
	mu   sync.Mutex
	conn net.Conn // nil as long as there is none
}

func (r *resettable) set(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = conn
}

// reset makes the end of the connection, which is near, one that drops what is not sent yet.
func (r *resettable) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	conn := r.conn
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if plain, ok := conn.(*net.TCPConn); ok {
		_ = plain.SetLinger(0) // without it, it is closed as others are
	}
}
