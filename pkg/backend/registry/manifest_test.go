package registry

import (
	"errors"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

func image() contenttest.Image { return contenttest.NewImage("linux/amd64", layer(10)) }

func TestResolveByHead(t *testing.T) {
	host, seen := serve(t, manifestOf(image()))
	got, err := target(t, newClient(t, Options{}), host, "a").Resolve(t.Context(), "v1")
	want := image().Descriptor()
	if err != nil || got.Digest != want.Digest || got.Size != want.Size || got.MediaType != want.MediaType {
		t.Errorf("got %+v and %v, want %+v", got, err, want)
	}
	if lines := seen.lines(); len(lines) != 1 || lines[0] != "HEAD /v2/a/manifests/v1" {
		t.Errorf("requests: %q", lines)
	}
	accept := seen.all("HEAD")[0].Header.Get("Accept")
	for _, mediaType := range append(content.ManifestMediaTypes(), content.MediaTypeSchema1Signed) {
		if !strings.Contains(accept, mediaType) {
			t.Errorf("%s is not in Accept: %s", mediaType, accept)
		}
	}
}

func TestResolveByGet(t *testing.T) {
	for name, head := range map[string]http.HandlerFunc{
		"405": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) },
		"no digest": func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", image().Descriptor().MediaType)
			w.Header().Set("Content-Length", "17")
		},
		"a digest that is none": func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", image().Descriptor().MediaType)
			w.Header().Set("Docker-Content-Digest", "sha256:../../x")
			w.Header().Set("Content-Length", "17")
		},
		"no length": func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", image().Descriptor().MediaType)
			w.Header().Set("Docker-Content-Digest", image().Digest().String())
		},
	} {
		t.Run(name, func(t *testing.T) {
			host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method == http.MethodHead {
					head(w, req)
					return
				}
				w.Header().Set("Content-Type", image().Descriptor().MediaType+"; charset=utf-8")
				_, _ = w.Write(image().Root.Bytes)
			}))
			got, err := target(t, newClient(t, Options{}), host, "a").Resolve(t.Context(), "v1")
			if want := image().Descriptor(); err != nil || got.Digest != want.Digest || got.Size != want.Size || got.MediaType != want.MediaType {
				t.Errorf("got %+v and %v, want %+v", got, err, want)
			}
		})
	}
}

func TestResolveDigestAnsweredWithAnother(t *testing.T) {
	host, _ := serve(t, manifestOf(image()))
	other := digest.FromString("other").String()
	if got, err := target(t, newClient(t, Options{}), host, "a").Resolve(t.Context(), other); !errors.Is(err, content.ErrMismatch) {
		t.Errorf("got %+v and %v, want a mismatch", got, err)
	}
}

// A manifest of 1 GB, with and without a stated length, is refused without reading it.
func TestHugeManifest(t *testing.T) {
	for _, stated := range []bool{true, false} {
		var sent int
		done := make(chan struct{})
		host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			defer close(done)
			if stated {
				w.Header().Set("Content-Length", strconv.Itoa(1<<30))
			}
			chunk := make([]byte, 64<<10)
			for sent < 1<<30 {
				n, err := w.Write(chunk)
				if sent += n; err != nil {
					return
				}
			}
		}))
		_, err := target(t, newClient(t, Options{Retry: quick()}), host, "a").
			FetchManifest(t.Context(), content.Descriptor{Digest: image().Digest()})
		if !errors.Is(err, content.ErrInvalid) {
			t.Errorf("got %v, want invalid", err)
		}
		if <-done; sent > 64<<20 {
			t.Errorf("stated %v: %d bytes were taken", stated, sent)
		}
	}
	d := image().Descriptor()
	d.Size = 1 << 30
	host, seen := serve(t, manifestOf(image()))
	if _, err := target(t, newClient(t, Options{}), host, "a").FetchManifest(t.Context(), d); !errors.Is(err, content.ErrInvalid) || seen.count("") != 0 {
		t.Errorf("a descriptor of 1 GB: got %v and %q, want invalid and no request", err, seen.lines())
	}
}

func TestSchema1IsNamed(t *testing.T) {
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", content.MediaTypeSchema1Signed)
		_, _ = w.Write([]byte(`{"schemaVersion":1,"signatures":[]}`))
	}))
	_, err := target(t, newClient(t, Options{}), host, "a").FetchManifest(t.Context(), content.Descriptor{Digest: image().Digest()})
	if !errors.Is(err, content.ErrSchema1) {
		t.Errorf("got %v, want schema 1", err)
	}
}

