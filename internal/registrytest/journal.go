package registrytest

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"
)

// Request is one request and its answer so far.
type Request struct {
	Host   string // the host of the request: the registry, or [Server.Elsewhere]
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	Status int // 0 while there is no answer
	// BytesIn and BytesOut are the bytes of the bodies.
	BytesIn, BytesOut int64
	Start             time.Time
	// First and Last are when the first and the latest bytes of a body went by; zero
	// without one.
	First, Last time.Time
}

// Requests are some requests, in the order in which they came.
type Requests []Request

// Find selects by method, any if it is empty, and by a regular expression that is looked
// for in the path.
func (rs Requests) Find(method, pattern string) Requests {
	expression := regexp.MustCompile(pattern)
	var found Requests
	for _, r := range rs {
		if (method == "" || r.Method == method) && expression.MatchString(r.Path) {
			found = append(found, r)
		}
	}
	return found
}

// BytesIn sums up the bodies of the requests.
func (rs Requests) BytesIn() (sum int64) {
	for _, r := range rs {
		sum += r.BytesIn
	}
	return sum
}

// BytesOut sums up the bodies of the answers.
func (rs Requests) BytesOut() (sum int64) {
	for _, r := range rs {
		sum += r.BytesOut
	}
	return sum
}

// Log is all requests since the start or the last ResetLog, also those under way. A request
// is in it before its answer is.
func (s *Server) Log() Requests { return s.log.snapshot() }

// Count counts as [Requests.Find] selects.
func (s *Server) Count(method, pattern string) int { return len(s.Log().Find(method, pattern)) }

// BlobBytesIn is the bytes of blobs that clients have sent, those of broken uploads too.
func (s *Server) BlobBytesIn() int64 { return s.Log().Find("", "/blobs/uploads/").BytesIn() }

// BlobBytesOut is the bytes of blobs that clients were sent.
func (s *Server) BlobBytesOut() int64 { return s.Log().Find("GET", "/blobs/[^/]+$").BytesOut() }

// Await waits until the log is as it should be, or ctx has ended: then it returns ctx's cause.
func (s *Server) Await(ctx context.Context, asWanted func(Requests) bool) error {
	for {
		changed := s.log.change(asWanted)
		if changed == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Peak is the highest number of requests at a time since the start or the last ResetLog.
func (s *Server) Peak() int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.peak
}

// ResetLog forgets the requests so far.
func (s *Server) ResetLog() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.requests, s.log.peak = nil, s.log.open
}

// journal notes the requests.
type journal struct {
	mu         sync.Mutex
	requests   []*Request
	open, peak int
	changed    chan struct{} // closed by the next change; nil if nothing is waiting
}

func (j *journal) snapshot() Requests {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.copied()
}

// copied is the log as it is now. j.mu is held.
func (j *journal) copied() Requests {
	requests := make(Requests, len(j.requests))
	for i, r := range j.requests {
		requests[i] = *r
	}
	return requests
}

// change is closed with the next change; nil where the log is as it should be.
func (j *journal) change(asWanted func(Requests) bool) <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if asWanted(j.copied()) {
		return nil
	}
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed
}

// wake tells those who wait that something has changed. j.mu is held.
func (j *journal) wake() {
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

func (j *journal) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entry := j.begin(r)
		defer j.end()
		r.Body = &notedBody{ReadCloser: r.Body, journal: j, entry: entry}
		next.ServeHTTP(&notedAnswer{ResponseWriter: w, journal: j, entry: entry}, r)
	})
}

func (j *journal) begin(r *http.Request) *Request {
	entry := &Request{
		Host: r.Host, Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(),
		Header: r.Header.Clone(), Start: time.Now(),
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.requests = append(j.requests, entry)
	j.open++
	j.peak = max(j.peak, j.open)
	j.wake()
	return entry
}

func (j *journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open--
}

// pass counts bytes of a body in counter.
func (j *journal) pass(entry *Request, counter *int64, n int) {
	if n == 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	*counter += int64(n)
	if entry.Last = time.Now(); entry.First.IsZero() {
		entry.First = entry.Last
	}
	j.wake()
}

type notedBody struct {
	io.ReadCloser
	journal *journal
	entry   *Request
}

func (b *notedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.journal.pass(b.entry, &b.entry.BytesIn, n)
	return n, err
}

type notedAnswer struct {
	http.ResponseWriter
	journal *journal
	entry   *Request
}

func (a *notedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *notedAnswer) WriteHeader(status int) {
	a.note(status)
	a.ResponseWriter.WriteHeader(status)
}

func (a *notedAnswer) note(status int) {
	a.journal.mu.Lock()
	defer a.journal.mu.Unlock()
	if a.entry.Status == 0 {
		a.entry.Status = status
		a.journal.wake()
	}
}

// Write counts first: a client must not have bytes that the log does not have.
func (a *notedAnswer) Write(p []byte) (int, error) {
	a.note(http.StatusOK)
	a.journal.pass(a.entry, &a.entry.BytesOut, len(p))
	n, err := a.ResponseWriter.Write(p)
	a.journal.pass(a.entry, &a.entry.BytesOut, n-len(p))
	return n, err
}
