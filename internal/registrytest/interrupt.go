package registrytest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
)

// connKey is the context key of a request's connection.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf returns the connection of a request, below TLS, or nil if there is none.
func connOf(r *http.Request) any {
	c := r.Context().Value(connKey{})
	if secure, is := c.(interface{ NetConn() net.Conn }); is {
		return secure.NetConn()
	}
	return c
}

// reset resets the connection of a request, and does not return.
func reset(r *http.Request) {
	if c, can := connOf(r).(interface{ SetLinger(seconds int) error }); can {
		_ = c.SetLinger(0)
	}
	panic(http.ErrAbortHandler)
}

// finish closes the connection of a request, and does not return. It reads until the client closes its side, because
// Linux resets a connection that is closed with unread bytes.
func finish(r *http.Request, body io.Reader) {
	if c, can := connOf(r).(interface{ CloseWrite() error }); can {
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, body)
	}
	panic(http.ErrAbortHandler)
}

// interrupt interrupts or slows down the body of the request or of the answer.
func (f *faults) interrupt(w http.ResponseWriter, r *http.Request, fault *Fault, next http.Handler) {
	body := r.Body
	i := &interruption{fault: fault, left: fault.After, request: r, stop: func() {
		switch {
		case fault.Cut:
			reset(r)
		case fault.End:
			finish(r, body)
		}
		select {
		case <-r.Context().Done():
		case <-f.closing:
		}
	}}
	if fault.After == 0 && fault.Drip == 0 {
		i.stop()
		panic(http.ErrAbortHandler)
	}
	if r.ContentLength != 0 {
		r.Body = &interruptedBody{ReadCloser: body, interruption: i}
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r)
		if i.broken {
			i.stop()
			panic(http.ErrAbortHandler)
		}
		replay(w, recorder)
		return
	}
	next.ServeHTTP(&interruptedAnswer{ResponseWriter: w, interruption: i}, r)
}

// interruption is the state of one interrupted request. Only the request's goroutine uses it.
type interruption struct {
	fault   *Fault
	request *http.Request
	left    int64
	broken  bool
	stop    func() // ends the connection, or blocks while the connection hangs
}

// dripPiece is the number of bytes that pass between two delays of a dripping body.
const dripPiece = 4 << 10

// drips reports whether the body drips, after the delay before its next piece.
func (i *interruption) drips() bool {
	if i.fault.Drip <= 0 {
		return false
	}
	sleep(i.request.Context(), i.fault.Drip)
	i.left = dripPiece
	return true
}

type interruptedBody struct {
	io.ReadCloser
	*interruption
}

var errInterrupted = errors.New("interrupted")

func (b *interruptedBody) Read(p []byte) (int, error) {
	if b.broken {
		return 0, errInterrupted
	}
	if b.left == 0 && !b.drips() {
		// One more byte shows whether the body has ended here.
		if n, err := b.ReadCloser.Read(make([]byte, 1)); n == 0 && err != nil {
			return 0, err
		}
		if b.broken = true; b.fault.Hang {
			b.stop()
		}
		return 0, errInterrupted
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

type interruptedAnswer struct {
	http.ResponseWriter
	*interruption
}

func (a *interruptedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *interruptedAnswer) Write(p []byte) (written int, err error) {
	for err == nil && int64(len(p)-written) > a.left {
		_, _ = a.ResponseWriter.Write(p[written : written+int(a.left)])
		written += int(a.left)
		_ = http.NewResponseController(a.ResponseWriter).Flush()
		if a.left = 0; !a.drips() {
			a.stop()
			panic(http.ErrAbortHandler)
		}
		err = a.request.Context().Err()
	}
	if err != nil {
		return written, err
	}
	n, err := a.ResponseWriter.Write(p[written:])
	a.left -= int64(n)
	return written + n, err
}