func TestManifestWithOtherBytes(t *testing.T) {
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", image().Descriptor().MediaType)
		w.Header().Set("Docker-Content-Digest", image().Digest().String())
		_, _ = w.Write([]byte(`{"schemaVersion":2}`))
	}))
	r := target(t, newClient(t, Options{}), host, "a")
	if _, err := r.FetchManifest(t.Context(), content.Descriptor{Digest: image().Digest()}); !errors.Is(err, content.ErrMismatch) {
		t.Errorf("got %v, want a mismatch", err)
	}
}

func TestManifestWithAByteFlipped(t *testing.T) {
	want := image().Root
	for _, test := range []struct{ spoilt, gets int }{{1, 2}, {2, 3}, {9, 3}} {
		for name, fetch := range map[string]func(*Repository) error{
			"digest": func(r *Repository) error {
				_, err := r.FetchManifest(t.Context(), want.Descriptor)
				return err
			},
			"tag": func(r *Repository) error {
				_, _, err := r.FetchTag(t.Context(), "v1")
				return err
			},
		} {
			gets := 0
			host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				raw := slices.Clone(want.Bytes)
				if gets++; gets <= test.spoilt {
					raw[len(raw)/2] ^= 1
				}
				w.Header().Set("Content-Type", want.Descriptor.MediaType)
				w.Header().Set("Docker-Content-Digest", want.Descriptor.Digest.String())
				_, _ = w.Write(raw)
			}))
			err := fetch(target(t, newClient(t, Options{}), host, "a"))
			if wrong := errors.Is(err, content.ErrMismatch); gets != test.gets || wrong != (test.spoilt > 2) || err != nil && !wrong {
				t.Errorf("by %s, %d answers spoilt: got %d GETs and %v, want %d", name, test.spoilt, gets, err, test.gets)
			}
		}
	}
}

// Where tags are immutable, a PUT whose answer was lost must not be repeated blindly.
func TestManifestPutWhoseAnswerWasLost(t *testing.T) {
	registry := newRegistry(t)
	var puts atomic.Int64
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodPut || !strings.Contains(req.URL.Path, "/manifests/") {
			registry.ServeHTTP(w, req)
			return
		}
		if puts.Add(1) > 1 {
			refuse(w, http.StatusConflict, "TAG_IMMUTABLE", "The requested tag already exists and cannot be overwritten.")
			return
		}
		registry.ServeHTTP(discardWriter{http.Header{}}, req)
		refuse(w, http.StatusBadGateway, "", "")
	}))
	image().Push(t, target(t, newClient(t, Options{Retry: quick()}), host, "a"), "v1")
	if got := puts.Load(); got != 1 {
		t.Errorf("got %d PUTs, want 1", got)
	}
}

// Distribution 2.8 was killed while it wrote a manifest. It came back with an empty file as the manifest, answered 201 to the
// PUT of the tag, and 500 to each GET: the run ended with success and a broken tag.
func TestManifestThatTheRegistryCannotRead(t *testing.T) {
	for _, reference := range []string{"v1", ""} {
		r, seen := interruptedPush(t, http.StatusBadGateway, func(w http.ResponseWriter, method, _ string) {
			if method == http.MethodPut {
				accepted(w)
				return
			}
			refuse(w, http.StatusInternalServerError, "UNKNOWN", "unknown error")
		})
		for range 2 { // a later call, as of another delivery, does not trust the registry either
			_, err := r.PushManifest(t.Context(), image().Descriptor(), image().Root.Bytes, reference)
			if answer.Status(err) != http.StatusInternalServerError {
				t.Errorf("%q: got %v", reference, err)
			}
		}
		if tagged := seen("PUT v1"); reference == "v1" && tagged != 1 {
			t.Errorf("the tag was written %d times, want only the interrupted one", tagged)
		}
	}
}

