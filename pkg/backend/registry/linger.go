package registry

import (
	"context"
	"io"
	"net/http"
	"time"
)

// linger is the RoundTripper that lets a request which opens an upload outlive its caller
// for a short time: the session that the registry has opened by then is only known by the
// answer, and unknown it would stay open.
type linger struct {
	limits limits
	next   http.RoundTripper
}

var _ http.RoundTripper = (*linger)(nil)

// RoundTrip implements http.RoundTripper.
func (l *linger) RoundTrip(req *http.Request) (*http.Response, error) {
	caller := req.Context()
	if !intentOf(caller).opens {
		return l.next.RoundTrip(req)
	}
	if err := context.Cause(caller); err != nil {
		closeBody(req)
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(caller))
	stop := context.AfterFunc(caller, func() {
		time.AfterFunc(l.limits.linger, func() { cancel(context.Cause(caller)) })
	})
	end := func() {
		stop()
		cancel(nil)
	}
	resp, err := l.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		end()
		return nil, err
	}
	resp.Body = &releasing{resp.Body, end}
	return resp, nil
}

// releasing is the body of an answer that ends something when it is closed.
type releasing struct {
	io.ReadCloser
	release func()
}

func (r *releasing) Close() error {
	defer r.release()
	return r.ReadCloser.Close()
}
