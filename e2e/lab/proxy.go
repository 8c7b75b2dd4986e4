package lab

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Exchange is one request and its answer, as a proxy saw them.
type Exchange struct {
	Method string
	Path   string // with the query
	Status int
	// Sent and Received are the bytes of the request's body and of the answer's.
	Sent     int64
	Received int64
	// FirstByte is when the first byte of either body passed, Done when the last did.
	FirstByte time.Time
	Done      time.Time
}

// Blob reports whether it asked for, or answered with, the bytes of a blob.
func (e Exchange) Blob() bool {
	return e.Method == http.MethodGet && strings.Contains(e.Path, "/blobs/sha256:")
}

// Upload reports whether it belongs to an upload.
func (e Exchange) Upload() bool { return strings.Contains(e.Path, "/blobs/uploads/") }

// Mounted reports whether it was a mount that the registry granted.
func (e Exchange) Mounted() bool {
	return e.Method == http.MethodPost && strings.Contains(e.Path, "mount=") && e.Status == http.StatusCreated
}

// Proxy stands in front of a registry and notes what passes.
type Proxy struct {
	// Host is where it listens.
	Host string

	mu        sync.Mutex
	exchanges []Exchange
}

// StartProxy runs a proxy for the plain registry at host until the test ends. Bytes to the
// registry pass at so many a second; 0 is without a limit.
func StartProxy(t testing.TB, host string, bytesPerSecond int64) *Proxy {
	t.Helper()
	proxy := &Proxy{}
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	reverse := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: host})
			// The registry writes its Locations with the name it was called by.
			r.Out.Host = r.In.Host
		},
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	limit := &pace{bytesPerSecond: bytesPerSecond}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &record{exchange: Exchange{Method: r.Method, Path: r.URL.RequestURI()}}
		if r.Body != http.NoBody {
			r.Body = &countedBody{ReadCloser: r.Body, ctx: r.Context(), record: seen, pace: limit}
		}
		defer func() { proxy.note(seen.finish()) }()
		reverse.ServeHTTP(&countedAnswer{ResponseWriter: w, record: seen}, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	proxy.Host = strings.TrimPrefix(server.URL, "http://")
	return proxy
}

func (p *Proxy) note(e Exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exchanges = append(p.exchanges, e)
}

// Take returns what passed since it was last asked, and forgets it.
func (p *Proxy) Take() []Exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.exchanges
	p.exchanges = nil
	return taken
}

// BlobBytesRead sums the bytes of blobs that a registry served.
func BlobBytesRead(exchanges []Exchange) int64 {
	var sum int64
	for _, e := range exchanges {
		if e.Blob() {
			sum += e.Received
		}
	}
	return sum
}

// BlobBytesSent sums the bytes of blobs that a registry was sent.
func BlobBytesSent(exchanges []Exchange) int64 {
	var sum int64
	for _, e := range exchanges {
		if e.Upload() {
			sum += e.Sent
		}
	}
	return sum
}

// record is an exchange under way. The transport may still read a request's body for a
// moment after the answer, so it has a lock.
type record struct {
	mu       sync.Mutex
	exchange Exchange
}

func (r *record) sent(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exchange.Sent += int64(n)
	r.touch(n)
}

func (r *record) received(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exchange.Received += int64(n)
	r.touch(n)
}

func (r *record) touch(n int) {
	if n > 0 && r.exchange.FirstByte.IsZero() {
		r.exchange.FirstByte = time.Now()
	}
}

func (r *record) finish() Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exchange.Done = time.Now()
	return r.exchange
}

type countedBody struct {
	io.ReadCloser

	ctx    context.Context // a reader has no other way to end its wait
	record *record
	pace   *pace
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 16<<10)])
	b.record.sent(n)
	b.pace.wait(b.ctx, n)
	return n, err
}

type countedAnswer struct {
	http.ResponseWriter

	record *record
}

func (a *countedAnswer) WriteHeader(status int) {
	if status >= http.StatusOK {
		a.record.mu.Lock()
		a.record.exchange.Status = status
		a.record.mu.Unlock()
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *countedAnswer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p)
	a.record.received(n)
	return n, err
}

// Unwrap lets the reverse proxy flush.
func (a *countedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// pace holds all bodies of a proxy together to one rate.
type pace struct {
	bytesPerSecond int64

	mu   sync.Mutex
	free time.Time // when the line is free again
}

func (p *pace) wait(ctx context.Context, n int) {
	if p.bytesPerSecond == 0 || n == 0 {
		return
	}
	p.mu.Lock()
	if now := time.Now(); p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(int64(n) * int64(time.Second) / p.bytesPerSecond))
	free := p.free
	p.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(free)):
	}
}
