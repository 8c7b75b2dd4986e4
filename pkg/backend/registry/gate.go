package registry

import (
	"io"
	"net/http"
	"sync"
)

// gated is the RoundTripper that lets small requests wait their turn. A turn ends when the
// answer's body is closed.
type gated struct {
	gate     Gate
	registry string
	next     http.RoundTripper
}

var _ http.RoundTripper = (*gated)(nil)

// RoundTrip implements http.RoundTripper.
func (g *gated) RoundTrip(req *http.Request) (*http.Response, error) {
	if g.gate == nil || intentOf(req.Context()).stream {
		return g.next.RoundTrip(req)
	}
	release, err := g.gate.Small(req.Context(), g.registry)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		release()
		return nil, err
	}
	resp.Body = &releasing{resp.Body, sync.OnceFunc(release)}
	return resp, nil
}

type releasing struct {
	io.ReadCloser
	release func()
}

func (r *releasing) Close() error {
	defer r.release()
	return r.ReadCloser.Close()
}
