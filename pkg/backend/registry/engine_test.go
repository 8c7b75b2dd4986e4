package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// lab is the engine between a registry that is reached over pipes, through this client, and
// one in memory.
type lab struct {
	memory  *contenttest.Memory
	client  *Client
	limiter *limit.Limiter
	seen    *tally
	// gone: connections break, and are refused; refused counts those.
	gone    atomic.Bool
	refused atomic.Int32
	server  *httptest.Server
}

const remote = "registry.example"

func newLab(t *testing.T, handler http.Handler) *lab {
	t.Helper()
	l := &lab{memory: contenttest.NewMemory("memory.test"), limiter: limit.New(limit.Options{}), seen: &tally{}}
	network := &pipes{dialled: make(chan net.Conn), closed: make(chan struct{})}
	l.server = &httptest.Server{Listener: network, Config: &http.Server{Handler: l.breaking(l.seen.around(handler))}}
	l.server.Start()
	t.Cleanup(l.server.Close)
	l.client = newClient(t, Options{Limiter: l.limiter, Hosts: hosts(HostConfig{TLS: TLSDisabled})})
	l.client.limits = defaultLimits()
	l.client.wire.Transport = &http.Transport{DialContext: func(ctx context.Context, network_, address string) (net.Conn, error) {
		if l.gone.Load() {
			l.refused.Add(1)
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		return network.dial(ctx, network_, address)
	}}
	return l
}

// breaking is a handler whose connections break once the host is gone.
func (l *lab) breaking(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if l.gone.Load() {
			l.refused.Add(1)
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, req)
	})
}

func (l *lab) OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error) {
	if ref.Registry == remote {
		return l.client.Repository(ctx, ref)
	}
	return networked{l.memory.Repository(ref.Repository)}, nil
}

func (l *lab) OpenTarget(ctx context.Context, ref reference.Reference) (content.Target, error) {
	if ref.Registry == remote {
		return l.client.Target(ctx, ref)
	}
	return networked{l.memory.Repository(ref.Repository)}, nil
}

// networked is a repository in memory whose bytes are to be read once.
type networked struct{ *contenttest.MemoryRepository }

func (networked) Rereadable() bool { return false }

// run copies team/<repository>:<tag> from one registry to the other.
func (l *lab) run(t *testing.T, from, to string, names ...string) []*transfer.Result {
	t.Helper()
	var results []*transfer.Result
	jobs := func(yield func(transfer.Job) bool) {
		for _, name := range names {
			if !yield(transfer.Job{Source: named(from, name), Destinations: []reference.Reference{named(to, name)}}) {
				return
			}
		}
	}
	engine := transfer.New(l, transfer.Options{Limiter: l.limiter})
	if err := engine.Run(t.Context(), jobs, func(r *transfer.Result) { results = append(results, r) }); err != nil {
		t.Errorf("run: %v", err)
	}
	return results
}

func named(registry, name string) reference.Reference {
	repository, tag, _ := strings.Cut(name, ":")
	return reference.Reference{Transport: reference.Registry, Registry: registry, Repository: "team/" + repository, Tag: tag}
}

// images fills the registry in memory with images of 11 blobs, in so many repositories.
func (l *lab) images(t *testing.T, n, repositories int) (names []string) {
	t.Helper()
	for i := range n {
		layers := make([]contenttest.Blob, 10)
		for k := range layers {
			layers[k] = contenttest.NewLayer(fmt.Sprint(i, " ", k), 1000)
		}
		repository, tag := fmt.Sprint("app", i%repositories), "v"+strconv.Itoa(i)
		contenttest.NewImage("linux/amd64", layers...).Push(t, l.memory.Repository("team/"+repository), tag)
		names = append(names, repository+":"+tag)
	}
	return names
}

// A destination goes away for good amid 200 images: its requests are those under way and some
// that test it, and everything ends with the cause.
func TestDestinationThatGoesAwayForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *lab
		registry, blobs := newRegistry(t), atomic.Int32{}
		l = newLab(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			time.Sleep(50 * time.Millisecond)
			if req.Method == http.MethodPut && blobs.Add(1) == 300 {
				l.gone.Store(true)
				go l.server.CloseClientConnections() // else net/http would try one idle connection after the other
				panic(http.ErrAbortHandler)
			}
			registry.ServeHTTP(w, req)
		}))
		names := l.images(t, 200, 20)
		began := time.Now()
		results := l.run(t, "memory.test", remote, names...)
		failed := 0
		for _, r := range results {
			if r.Failed() {
				failed++
				err := r.Err() // a closed pipe is what a reset connection is in memory
				if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, io.ErrClosedPipe) && !strings.Contains(err.Error(), "EOF") {
					t.Errorf("%s: %v, want the cause", r.Job.Source.Familiar(), err)
				}
			}
		}
		t.Logf("%d failed, %d requests after the end, %v", failed, l.refused.Load(), time.Since(began))
		if len(results) != 200 || failed == 0 {
			t.Errorf("%d results, %d failed", len(results), failed)
		}
		if got := l.refused.Load(); got > 192+60 { // those in flight, and tests
			t.Errorf("%d requests to a registry that is gone, want at most those in flight and 60", got)
		}
		if took := time.Since(began); took > 205*time.Second {
			t.Errorf("it took %v, want at most 205 s", took)
		}
	})
}

