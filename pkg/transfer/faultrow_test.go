package transfer_test

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/backend/registry"
)

// point selects requests: those that a fault strikes.
type point struct {
	method, path string
	large        bool // those that bring, or ask for, the large layer
}

var (
	anyManifest = point{method: http.MethodGet, path: "/manifests/"}
	headOfTag   = point{method: http.MethodHead, path: "/manifests/"}
	largeBlob   = point{method: http.MethodGet, path: "/blobs/sha256:", large: true}
	opening     = point{method: http.MethodPost, path: "/uploads/"}
	largeBody   = point{method: http.MethodPut, path: "/uploads/", large: true}
	putOfTag    = point{method: http.MethodPut, path: "/manifests/1$"}
	anyPut      = point{method: http.MethodPut, path: "/manifests/"}
)

// strikes reports whether a point is about a request.
func (p point) strikes(r *http.Request) bool {
	if !registrytest.Match(p.method, p.path)(r) {
		return false
	}
	return !p.large || r.ContentLength > largeSize/2 || strings.Contains(r.URL.Path, large.Encoded())
}

// counting is strikes with a count of the requests that it selects.
func (p point) counting(n *atomic.Int32) func(*http.Request) bool {
	return func(r *http.Request) bool {
		if !p.strikes(r) {
			return false
		}
		n.Add(1)
		return true
	}
}

func ops(of ...operation) []operation { return of }

func quirks(of ...registrytest.Name) []registrytest.Name { return of }

// is reports errors that are target.
func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// answers reports errors that are a registry's answer with a status.
func answers(status int) func(error) bool {
	return func(err error) bool {
		answer, ok := errors.AsType[*registry.Error](err)
		return ok && answer.Status == status
	}
}

// timesOut reports errors of silence.
func timesOut(err error) bool {
	silent, ok := errors.AsType[net.Error](err)
	return ok && silent.Timeout()
}

// tooLarge reports errors that say that no size is small enough.
func tooLarge(err error) bool {
	refusal, ok := errors.AsType[*registry.SizeError](err)
	return ok && refusal.Next == 0
}
