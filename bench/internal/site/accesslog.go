package site

import (
	"bytes"
	"sync"
)

// accessLog counts the requests in the access log of a registry, whose lines have the combined format of Apache: the
// first text in quotes is the line of the request.
type accessLog struct {
	mu       sync.Mutex
	rest     []byte // a line that is not complete
	requests map[string]int
}

// Write reads a part of the log.
func (a *accessLog) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rest = append(a.rest, p...)
	for {
		line, rest, whole := bytes.Cut(a.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		a.rest = rest
		_, request, quoted := bytes.Cut(line, []byte(`"`))
		method, _, spaced := bytes.Cut(request, []byte(" /"))
		if !quoted || !spaced {
			continue
		}
		if a.requests == nil {
			a.requests = map[string]int{}
		}
		a.requests[string(method)]++
	}
}

// take returns the requests since it was last called, by method.
func (a *accessLog) take() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := a.requests
	a.requests = nil
	return taken
}
