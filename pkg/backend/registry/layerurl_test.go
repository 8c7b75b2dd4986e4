package registry

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
)

// A foreign layer comes from the first URL that has it. The host of the URL sees no password.
func TestFetchURLs(t *testing.T) {
	blob := layer(5000)
	blob.Descriptor.MediaType = content.MediaTypeDockerForeignLayer
	mux := http.NewServeMux()
	far, seen := serve(t, mux)
	mux.HandleFunc("/blob", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(blob.Bytes) })
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4999")
		_, _ = w.Write(blob.Bytes[1:])
	})
	mux.HandleFunc("/busy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/secret", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	mux.Handle("/moved", http.RedirectHandler("/blob", http.StatusFound))
	mux.Handle("/inside", http.RedirectHandler("http://10.1.2.3/blob", http.StatusFound))
	mux.Handle("/named", http.RedirectHandler("http://user@"+far+"/blob", http.StatusFound))

	near := &tokenAuth{registry: newRegistry(t), username: "alice", password: "correct horse"}
	host, _ := serve(t, near)
	r := source(t, newClient(t, Options{Credentials: logins(alice)}), host, "team/app")
	if _, err := r.FetchBlob(t.Context(), blob.Descriptor); !errors.Is(err, content.ErrNotFound) { // it is reached by plain http
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		urls []string
		want error
	}{
		{"one", []string{"/blob"}, nil},
		{"the second", []string{"/none", "/blob"}, nil},
		{"a redirect", []string{"/moved"}, nil},
		{"after others that fail", []string{"/short", "/busy", "/secret", "/inside", "/named", "/blob"}, nil},
		{"none", nil, content.ErrNotFound},
		{"gone", []string{"/none"}, content.ErrNotFound},
		{"other bytes", []string{"/short"}, content.ErrMismatch},
		{"a redirect into a network", []string{"/inside"}, content.ErrInvalid},
		{"a redirect with user info", []string{"/named"}, content.ErrInvalid},
		{"too many", []string{"/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/blob"}, content.ErrNotFound},
	} {
		d := blob.Descriptor
		d.URLs = nil
		for _, path := range test.urls {
			d.URLs = append(d.URLs, "http://"+far+path)
		}
		body, err := r.FetchURLs(t.Context(), d)
		if test.want != nil {
			if !errors.Is(err, test.want) {
				t.Errorf("%s: got %v, want %v", test.name, err, test.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, blob.Bytes) {
			t.Errorf("%s: got %d bytes and %v", test.name, len(got), err)
		}
		_ = body.Close()
	}

	refused := blob.Descriptor
	refused.URLs = []string{"http://" + far + "/secret"}
	if _, err := r.FetchURLs(t.Context(), refused); err == nil || errors.Is(err, content.ErrUnauthorized) {
		t.Errorf("got %v, want an error that is not about the account at the registry", err)
	}
	busy := blob.Descriptor
	busy.URLs = []string{"http://" + far + "/none", "http://" + far + "/busy"}
	if _, err := r.FetchURLs(t.Context(), busy); !retry.Retryable(err) {
		t.Errorf("got %v, want an error that may pass", err)
	}
	for _, req := range seen.all(http.MethodGet) {
		if req.Header.Get("Authorization") != "" {
			t.Errorf("%s was shown %q", req.URL, req.Header.Get("Authorization"))
		}
	}
}

// distribution answers 500 to manifests with URLs that its configuration does not allow.
func TestRefusedLayerURLs(t *testing.T) {
	image := registrytest.Image(registrytest.ImageSpec{Docker: true, Layers: []registrytest.Layer{{Foreign: true}, {}}})
	plain := registrytest.Image(registrytest.ImageSpec{})
	server := registrytest.New(t, registrytest.With(registrytest.NoLayerURLs))
	r := target(t, newClient(t, Options{Retry: retry.Policy{Attempts: 8, Base: time.Millisecond, Max: time.Millisecond}}), server.Host(), "win/app")
	for _, puts := range []int{2, 3} { // the second image is refused at once
		_, err := r.PushManifest(t.Context(), image.Descriptor, image.Raw, "v1")
		refused, ok := errors.AsType[*LayerURLsError](err)
		if !ok || refused.Registry != server.Host() || retry.Retryable(err) || !errors.Is(err, content.ErrUnsupported) {
			t.Errorf("got %v, want a lasting refusal of the URLs", err)
		}
		if got := server.Count(http.MethodPut, "/manifests/"); got != puts {
			t.Errorf("got %d PUTs, want %d", got, puts)
		}
	}
	server.FailTimes(1, registrytest.Match(http.MethodPut, "/manifests/"), registrytest.Fault{Status: http.StatusBadRequest, Code: "MANIFEST_INVALID"})
	_, err := r.PushManifest(t.Context(), image.Descriptor, image.Raw, "v1")
	if _, ok := errors.AsType[*LayerURLsError](err); !ok || retry.Retryable(err) || errors.Is(err, content.ErrUnsupported) {
		t.Errorf("400: got %v, want a refusal of the URLs, after which missing layers are sent", err)
	}
	broken, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNKNOWN","message":"unknown error"}]}`)
	}))
	r = target(t, newClient(t, Options{Retry: quick()}), broken, "app")
	if _, err := r.PushManifest(t.Context(), plain.Descriptor, plain.Raw, "v1"); !retry.Retryable(err) {
		t.Errorf("a manifest without URLs: got %v, want an error that may pass", err)
	}
}

// A refusal of artifacts is not about the account.
func TestRefusedArtifact(t *testing.T) {
	server := registrytest.New(t, registrytest.With(registrytest.ImagesOnly))
	r := target(t, newClient(t, Options{Retry: quick()}), server.Host(), "app")
	attestation := registrytest.Attestation(registrytest.Image(registrytest.ImageSpec{}))
	_, err := r.PushManifest(t.Context(), attestation.Descriptor, attestation.Raw, "v1")
	refused, ok := errors.AsType[*ArtifactError](err)
	if !ok || refused.Registry != server.Host() || !errors.Is(err, content.ErrUnsupported) || errors.Is(err, content.ErrDenied) || retry.Retryable(err) {
		t.Errorf("got %v, want a lasting refusal of artifacts", err)
	}
	if got := server.Count(http.MethodPut, "/manifests/"); got != 1 {
		t.Errorf("%d PUTs, want 1", got)
	}
}

// Distribution looks for manifests below an index, and refuses one of layers.
func TestRefusedIndexOfLayers(t *testing.T) {
	server := registrytest.New(t)
	server.Fail(func(req *http.Request) *registrytest.Fault {
		if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/") {
			return &registrytest.Fault{Status: http.StatusBadRequest, Code: "MANIFEST_BLOB_UNKNOWN"}
		}
		return nil
	})
	r := target(t, newClient(t, Options{}), server.Host(), "app")
	raw := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"` +
		content.MediaTypeDockerLayer + `","digest":"` + layer(10).Descriptor.Digest.String() + `","size":10}]}`)
	_, err := r.PushManifest(t.Context(), content.NewDescriptor("application/vnd.oci.image.index.v1+json", raw), raw, "cache")
	if refused, ok := errors.AsType[*BlobsInIndexError](err); !ok || refused.Registry != server.Host() || errors.Is(err, content.ErrUnsupported) {
		t.Errorf("got %v, want a refusal of the index, after which missing layers are sent", err)
	}
	image := image()
	_, err = r.PushManifest(t.Context(), image.Descriptor(), image.Root.Bytes, "1")
	if _, ok := errors.AsType[*BlobsInIndexError](err); ok || err == nil {
		t.Errorf("an image: got %v", err)
	}
}
