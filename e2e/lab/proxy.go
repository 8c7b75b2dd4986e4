package lab

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
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

// Mounted reports whether it was a mount from another repository that the registry granted.
// A mount from the repository itself asks whether the blob is there.
func (e Exchange) Mounted() bool {
	to, err := url.Parse(e.Path)
	if err != nil || e.Method != http.MethodPost || e.Status != http.StatusCreated {
		return false
	}
	query := to.Query()
	return query.Has("mount") && to.Path != "/v2/"+query.Get("from")+"/blobs/uploads/"
}

// Proxy stands in front of a registry and notes what passes.
type Proxy struct {
	// Host is where it listens.
	Host string

	pace    *pace // to the registry
	down    *pace // from it
	handler http.Handler
	server  *httptest.Server

	mu        sync.Mutex
	refuse    func() (status int)
	spoil     func(Body) (Fault, int64)
	ended     sync.Cond // on mu: an exchange has
	open      int       // exchanges under way
	exchanges []Exchange
}

// StartProxy runs a proxy for the plain registry at host until the test ends. Bytes to the
// registry pass at so many a second; 0 is without a limit.
func StartProxy(t testing.TB, host string, bytesPerSecond int64) *Proxy {
	t.Helper()
	listener, err := Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	proxy := &Proxy{Host: listener.Addr().String(), pace: newPace(bytesPerSecond), down: newPace(0)}
	proxy.ended.L = &proxy.mu
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
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if errors.Is(err, errCut) {
				panic(http.ErrAbortHandler) // on this side, too
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	proxy.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &record{exchange: Exchange{Method: r.Method, Path: r.URL.RequestURI()}}
		if r.Body != http.NoBody {
			r.Body = &countedBody{ReadCloser: r.Body, ctx: r.Context(), record: seen, pace: proxy.pace, spoiler: proxy.spoiler(r, true, r.ContentLength)}
		}
		proxy.begin()
		defer func() { proxy.end(seen.finish()) }()
		answer := &countedAnswer{ResponseWriter: w, record: seen, proxy: proxy, request: r}
		if status := proxy.refuses(); status != 0 {
			_, _ = io.Copy(io.Discard, r.Body) // so that what was sent is counted
			answer.WriteHeader(status)
			return
		}
		reverse.ServeHTTP(answer, r)
	})
	proxy.serve(listener)
	t.Cleanup(func() {
		proxy.Vanish()
		transport.CloseIdleConnections()
	})
	return proxy
}

// Rate changes how many bytes to the registry pass in a second; 0 is without a limit.
func (p *Proxy) Rate(bytesPerSecond int64) { p.pace.set(bytesPerSecond) }

// RateDown changes how many bytes of the registry's answers pass in a second; 0 is without a limit.
func (p *Proxy) RateDown(bytesPerSecond int64) { p.down.set(bytesPerSecond) }

// Vanish breaks all connections and refuses new ones, until Return.
func (p *Proxy) Vanish() {
	p.server.CloseClientConnections()
	p.server.Close()
}

// Return listens where the proxy has listened before.
func (p *Proxy) Return(t testing.TB) {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", p.Host)
	if err != nil {
		t.Fatal(err)
	}
	p.serve(listener)
}

func (p *Proxy) serve(listener net.Listener) {
	p.server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: p.handler}}
	p.server.Start()
}

func (p *Proxy) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open++
}

func (p *Proxy) end(e Exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exchanges = append(p.exchanges, e)
	p.open--
	p.ended.Broadcast()
}

// Take returns what passed since it was last called, and forgets it. It waits for what is
// under way: a client has its answer a moment before the exchange is over here.
func (p *Proxy) Take() []Exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.open > 0 {
		p.ended.Wait()
	}
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

	ctx     context.Context // a reader has no other way to end its wait
	record  *record
	pace    *pace
	spoiler spoiler
}

func (b *countedBody) Read(p []byte) (int, error) {
	if b.spoiler.over(b.ctx) {
		return 0, errCut
	}
	p = b.spoiler.before(p[:min(len(p), 16<<10)])
	n, err := b.ReadCloser.Read(p)
	b.spoiler.passed(p[:n])
	b.record.sent(n)
	b.pace.wait(b.ctx, n)
	return n, err
}

type countedAnswer struct {
	http.ResponseWriter

	record  *record
	proxy   *Proxy
	request *http.Request
	spoiler spoiler
}

func (a *countedAnswer) WriteHeader(status int) {
	if status >= http.StatusOK {
		a.record.mu.Lock()
		a.record.exchange.Status = status
		a.record.mu.Unlock()
		length, err := strconv.ParseInt(a.Header().Get("Content-Length"), 10, 64)
		if err == nil && a.request.Method == http.MethodGet && status < http.StatusMultipleChoices {
			a.spoiler = a.proxy.spoiler(a.request, false, length)
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *countedAnswer) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		var n int
		n, err = a.pass(p[:min(len(p), 16<<10)])
		p = p[n:]
		written += n
	}
	return written, err
}

func (a *countedAnswer) pass(p []byte) (int, error) {
	a.end()
	p = slices.Clone(a.spoiler.before(p)) // a Writer must not change what it is given
	a.spoiler.passed(p)
	a.proxy.down.wait(a.request.Context(), len(p))
	n, err := a.ResponseWriter.Write(p)
	a.record.received(n)
	a.end()
	return n, err
}

// end ends a body at its fault.
func (a *countedAnswer) end() {
	if !a.spoiler.ends() {
		return
	}
	_ = http.NewResponseController(a.ResponseWriter).Flush()
	a.spoiler.over(a.request.Context())
	panic(http.ErrAbortHandler)
}

// Unwrap lets the reverse proxy flush.
func (a *countedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
