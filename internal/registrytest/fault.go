package registrytest

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"time"
)

// Fault is what goes wrong with one request. Without Status, LoseAnswer, Cut and Hang the
// request is only delayed.
type Fault struct {
	// Delay comes before everything else.
	Delay time.Duration
	// Status answers at once, with the specification's Code and Message and with Header;
	// the registry does not see the request.
	Status        int
	Code, Message string
	Header        http.Header
	// LoseAnswer lets the registry do what was asked, and breaks the connection instead of
	// answering.
	LoseAnswer bool
	// Cut breaks the connection, and Hang falls silent for good, after so many bytes of the
	// request's body or, where it has none, of the answer's. A body that is shorter passes.
	// With zero bytes the registry does not see the request.
	Cut, Hang bool
	After     int64
}

// Match selects requests as [Requests.Find] does.
func Match(method, pattern string) func(*http.Request) bool {
	expression := regexp.MustCompile(pattern)
	return func(r *http.Request) bool {
		return (method == "" || r.Method == method) && expression.MatchString(r.URL.Path)
	}
}

// Fail asks rule about each request from now on, also those to the token server and to
// [Server.Elsewhere]. The first rule that gives a fault decides; nil is none. Rules are
// asked concurrently.
func (s *Server) Fail(rule func(*http.Request) *Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.rules = append(s.faults.rules, rule)
}

// FailTimes gives the fault to the next n requests that match.
func (s *Server) FailTimes(n int, match func(*http.Request) bool, fault Fault) {
	var mu sync.Mutex
	s.Fail(func(r *http.Request) *Fault {
		mu.Lock()
		defer mu.Unlock()
		if n == 0 || !match(r) {
			return nil
		}
		n--
		return &fault
	})
}

// Heal forgets all rules.
func (s *Server) Heal() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.rules = nil
}

type faults struct {
	closing chan struct{} // ends what hangs

	mu    sync.Mutex
	rules []func(*http.Request) *Fault
}

func (f *faults) of(r *http.Request) *Fault {
	f.mu.Lock()
	rules := f.rules
	f.mu.Unlock()
	for _, rule := range rules {
		if fault := rule(r); fault != nil {
			return fault
		}
	}
	return nil
}

func (f *faults) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := f.of(r)
		if fault == nil {
			next.ServeHTTP(w, r)
			return
		}
		sleep(r.Context(), fault.Delay)
		maps.Copy(w.Header(), fault.Header)
		switch {
		case fault.Status != 0:
			refuse(w, fault.Status, fault.Code, fault.Message)
		case fault.LoseAnswer:
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case fault.Cut || fault.Hang:
			f.interrupt(w, r, fault, next)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// interrupt breaks off in the body, be it that of the request or that of the answer.
func (f *faults) interrupt(w http.ResponseWriter, r *http.Request, fault *Fault, next http.Handler) {
	i := &interruption{fault: fault, left: fault.After, stop: func() {
		if !fault.Hang {
			return
		}
		select {
		case <-r.Context().Done():
		case <-f.closing:
		}
	}}
	if fault.After == 0 {
		i.stop()
		panic(http.ErrAbortHandler)
	}
	if r.ContentLength != 0 {
		r.Body = &interruptedBody{ReadCloser: r.Body, interruption: i}
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r)
		if i.broken {
			panic(http.ErrAbortHandler)
		}
		replay(w, recorder)
		return
	}
	next.ServeHTTP(&interruptedAnswer{ResponseWriter: w, interruption: i}, r)
}

// interruption belongs to the goroutine of one request.
type interruption struct {
	fault  *Fault
	left   int64
	broken bool
	stop   func() // waits as long as nothing is to happen
}

type interruptedBody struct {
	io.ReadCloser
	*interruption
}

func (b *interruptedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		// One more byte tells a body that goes on from one that has come to its end.
		if n, err := b.ReadCloser.Read(make([]byte, 1)); n == 0 && err != nil {
			return 0, err
		}
		b.broken = true
		b.stop()
		return 0, errors.New("interrupted")
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

func (a *interruptedAnswer) Write(p []byte) (int, error) {
	if int64(len(p)) <= a.left {
		n, err := a.ResponseWriter.Write(p)
		a.left -= int64(n)
		return n, err
	}
	_, _ = a.ResponseWriter.Write(p[:a.left])
	_ = http.NewResponseController(a.ResponseWriter).Flush()
	a.stop()
	panic(http.ErrAbortHandler)
}

// replay sends an answer that was held back.
func replay(w http.ResponseWriter, recorder *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), recorder.Header())
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
}