// A push that a policy refuses is not tried for every image and blob.
func TestPushThatIsRefused(t *testing.T) {
	for _, refusal := range []struct {
		status int
		code   string
	}{{http.StatusForbidden, "DENIED"}, {http.StatusUnauthorized, "UNAUTHORIZED"}} {
		t.Run(refusal.code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := newRegistry(t)
				l := newLab(t, &tokenAuth{life: time.Hour, registry: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					time.Sleep(50 * time.Millisecond)
					if req.Method == http.MethodPost || req.Method == http.MethodPut {
						refuse(w, refusal.status, refusal.code, "this account may not push")
						return
					}
					registry.ServeHTTP(w, req)
				})})
				results := l.run(t, "memory.test", remote, l.images(t, 200, 4)...)
				for _, r := range results {
					if !errors.Is(r.Err(), content.ErrDenied) && !errors.Is(r.Err(), content.ErrUnauthorized) {
						t.Fatalf("%s: %v", r.Job.Source.Familiar(), r.Err())
					}
				}
				t.Logf("%d requests", len(l.seen.lines()))
				if got := l.seen.lines(); len(got) > 40 || len(results) != 200 {
					t.Errorf("%d results by %d requests, want at most 40: %q", len(results), len(got), got)
				}
			})
		})
	}
}

// A pull quota is used up: nothing is pulled any more, and what is left says when.
func TestPullsAfterTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := newRegistry(t)
		var pulls, late atomic.Int32
		var refused atomic.Int64 // when, in nanoseconds
		l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("ratelimit-limit", "100;w=21600")
			w.Header().Set("ratelimit-remaining", "10;w=21600")
			began := time.Now().UnixNano()
			time.Sleep(20 * time.Millisecond)
			if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/manifests/") {
				if at := refused.Load(); at != 0 && began > at {
					late.Add(1)
				}
				if pulls.Add(1) > 10 {
					w.Header().Set("Retry-After", "21600")
					refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "you have reached your pull rate limit")
					time.AfterFunc(time.Millisecond, func() { refused.CompareAndSwap(0, time.Now().UnixNano()) })
					return
				}
			}
			registry.ServeHTTP(w, req)
		}))
		names := l.images(t, 40, 4)
		for _, r := range l.run(t, "memory.test", remote, names...) {
			if r.Failed() {
				t.Fatal(r.Err())
			}
		}
		l.memory = contenttest.NewMemory("memory.test")
		deferred := map[string]int{}
		results := l.run(t, remote, "memory.test", names...)
		for _, r := range results {
			if !r.Failed() {
				continue
			}
			if !errors.Is(r.Err(), transfer.ErrDeferred) {
				t.Errorf("%s: %v, want a deferral", r.Job.Source.Familiar(), r.Err())
			}
			deferred[r.Destinations[0].Err.Error()]++
		}
		if len(results) != 40 || len(deferred) != 1 {
			t.Errorf("%d results, deferred for %v: want one reason", len(results), deferred)
		}
		for reason, n := range deferred {
			if n < 25 || !strings.Contains(reason, "until") {
				t.Errorf("%d images are deferred because %q", n, reason)
			}
		}
		if late.Load() != 0 {
			t.Errorf("%d pulls after the quota was used up", late.Load())
		}
	})
}

// Tags of one digest are one pull.
func TestTagsOfOneDigestArePulledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := newRegistry(t)
		var pulls atomic.Int32
		l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("ratelimit-limit", "100;w=21600")
			time.Sleep(20 * time.Millisecond)
			if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/manifests/") {
				pulls.Add(1)
			}
			registry.ServeHTTP(w, req)
		}))
		image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 1000))
		var names []string
		for i := range 10 {
			names = append(names, fmt.Sprint("app:v", i))
			image.Push(t, l.memory.Repository("team/app"), fmt.Sprint("v", i))
		}
		l.run(t, "memory.test", remote, names...)
		l.memory = contenttest.NewMemory("memory.test")
		pulls.Store(0)
		results := l.run(t, remote, "memory.test", names...)
		if slices.ContainsFunc(results, (*transfer.Result).Failed) || pulls.Load() != 1 {
			t.Errorf("%d pulls for %d tags of one digest, want 1", pulls.Load(), len(results))
		}
	})
}

// A registry whose disk is full answers everything but the ends of uploads: its items have their
// attempts, and the run ends with the cause.
func TestUploadsThatAlwaysFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry, puts := newRegistry(t), atomic.Int32{}
		l := newLab(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			time.Sleep(10 * time.Millisecond)
			if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/blobs/uploads/") {
				puts.Add(1)
				http.Error(w, `{"errors":[{"code":"INTERNAL","message":"no space"}]}`, http.StatusInternalServerError)
				return
			}
			registry.ServeHTTP(w, req)
		}))
		names := l.images(t, 3, 3)
		began := time.Now()
		results := l.run(t, "memory.test", remote, names...)
		for _, r := range results {
			if r.Err() == nil || !strings.Contains(r.Err().Error(), "500 Internal Server Error") {
				t.Errorf("%v, want the cause", r.Err())
			}
		}
		t.Logf("%d uploads of 33 blobs, %v", puts.Load(), time.Since(began))
		if took := time.Since(began); took > 5*time.Minute || puts.Load() > 33*40 {
			t.Errorf("%d uploads of 33 blobs in %v", puts.Load(), took)
		}
	})
}