func TestManifestAfterAnInterruption(t *testing.T) {
	bySHA256 := image().Digest().String()
	for name, test := range map[string]struct {
		first    int // status of the first PUT
		digest   http.HandlerFunc
		untagged int // PUTs by digest
	}{
		"whole":                      {http.StatusBadGateway, nil, 1},
		"no PUT by digest":           {http.StatusBadGateway, func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadRequest, "TAG_INVALID", "") }, 1},
		"busy, so nothing is broken": {http.StatusServiceUnavailable, nil, 0},
		"manifests by tag only": {http.StatusBadGateway, func(w http.ResponseWriter, req *http.Request) {
			if req.Method == http.MethodPut {
				accepted(w)
			} else {
				refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "")
			}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			tagged := false
			r, seen := interruptedPush(t, test.first, func(w http.ResponseWriter, method, reference string) {
				switch {
				case reference == bySHA256 && test.digest != nil:
					test.digest(w, &http.Request{Method: method})
				case method == http.MethodPut:
					tagged = tagged || reference == "v1"
					accepted(w)
				case reference == "v1" && !tagged:
					refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "")
				default:
					w.Header().Set("Content-Length", strconv.Itoa(len(image().Root.Bytes)))
					w.Header().Set("Content-Type", image().Descriptor().MediaType)
					w.Header().Set("Docker-Content-Digest", bySHA256)
				}
			})
			if _, err := r.PushManifest(t.Context(), image().Descriptor(), image().Root.Bytes, "v1"); err != nil || !tagged {
				t.Errorf("got %v, tagged: %v", err, tagged)
			}
			if got := seen("PUT " + bySHA256); got != test.untagged {
				t.Errorf("got %d PUTs by digest, want %d", got, test.untagged)
			}
		})
	}
}

// interruptedPush is a repository whose registry answers the first PUT of a manifest with a status. seen counts requests, such
// as "PUT v1".
func interruptedPush(t *testing.T, status int, later func(w http.ResponseWriter, method, reference string)) (*Repository, func(string) int) {
	t.Helper()
	var mu sync.Mutex
	requests := map[string]int{}
	interrupted := false
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		reference := path.Base(req.URL.Path)
		requests[req.Method+" "+reference]++
		if req.Method == http.MethodPut && !interrupted {
			interrupted = true
			refuse(w, status, "", "")
			return
		}
		later(w, req.Method, reference)
	}))
	return target(t, newClient(t, Options{Retry: quick()}), host, "a"), func(request string) int {
		mu.Lock()
		defer mu.Unlock()
		return requests[request]
	}
}

// accepted answers the PUT of the image's manifest.
func accepted(w http.ResponseWriter) {
	w.Header().Set("Docker-Content-Digest", image().Digest().String())
	w.WriteHeader(http.StatusCreated)
}

// discardWriter loses an answer.
type discardWriter struct{ header http.Header }

func (d discardWriter) Header() http.Header         { return d.header }
func (d discardWriter) Write(p []byte) (int, error) { return len(p), nil }
func (d discardWriter) WriteHeader(int)             {}

func TestPushedManifestOfAnotherDigest(t *testing.T) {
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Content-Digest", digest.FromString("other").String())
		w.WriteHeader(http.StatusCreated)
	}))
	_, err := target(t, newClient(t, Options{}), host, "a").PushManifest(t.Context(), image().Descriptor(), image().Root.Bytes, "v1")
	if !errors.Is(err, content.ErrMismatch) {
		t.Errorf("got %v, want a mismatch", err)
	}
}

func TestDelete(t *testing.T) {
	for _, test := range []struct {
		status int
		code   string
		want   error
	}{
		{202, "", nil}, {200, "", nil}, {404, "MANIFEST_UNKNOWN", content.ErrNotFound},
		{405, "UNSUPPORTED", content.ErrUnsupported}, {400, "UNSUPPORTED", content.ErrUnsupported}, {403, "DENIED", content.ErrDenied},
	} {
		host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if test.code == "" {
				w.WriteHeader(test.status)
				return
			}
			refuse(w, test.status, test.code, "The operation is unsupported here.")
		}))
		err := target(t, newClient(t, Options{}), host, "a").Delete(t.Context(), "v1")
		if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), "unsupported here") {
			t.Errorf("%d %s: got %v, want %v", test.status, test.code, err, test.want)
		}
	}
}

// What a tag names has the digest that it was pushed with, where the registry knows the parameter;
// another registry names the same bytes by their sha256, as distribution does.
func TestPushTagBySHA512(t *testing.T) {
	other := contenttest.NewImage("linux/amd64", layer(20))
	for name, test := range map[string]struct {
		answer digest.Digest
		want   error
	}{
		"sha512":          {image().As(digest.SHA512).Digest(), nil},
		"sha256":          {image().Digest(), nil},
		"another content": {other.Digest(), content.ErrMismatch},
		"no digest":       {"sha256:../../x", content.ErrMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Docker-Content-Digest", test.answer.String())
				w.WriteHeader(http.StatusCreated)
			}))
			pushed := image().As(digest.SHA512)
			_, err := target(t, newClient(t, Options{}), host, "a").PushManifest(t.Context(), pushed.Descriptor(), pushed.Root.Bytes, "v1")
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if got := seen.all("PUT")[0].URL.Query().Get("digest"); got != pushed.Digest().String() {
				t.Errorf("the digest in the URL is %q", got)
			}
		})
	}
}
