package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
)

// few is a limiter with one slot of each class.
func few() *limit.Limiter {
	return limit.New(limit.Options{MaxConnections: func(string) int { return 3 }})
}

// An item by itself has a slot while it is sent and its answer is read. The requests of a
// blob have none, and tokens are asked for before: nothing waits for a slot that it needs
// itself.
func TestItemsTakeSlots(t *testing.T) {
	var now, most atomic.Int64
	registry := newRegistry(t)
	host, _ := serve(t, &tokenAuth{registry: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !strings.Contains(req.URL.Path, "/blobs/") {
			n := now.Add(1)
			defer now.Add(-1)
			for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
			}
			time.Sleep(time.Millisecond)
		}
		registry.ServeHTTP(w, req)
	})})
	r := target(t, newClient(t, Options{Limiter: few()}), host, "a")
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			image().Push(t, r, fmt.Sprint("v", i))
			image().Check(t, r)
			if _, err := content.ReadBlob(t.Context(), r, image().Blobs[0].Descriptor); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() != 1 {
		t.Errorf("%d small requests were in flight, want one", most.Load())
	}
}

// What takes a slot waits for it; what takes none does not.
func TestWhatTakesASlot(t *testing.T) {
	host, _ := serve(t, newRegistry(t))
	limiter := few()
	r := target(t, newClient(t, Options{Limiter: limiter}), host, "a")
	blob := layer(10)
	for _, class := range []limit.Class{limit.Read, limit.Write, limit.Small} {
		release, err := limiter.Acquire(t.Context(), limit.Peer{Registry: host}, class)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(release)
	}
	push(t, r, 10)
	blob.Check(t, r)
	_, mountErr := r.Mount(t.Context(), blob.Descriptor, "a")
	ranged, rangeErr := r.FetchBlobRange(t.Context(), blob.Descriptor, 1, 2)
	if err := errors.Join(mountErr, rangeErr, ranged.Close()); err != nil {
		t.Errorf("a request of a blob waits for a slot: %v", err)
	}
	image := image()
	for name, ask := range map[string]func(context.Context) error{
		"resolve": func(ctx context.Context) error { _, err := r.Resolve(ctx, "v1"); return err },
		"pull":    func(ctx context.Context) error { _, err := r.FetchManifest(ctx, image.Descriptor()); return err },
		"push": func(ctx context.Context) error {
			_, err := r.PushManifest(ctx, image.Descriptor(), image.Root.Bytes, "")
			return err
		},
		"delete": func(ctx context.Context) error { return r.Delete(ctx, "v1") },
		"config": func(ctx context.Context) error { _, err := r.ReadBlob(ctx, blob.Descriptor); return err },
		"check":  r.CheckWrite,
		"tags": func(ctx context.Context) error {
			for _, err := range r.Tags(ctx) {
				return err
			}
			return nil
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want to wait for a slot", name, err)
		}
		cancel()
	}
}

// A mirror of hundreds of repositories has as many tokens to ask for.
func TestTokenServerIsNotFlooded(t *testing.T) {
	var now, most atomic.Int64
	tokens := &tokenAuth{registry: newRegistry(t)}
	host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/token" {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(5 * time.Millisecond)
			now.Add(-1)
		}
		tokens.ServeHTTP(w, req)
	}))
	c := newClient(t, Options{})
	_, _ = target(t, c, host, "first").Resolve(t.Context(), "v1") // from here on, tokens are asked for
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if _, err := target(t, c, host, fmt.Sprint("r", i)).Resolve(t.Context(), "v1"); !errors.Is(err, content.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() > 16 || seen.count("/token") != 101 || seen.count("HEAD") != 102 {
		t.Errorf("%d at a time, %d tokens and %d HEADs", most.Load(), seen.count("/token"), seen.count("HEAD"))
	}
}

// The requests of a blob are sent once, whatever comes: whoever has its slots decides.
func TestRequestsOfABlobAreSentOnce(t *testing.T) {
	for _, status := range []int{429, 500, 503} {
		host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		r := target(t, newClient(t, Options{Retry: quick()}), host, "a")
		blob := layer(10)
		session := &upload{caller: r.caller, d: blob.Descriptor, location: r.url("blobs/uploads/1", nil)}
		_, hasErr := r.HasBlob(t.Context(), blob.Descriptor)
		_, mountErr := r.Mount(t.Context(), blob.Descriptor, "b")
		_, startErr := r.StartUpload(t.Context(), blob.Descriptor)
		_, fetchErr := r.FetchBlob(t.Context(), blob.Descriptor)
		_, rangeErr := r.FetchBlobRange(t.Context(), blob.Descriptor, 1, 2)
		_, offsetErr := session.Offset(t.Context())
		errs := []error{hasErr, mountErr, startErr, fetchErr, rangeErr, offsetErr, session.Cancel(t.Context())}
		for i, err := range errs {
			if answer.Status(err) != status {
				t.Errorf("%d: request %d: got %v", status, i, err)
			}
		}
		if got := seen.count(""); got != len(errs) {
			t.Errorf("%d: %q, want one request each", status, seen.lines())
		}
	}
}

// A body that breaks is read again, also when only its end is missing.
func TestBrokenAnswersAreReadAgain(t *testing.T) {
	for name, cut := range map[string]int{"in the middle": 100, "before the last chunk": 0} {
		t.Run(name, func(t *testing.T) {
			var reads atomic.Int64
			host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method != http.MethodGet || reads.Add(1) == 3 {
					manifestOf(image())(w, req)
					return
				}
				w.Header().Set("Content-Type", image().Descriptor().MediaType)
				raw := image().Root.Bytes
				_, _ = w.Write(raw[:len(raw)-cut])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}))
			r := target(t, newClient(t, Options{Retry: quick()}), host, "a")
			if _, err := r.FetchManifest(t.Context(), image().Descriptor()); err != nil || reads.Load() != 3 {
				t.Errorf("got %v after %d reads", err, reads.Load())
			}
		})
	}
}

// What is asked of a mirror can be asked of its registry: a mirror that is down or paused is
// not waited for.
func TestMirrorThatIsPaused(t *testing.T) {
	host, _ := serve(t, manifestOf(image()))
	mirror, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	c := newClient(t, Options{Retry: quick(), Hosts: func(name string) HostConfig {
		if name == host {
			return HostConfig{Mirrors: []string{"http://" + mirror}}
		}
		return HostConfig{}
	}})
	for range 3 {
		r := source(t, c, host, "a")
		r.mirrors[0].host.avoided.observe(0)
		if _, err := r.Resolve(t.Context(), "v1"); err != nil {
			t.Fatal(err)
		}
	}
	if got := seen.count(""); got != 1 {
		t.Errorf("%d requests to a mirror that is paused, want one", got)
	}
}

// What is not an item of a blob is tried again, although a blob's requests are used for it.
func TestConfigAndCheckAreTriedAgain(t *testing.T) {
	registry := newRegistry(t)
	var failures atomic.Int64
	host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if failures.Add(-1) >= 0 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		registry.ServeHTTP(w, req)
	}))
	r := target(t, newClient(t, Options{Retry: quick()}), host, "a")
	push(t, r, 10)
	failures.Store(2)
	if _, err := content.ReadBlob(t.Context(), r, layer(10).Descriptor); err != nil {
		t.Error(err)
	}
	failures.Store(2)
	if err := r.CheckWrite(t.Context()); err != nil || seen.count("DELETE") != 1 {
		t.Errorf("got %v, and %d sessions were cancelled", err, seen.count("DELETE"))
	}
}
