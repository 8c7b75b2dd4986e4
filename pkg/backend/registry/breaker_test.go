package registry

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/gate"
	"github.com/regsync/regsync/internal/retry"
)

// network is a RoundTripper whose hosts fail as they are told to, after a while.
type network struct {
	takes time.Duration
	asked atomic.Int64
	mu    sync.Mutex
	fails map[string]error // by host; others answer 503
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
	defer n.mu.Unlock()
	if err := n.fails[req.URL.Host]; err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody}, nil
}

var errRefused = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}

// guarded is a breaker above a network.
func guarded(n *network) *breaker {
	h := &host{client: New(Options{}), name: "dead.test", registry: "dead.test"}
	return &breaker{h, &observe{h, n}}
}

func send(ctx context.Context, rt http.RoundTripper, host string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://"+host+"/v2/a/manifests/1", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := rt.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func wasSpared(err error) bool {
	_, spared := errors.AsType[*UnreachableError](err)
	return spared
}

// sendFor sends a request every 10 seconds and tells how many were spared.
func sendFor(t *testing.T, rt http.RoundTripper, host string, d time.Duration) (spared int) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Second) {
		if wasSpared(send(t.Context(), rt, host)) {
			spared++
		}
	}
	return spared
}

func TestHostOutOfReachIsSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{fails: map[string]error{"dead.test": errRefused}}
		b := guarded(n)
		if spared := sendFor(t, b, "dead.test", outage); spared != 0 {
			t.Errorf("%d requests were spared within the first minute", spared)
		}
		_ = send(t.Context(), b, "dead.test")
		asked := n.asked.Load()
		err := send(t.Context(), b, "dead.test")
		if !wasSpared(err) || !errors.Is(err, syscall.ECONNREFUSED) || retry.Retryable(err) || n.asked.Load() != asked {
			t.Errorf("got %v after %d more requests, want the old cause, for good, without one", err, n.asked.Load()-asked)
		}
		if got := err.Error(); strings.Count(got, "https://") != 1 || !strings.Contains(got, "out of reach for 1m0s") {
			t.Errorf("error %q", got)
		}
		if err := send(t.Context(), b, "other.test"); err != nil {
			t.Errorf("another host suffers for it: %v", err)
		}
		if got := b.host.client.Requests()["dead.test"]; got != asked {
			t.Errorf("%d requests are counted, %d were sent", got, asked)
		}
		sendFor(t, b, "dead.test", 10*time.Minute)
		if probes := n.asked.Load() - asked - 1; probes < 10 || probes > 21 {
			t.Errorf("%d probes in 10 minutes, want one every 30 seconds or so", probes)
		}
		n.set("dead.test", nil)
		sendFor(t, b, "dead.test", 2*probePause)
		if spared := sendFor(t, b, "dead.test", time.Minute); spared != 0 {
			t.Errorf("%d requests were spared after the host came back", spared)
		}
	})
}

// An answer is an answer, and what ends on our side tells nothing of a host.
func TestWhatDoesNotOpenTheCircuit(t *testing.T) {
	for name, test := range map[string]struct {
		err        error
		cancel     bool
		alternates bool // an answer follows each failure
	}{
		"503":                  {},
		"cancelled":            {err: errRefused, cancel: true},
		"no such host":         {err: &net.DNSError{IsNotFound: true}},
		"a certificate":        {err: errors.New("tls: handshake failure")},
		"one failure a minute": {err: errRefused, alternates: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{fails: map[string]error{"dead.test": test.err}}
				b := guarded(n)
				for i := range 40 {
					ctx, cancel := context.WithCancel(t.Context())
					if test.cancel {
						n.takes = time.Second
						time.AfterFunc(time.Millisecond, cancel)
					}
					if err := send(ctx, b, "dead.test"); wasSpared(err) {
						t.Fatalf("request %d: %v", i, err)
					}
					cancel()
					if test.alternates {
						n.set("dead.test", nil)
						_ = send(t.Context(), b, "dead.test")
						n.set("dead.test", test.err)
					}
					time.Sleep(30 * time.Second)
				}
			})
		})
	}
}

