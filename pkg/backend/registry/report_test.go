package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
)

// network is a RoundTripper instead of connections: each request takes a while, and then
// fails as its host is told to, or is answered 404.
type network struct {
	takes time.Duration
	asked atomic.Int64
	mu    sync.Mutex
	fails map[string]error // by host
	// challenge, if not empty, makes every answer a 401 with it.
	challenge string
}

func (n *network) set(host string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fails[host] = err
}

func (n *network) RoundTrip(req *http.Request) (*http.Response, error) {
	n.asked.Add(1)
	if err := retry.Sleep(req.Context(), n.takes); err != nil {
		return nil, err
	}
	n.mu.Lock()
	err := n.fails[req.URL.Host]
	n.mu.Unlock()
	if err == nil && req.Body != nil {
		_, err = io.Copy(io.Discard, req.Body)
	}
	if err != nil {
		return nil, err
	}
	if n.challenge != "" {
		header := http.Header{"Www-Authenticate": {n.challenge}}
		return &http.Response{StatusCode: http.StatusUnauthorized, Header: header, Body: http.NoBody, Request: req}, nil
	}
	return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Request: req}, nil
}

var (
	errRefused = &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	errTimeout = &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
)

const deadHost = "dead.test"

// connected is a repository at a host of the network.
func connected(t *testing.T, n *network, options Options) *Repository {
	t.Helper()
	options.CertsDirs = []string{}
	c := New(options)
	c.wire.Transport = n
	return target(t, c, deadHost, "a")
}

func isDown(err error) bool {
	_, down := errors.AsType[*limit.DownError](err)
	return down
}

// Ten thousand tags go to a host that drops packets. Each would be tried eight times, for ten
// seconds, sixteen at a time: fourteen hours.
func TestCostOfADeadHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tags, window = 10_000, 256
		n := &network{takes: 10 * time.Second, fails: map[string]error{deadHost: errTimeout}}
		r := connected(t, n, Options{})
		places := make(chan struct{}, window)
		var all sync.WaitGroup
		var failed atomic.Int64
		start := time.Now()
		for tag := range tags {
			places <- struct{}{}
			all.Go(func() {
				defer func() { <-places }()
				_, err := r.Resolve(t.Context(), fmt.Sprint(tag))
				if errors.Is(err, os.ErrDeadlineExceeded) && !retry.Retryable(err) {
					failed.Add(1)
				}
			})
		}
		all.Wait()
		took := time.Since(start)
		t.Logf("%d tags took %v and %d requests", tags, took, n.asked.Load())
		if took > 4*time.Minute || n.asked.Load() > 60 || failed.Load() != tags {
			t.Errorf("%d of %d tags failed in %v with %d requests", failed.Load(), tags, took, n.asked.Load())
		}
		if got := r.host.client.Requests()[deadHost]; got != n.asked.Load() {
			t.Errorf("%d requests are counted, %d were sent", got, n.asked.Load())
		}
	})
}

// A registry that restarts costs nothing but time, however long its requests could be tried.
func TestRegistryThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{takes: time.Millisecond, fails: map[string]error{deadHost: errRefused}}
		r := connected(t, n, Options{})
		time.AfterFunc(2*time.Minute, func() { n.set(deadHost, nil) })
		var all sync.WaitGroup
		for tag := range 100 {
			all.Go(func() {
				if _, err := r.Resolve(t.Context(), fmt.Sprint(tag)); !errors.Is(err, content.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		start := time.Now()
		all.Wait()
		if took := time.Since(start); took > 2*time.Minute+40*time.Second || n.asked.Load() > 200 {
			t.Errorf("took %v and %d requests", took, n.asked.Load())
		}
	})
}

// While a registry was down, requests whose token could not be had were tried for ever: they
// never came to the limiter, which gives up.
func TestTokenServerThatIsDownToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{fails: map[string]error{deadHost: errRefused, "token.test": errRefused}}
		r := connected(t, n, Options{})
		h := r.host
		n.challenge = `Bearer realm="https://token.test/token"`
		n.set(deadHost, nil)
		if _, err := r.Resolve(t.Context(), "v0"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("got %v, want no answer from the token server", err)
		}
		n.set(deadHost, errRefused)
		for i := range 5 {
			h.client.options.Limiter.Report(limit.Answer{Peer: limit.Peer{Registry: deadHost}, Item: fmt.Sprint(i), Err: errRefused})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		_, err := r.Resolve(ctx, "v1")
		if took := time.Since(start); took > time.Minute || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("failed after %v: %v", took, err)
		}
	})
}

func TestDownErrorNamesTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := limit.New(limit.Options{GiveUp: time.Nanosecond})
		r := connected(t, &network{fails: map[string]error{deadHost: errRefused}}, Options{Limiter: limiter, Retry: quick()})
		for tag := range 3 {
			_, _ = r.Resolve(t.Context(), fmt.Sprint(tag))
		}
		_, err := r.Resolve(t.Context(), "v1")
		failure, ok := errors.AsType[*ConnectionError](err)
		if !isDown(err) || !ok || failure.RegistryHost() != deadHost || !strings.HasSuffix(failure.URL, "/v2/a/manifests/v1") {
			t.Errorf("got %v", err)
		}
		if got := err.Error(); got != deadHost+": connection refused" {
			t.Errorf("error %q", got)
		}
	})
}

