package registrytest

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// link is the network between the clients and the registry.
type link struct {
	latency time.Duration
	in, out *pace // nil: unlimited
	next    http.Handler
}

func (l *link) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sleep(r.Context(), l.latency)
	if l.in != nil {
		r.Body = &pacedBody{ReadCloser: r.Body, ctx: r.Context(), pace: l.in}
		w = &pacedAnswer{ResponseWriter: w, ctx: r.Context(), pace: l.out}
	}
	l.next.ServeHTTP(w, r)
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// pace is a line that many share.
type pace struct {
	rate int64 // bytes per second

	mu   sync.Mutex
	free time.Time // when what was taken will have gone by
}

// piece is how many bytes go by at once: those of a 50th of a second.
func (p *pace) piece() int { return int(min(max(p.rate/50, 1), 32<<10)) }

// take waits until n bytes have gone by.
func (p *pace) take(ctx context.Context, n int) {
	p.mu.Lock()
	if now := time.Now(); p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(int64(n) * int64(time.Second) / p.rate))
	wait := time.Until(p.free)
	p.mu.Unlock()
	sleep(ctx, wait)
}

type pacedBody struct {
	io.ReadCloser
	ctx  context.Context // of the request
	pace *pace
}

func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.pace.piece())])
	b.pace.take(b.ctx, n)
	return n, err
}

type pacedAnswer struct {
	http.ResponseWriter
	ctx  context.Context // of the request
	pace *pace
}

func (a *pacedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *pacedAnswer) Write(p []byte) (written int, err error) {
	for written < len(p) && err == nil {
		piece := p[written:min(written+a.pace.piece(), len(p))]
		a.pace.take(a.ctx, len(piece))
		var n int
		n, err = a.ResponseWriter.Write(piece)
		written += n
		_ = http.NewResponseController(a.ResponseWriter).Flush() // a writer that cannot is a recorder
	}
	return written, err
}
