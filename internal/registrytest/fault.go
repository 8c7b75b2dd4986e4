package registrytest

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// Fault describes what goes wrong with one request. A fault that sets only Delay just delays the request. Common
// faults have names: see [Catalogue].
type Fault struct {
	// Delay is the wait before anything else.
	Delay time.Duration
	// Status is answered with the specification's Code and Message and with Header, after After bytes of the
	// request's body; the registry does not see the request. If the registry uses tokens, a 401 has its challenge.
	Status        int
	Code, Message string
	Header        http.Header
	// LoseAnswer passes the request to the registry, and resets the connection instead of answering.
	LoseAnswer bool
	// Cut resets the connection, End closes it, and Hang stops all traffic, after After bytes of the request's body
	// or, if it has none, of the answer's body. A shorter body is not affected. If After is zero, the registry does
	// not see the request.
	Cut, End, Hang bool
	// Drip is the delay before each 4 KiB of the body that follow After.
	Drip  time.Duration
	After int64
	// Alter changes the body of a 200 or 206 answer. Content-Length is the length of the result; NoLength omits it.
	Alter    func([]byte) []byte
	NoLength bool
	// Serve answers in place of the registry.
	Serve http.HandlerFunc
}

// Match selects requests as [Requests.Find] does.
func Match(method, pattern string) func(*http.Request) bool {
	expression := regexp.MustCompile(pattern)
	return func(r *http.Request) bool {
		return (method == "" || r.Method == method) && expression.MatchString(r.URL.Path)
	}
}

// Fail calls rule for each request from now on, also those to the token server and to
// [Server.Elsewhere]. The first rule that returns a fault decides; nil is none. Rules are
// called concurrently.
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
	tokens  *tokens

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
		case fault.Serve != nil:
			fault.Serve(w, r)
		case fault.Status != 0:
			f.answer(w, r, fault)
		case fault.LoseAnswer:
			next.ServeHTTP(httptest.NewRecorder(), r)
			reset(r)
		case fault.Cut || fault.End || fault.Hang || fault.Drip > 0:
			f.interrupt(w, r, fault, next)
		case fault.Alter != nil:
			alter(w, r, fault, next)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// answer answers instead of the registry.
func (f *faults) answer(w http.ResponseWriter, r *http.Request, fault *Fault) {
	if fault.After > 0 {
		_, _ = io.CopyN(io.Discard, r.Body, fault.After) // a shorter body is read to its end
	}
	if fault.Status == http.StatusUnauthorized && f.tokens.config != nil {
		f.tokens.challenge(w, needs(r), "invalid_token")
		return
	}
	if fault.Code == "" && fault.Message == "" {
		w.WriteHeader(fault.Status)
		return
	}
	refuse(w, fault.Status, fault.Code, fault.Message)
}

// alter changes the body of an answer.
func alter(w http.ResponseWriter, r *http.Request, fault *Fault, next http.Handler) {
	recorder := httptest.NewRecorder()
	next.ServeHTTP(recorder, r)
	raw := recorder.Body.Bytes()
	if good := recorder.Code == http.StatusOK || recorder.Code == http.StatusPartialContent; good && len(raw) > 0 {
		raw = fault.Alter(raw)
	}
	maps.Copy(w.Header(), recorder.Header())
	if w.Header().Set("Content-Length", strconv.Itoa(len(raw))); fault.NoLength {
		w.Header().Del("Content-Length")
		w.WriteHeader(recorder.Code)
		_ = http.NewResponseController(w).Flush() // else net/http adds Content-Length
	} else {
		w.WriteHeader(recorder.Code)
	}
	_, _ = w.Write(raw)
}

// replay sends an answer that was held back.
func replay(w http.ResponseWriter, recorder *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), recorder.Header())
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
}