// An answer is an answer, and what ends on our side tells nothing about a host.
func TestWhatIsReportedAsAFailure(t *testing.T) {
	broken := errors.New("the source broke")
	for name, test := range map[string]struct {
		err    error
		cancel bool
		source error
		want   bool
	}{
		"refused":            {err: errRefused, want: true},
		"a stall":            {err: &StallError{Phase: wire.AwaitingAnswer, Limit: time.Minute}, want: true},
		"404":                {},
		"cancelled":          {err: errRefused, cancel: true},
		"no such host":       {err: &net.DNSError{IsNotFound: true}},
		"a certificate":      {err: errors.New("tls: handshake failure")},
		"the source broke":   {source: broken},
		"the source hung up": {source: errRefused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{fails: map[string]error{deadHost: test.err}, takes: time.Second}
				r := connected(t, n, Options{})
				for i := range 6 {
					ctx, cancel := context.WithCancel(t.Context())
					if test.cancel {
						time.AfterFunc(time.Millisecond, cancel)
					}
					blob := layer(100_000 + i)
					if test.source != nil {
						u := &upload{caller: r.caller, d: blob.Descriptor, location: r.url("x", nil)}
						breaks := readerFunc(func([]byte) (int, error) { return 0, test.source })
						err := u.Commit(ctx, content.NewStream(io.MultiReader(bytes.NewReader(blob.Bytes[:90_000]), breaks), blob.Descriptor))
						if !errors.Is(err, test.source) {
							t.Error(err)
						}
					} else if _, err := r.HasBlob(ctx, blob.Descriptor); (err != nil) != (test.err != nil) {
						t.Error(err)
					}
					cancel()
				}
				if got := r.host.client.options.Limiter.Down(deadHost); got != test.want {
					t.Errorf("down is %v, want %v", got, test.want)
				}
			})
		})
	}
}

// A connection that breaks while a blob is sent was alive until then.
func TestBrokenUploadIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{fails: map[string]error{deadHost: errRefused}, takes: time.Hour}
		r := connected(t, n, Options{})
		blob := layer(100_000)
		commit := func() {
			u := &upload{caller: r.caller, d: blob.Descriptor, location: r.url("x", nil)}
			if err := u.Commit(t.Context(), blob.Stream()); err == nil {
				t.Error("no error")
			}
		}
		commit()
		if r.host.client.options.Limiter.Down(deadHost) {
			t.Error("down after one broken upload")
		}
		n.set(deadHost, &StallError{Phase: "to send data", Limit: 30 * time.Second})
		commit()
		if !r.host.client.options.Limiter.Down(deadHost) {
			t.Error("not down although it took no byte for 30 seconds")
		}
	})
}

// Where a registry keeps its blobs elsewhere, that host is down, and not the registry.
func TestForeignHostThatIsDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := listener.Addr().String()
	_ = listener.Close()
	host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "http://"+dead+"/storage", http.StatusTemporaryRedirect)
	}))
	limiter := limit.New(limit.Options{GiveUp: time.Nanosecond})
	r := target(t, newClient(t, Options{Limiter: limiter}), host, "a")
	fetch := func(i int) error {
		_, err := r.FetchBlob(t.Context(), layer(i).Descriptor)
		return err
	}
	for i := range 10 {
		_ = fetch(i)
	}
	if !limiter.Down(dead) || limiter.Down(host) {
		t.Errorf("down: the storage %v, the registry %v", limiter.Down(dead), limiter.Down(host))
	}
	sent := r.host.client.Requests()[dead]
	err = fetch(10)
	if failure, ok := errors.AsType[*ConnectionError](err); !isDown(err) || !ok || failure.Host != dead || failure.Registry != host {
		t.Errorf("got %v, want that the storage is down", err)
	}
	if got := r.host.client.Requests()[dead]; got != sent || seen.count("GET") != 11 {
		t.Errorf("%d requests to a host that was given up", got-sent)
	}
}

// A registry that counts pulls refuses manifests, and nothing else.
func TestPullsArePausedApart(t *testing.T) {
	refused := false
	host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("ratelimit-limit", "100;w=21600")
		if refused && req.Method == http.MethodGet {
			w.Header().Set("Retry-After", "3600")
			refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "you have reached your pull rate limit")
			return
		}
		manifestOf(image())(w, req)
	}))
	c := newClient(t, Options{})
	r := target(t, c, host, "a")
	pull := func() error {
		_, err := r.FetchManifest(t.Context(), image().Descriptor())
		return err
	}
	if err := pull(); err != nil {
		t.Fatal(err)
	}
	refused = true
	if err := pull(); answer.Status(err) != http.StatusTooManyRequests {
		t.Errorf("got %v, want the refusal", err)
	}
	asked := seen.count("GET")
	pause, ok := errors.AsType[*limit.PauseError](pull())
	if !ok || pause.Registry != host || pause.Class != limit.Pull || seen.count("GET") != asked {
		t.Errorf("got %v after %d more requests, want a pause of pulls without one", pause, seen.count("GET")-asked)
	}
	if _, err := r.Resolve(t.Context(), "v1"); err != nil {
		t.Errorf("HEAD: %v", err)
	}
	other := target(t, c, host, "a")
	other.account = "other"
	if _, err := other.FetchManifest(t.Context(), image().Descriptor()); answer.Status(err) != http.StatusTooManyRequests {
		t.Errorf("another account: got %v, want to be asked", err)
	}
}

func TestDockerHubCountsPulls(t *testing.T) {
	for _, name := range []string{reference.DockerHub, "index.docker.io", "registry-1.docker.io"} {
		h, err := New(Options{}).host(name)
		if err != nil || !h.countsPulls() {
			t.Errorf("%s: %v, or pulls are not counted", name, err)
		}
	}
}
