package registry

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/regsync/regsync/pkg/content/contenttest"
)

// mirrored is a registry with an image, and a client that knows the given mirrors of it.
func mirrored(t *testing.T, image contenttest.Image, mirrors ...string) (*Repository, *tally) {
	t.Helper()
	host, seen := serve(t, newRegistry(t))
	image.Push(t, target(t, newClient(t, Options{}), host, "team/app"), "v1")
	before := seen.lines()
	c := newClient(t, Options{Retry: quick(), Hosts: func(name string) HostConfig {
		if name == host {
			return HostConfig{Mirrors: mirrors}
		}
		return HostConfig{}
	}})
	seen.mu.Lock()
	seen.requests = seen.requests[len(before):]
	seen.mu.Unlock()
	return source(t, c, host, "team/app"), seen
}

func checkAll(t *testing.T, r *Repository, image contenttest.Image) {
	t.Helper()
	if d, err := r.Resolve(t.Context(), "v1"); err != nil || d.Digest != image.Digest() {
		t.Errorf("resolve: got %s and %v, want %s", d.Digest, err, image.Digest())
	}
	image.Check(t, r)
}

func TestMirrorIsReadFirst(t *testing.T) {
	image := contenttest.NewImage("linux/amd64", layer(1000))
	registry := newRegistry(t)
	mirror, asked := serve(t, registry)
	image.Push(t, target(t, newClient(t, Options{}), mirror, "hub/team/app"), "v1")
	r, seen := mirrored(t, image, "http://"+mirror+"/hub")
	checkAll(t, r, image)
	if got := seen.lines(); len(got) != 0 {
		t.Errorf("the registry was asked %q", got)
	}
	if asked.count("GET /v2/hub/team/app/blobs/") != len(image.Blobs) {
		t.Errorf("the mirror was asked %q", asked.lines())
	}
	push(t, r, 50)
	if asked.count("POST /v2/hub/team/app/blobs/uploads/") != len(image.Blobs) || seen.count("PUT") != 1 {
		t.Errorf("a write went to the mirror: %q", asked.lines())
	}
	writer := target(t, r.host.client, r.host.wire.Name(), "team/app")
	if _, err := writer.Resolve(t.Context(), "v1"); err != nil || seen.count("HEAD /v2/team/app/manifests/v1") != 1 {
		t.Errorf("a target was resolved elsewhere: %v, %q", err, seen.lines())
	}
}

func TestMirrorFailures(t *testing.T) {
	image := contenttest.NewImage("linux/amd64", layer(1000))
	for name, test := range map[string]struct {
		handler  http.HandlerFunc
		requests int // to the mirror, at most
	}{
		"not there": {http.NotFound, 4},
		"denied":    {func(w http.ResponseWriter, _ *http.Request) { refuse(w, 403, "DENIED", "no") }, 4},
		"broken":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, 1},
		"hangs up":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 1},
		"busy":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, 1},
		"a page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>welcome"))
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			mirror, asked := serve(t, test.handler)
			r, _ := mirrored(t, image, "http://"+mirror)
			checkAll(t, r, image)
			if asked.count("") > test.requests {
				t.Errorf("the mirror was asked %q, want at most %d", asked.lines(), test.requests)
			}
		})
	}
}

// A mirror that serves other bytes is found out, and the next attempt goes to the registry.
func TestLyingMirror(t *testing.T) {
	image := contenttest.NewImage("linux/amd64", layer(100_000))
	blob := image.Blobs[len(image.Blobs)-1]
	for _, b := range image.Blobs {
		if b.Descriptor.Size == 100_000 {
			blob = b
		}
	}
	for name, send := range map[string]func(w http.ResponseWriter){
		"other bytes": func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, 100_000)) },
		"hangs up": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(blob.Bytes[:1000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			mirror, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { send(w) }))
			r, _ := mirrored(t, image, "http://"+mirror)
			body, err := r.FetchBlob(t.Context(), blob.Descriptor)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(body); err == nil || bytes.Equal(got, blob.Bytes) {
				t.Fatalf("got %d bytes and %v, want an error", len(got), err)
			}
			_ = body.Close()
			blob.Check(t, r)
		})
	}
}