// Rare failures that lie far apart are no outage, though nothing was asked in between.
func TestOldFailuresAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := guarded(&network{fails: map[string]error{"dead.test": errRefused}})
		for range 20 {
			if err := send(t.Context(), b, "dead.test"); wasSpared(err) {
				t.Fatal(err)
			}
			time.Sleep(outageGap + time.Second)
		}
	})
}

// A host was out of reach, and was not needed for an hour. The first of many images that
// come to it then was sent as a probe; all others failed for what was true an hour ago.
func TestHostThatWasNotNeededForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{takes: time.Second, fails: map[string]error{"dead.test": errRefused}}
		b := guarded(n)
		if sendFor(t, b, "dead.test", 2*outage) == 0 {
			t.Fatal("the host was never spared")
		}
		n.set("dead.test", nil)
		time.Sleep(time.Hour)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := send(t.Context(), b, "dead.test"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// The body of an upload comes from another host: its errors are not this one's.
func TestBrokenBodyIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := guarded(&network{fails: map[string]error{"dead.test": errRefused}})
		for range 20 {
			ctx := withIntent(t.Context(), intent{stream: true})
			req, err := http.NewRequestWithContext(ctx, http.MethodPut, "https://dead.test/v2/a/blobs/uploads/1", strings.NewReader("blob"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.RoundTrip(req); wasSpared(err) {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Second)
		}
	})
}

// Ten thousand tags go to a host that drops packets. Each would try five times, for ten
// seconds, sixteen at a time: nine hours.
func TestCostOfADeadHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tags, window = 10_000, 256
		n := &network{takes: 10 * time.Second, fails: map[string]error{
			"dead.test": &net.OpError{Op: "dial", Err: syscall.ETIMEDOUT},
		}}
		rt := &gated{gate.New(nil), "dead.test", guarded(n)}
		slots := make(chan struct{}, window)
		var all sync.WaitGroup
		var failed atomic.Int64
		start := time.Now()
		for range tags {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				err := retry.Policy{}.Do(t.Context(), func(ctx context.Context) error { return send(ctx, rt, "dead.test") })
				if errors.Is(err, syscall.ETIMEDOUT) {
					failed.Add(1)
				}
			})
		}
		all.Wait()
		t.Logf("%d tags took %v and %d requests", tags, time.Since(start), n.asked.Load())
		if took := time.Since(start); took > 2*time.Minute || n.asked.Load() > 200 || failed.Load() != tags {
			t.Errorf("%d of %d tags failed in %v with %d requests", failed.Load(), tags, took, n.asked.Load())
		}
	})
}

// A client spares a host for all repositories, and for nobody else's host.
func TestClientSparesADeadHost(t *testing.T) {
	live, seen := serve(t, newRegistry(t))
	c := newClient(t, Options{Retry: quick(), Hosts: hosts(HostConfig{TLS: TLSDisabled})})
	for range outageFailures {
		c.circuits.failed(endpoint("http", nobody), errRefused)
	}
	c.circuits.hosts[endpoint("http", nobody)].first = time.Now().Add(-2 * outage)

	for _, name := range []string{"a", "b"} {
		_, err := target(t, c, nobody, name).Resolve(t.Context(), "v1")
		failure, found := errors.AsType[*ConnectionError](err)
		if !wasSpared(err) || !found || failure.RegistryHost() != nobody || !strings.Contains(failure.URL, "/v2/"+name+"/") {
			t.Errorf("repository %s: %v", name, err)
		}
	}
	if got := c.Requests()[nobody]; got != 0 {
		t.Errorf("%d requests to the dead host", got)
	}
	if _, err := target(t, c, live, "a").Resolve(t.Context(), "none"); wasSpared(err) || seen.count("") == 0 {
		t.Errorf("the live host: %v", err)
	}
}
