package registry

import (
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"

	godigest "github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
)

// page is what a web server shows for every address.
func page(mediaType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write([]byte(body))
	}
}

// A web server passed for a registry: its page got a digest, and the password was kept that
// it had never looked at.
func TestWebServerIsNoRegistry(t *testing.T) {
	layer := layer(10).Descriptor
	for operation, try := range map[string]func(*Client, *Repository) error{
		"resolve a tag": func(_ *Client, r *Repository) error {
			_, err := r.Resolve(t.Context(), "v1")
			return err
		},
		"resolve a digest": func(_ *Client, r *Repository) error {
			_, err := r.Resolve(t.Context(), image().Digest().String())
			return err
		},
		"fetch": func(_ *Client, r *Repository) error {
			_, err := r.FetchManifest(t.Context(), content.Descriptor{Digest: image().Digest()})
			return err
		},
		"tags": func(_ *Client, r *Repository) error {
			for _, err := range r.Tags(t.Context()) {
				return err
			}
			return nil
		},
		"repositories": func(c *Client, r *Repository) error {
			for _, err := range c.Repositories(t.Context(), r.host.wire.Name(), "") {
				return err
			}
			return nil
		},
		"referrers": func(_ *Client, r *Repository) error {
			_, err := r.Referrers(t.Context(), layer.Digest)
			if !errors.Is(err, content.ErrUnsupported) {
				t.Errorf("referrers: got %v, want unsupported", err)
			}
			return err
		},
		"login": func(c *Client, r *Repository) error {
			_, err := c.Login(t.Context(), r.host.wire.Name(), auth.Credential{Username: "alice", Password: "correct horse"})
			return err
		},
	} {
		t.Run(operation, func(t *testing.T) {
			host, _ := serve(t, page("text/html; charset", "<!doctype html><title>Welcome</title>"))
			c := newClient(t, Options{Retry: quick()})
			err := try(c, target(t, c, host, "a"))
			page, ok := errors.AsType[*NotRegistryError](err)
			if !ok || page.Host != host || page.MediaType != "text/html" || !errors.Is(err, content.ErrInvalid) {
				t.Errorf("got %v, want that %s is no registry", err, host)
			}
		})
	}
}

// What does not say that it is a manifest may still be one.
func TestManifestsUnderOtherTypes(t *testing.T) {
	for _, test := range []struct {
		mediaType, body string
		good            bool
	}{
		{"application/json", `{"schemaVersion":2}`, true},
		{"text/plain", `{"manifests":[]}`, true},
		{"application/octet-stream", `{"config":{"digest":"sha256:1"}}`, true},
		{"application/json", `{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[]}`, true}, // it has no version
		{"application/json", `{"error":"not found"}`, false},
		{"application/json", `["schemaVersion"]`, false},
		{"text/plain", "welcome", false},
		{"text/html", `{"schemaVersion":2}`, false},
	} {
		host, _ := serve(t, page(test.mediaType, test.body))
		_, err := target(t, newClient(t, Options{}), host, "a").Resolve(t.Context(), "v1")
		if _, refused := errors.AsType[*NotRegistryError](err); refused == test.good || (err == nil) != test.good {
			t.Errorf("%s %s: got %v, want a manifest: %v", test.mediaType, test.body, err, test.good)
		}
	}
}

func TestLoginLooksAtTheBase(t *testing.T) {
	const version = "Docker-Distribution-Api-Version"
	for _, test := range []struct {
		name, mediaType, body, version string
		good                           bool
	}{
		{"distribution", "application/json; charset=utf-8", "{}", "registry/2.0", true},
		{"quay", "text/html; charset=utf-8", "true", "registry/2.0", true},
		{"empty", "", "", "", true},
		{"JSON as text", "text/plain", "{}", "", true},
		{"an empty page", "text/html", "", "", false},
		{"words", "text/plain", "it works", "", false},
	} {
		host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if test.version != "" {
				w.Header().Set(version, test.version)
			}
			page(test.mediaType, test.body)(w, req)
		}))
		_, err := newClient(t, Options{}).Login(t.Context(), host, alice)
		if _, refused := errors.AsType[*NotRegistryError](err); refused == test.good || (err == nil) != test.good {
			t.Errorf("%s: got %v, want a registry: %v", test.name, err, test.good)
		}
	}
}

// A manifest is there when the registry says so: with 201 and its digest, or by HEAD after another success. A proxy or a
// login page answered 200 to a PUT, and the tag was reported as copied.
func TestManifestPutIsConfirmed(t *testing.T) {
	image := image()
	digest, other := image.Digest().String(), layer(10).Descriptor.Digest.String()
	const none, there, elsewhere, late, noHead, vague, login = "none", "there", "elsewhere", "late", "no HEAD", "vague", "login"
	for name, test := range map[string]struct {
		status       int
		digest       string
		mediaType    string
		body         string
		head         string
		heads, gets  int
		confirmed    bool
		notARegistry bool
	}{
		"201 with the digest":            {status: 201, digest: digest, confirmed: true},
		"an empty 201 labelled as HTML":  {status: 201, digest: digest, mediaType: "text/html", confirmed: true},
		"201 without it, and there":      {status: 201, head: there, heads: 1, confirmed: true},
		"202 with it, and there":         {status: 202, digest: digest, head: there, heads: 1, confirmed: true},
		"200, and not there":             {status: 200, head: none, heads: 3, notARegistry: true},
		"200, and another is there":      {status: 200, head: elsewhere, heads: 3, notARegistry: true},
		"200, and there a little later":  {status: 200, head: late, heads: 2, confirmed: true},
		"no HEAD":                        {status: 202, head: noHead, heads: 1, gets: 1, confirmed: true},
		"HEAD says nothing":              {status: 200, head: vague, heads: 1, gets: 1, confirmed: true},
		"HEAD and GET say nothing":       {status: 200, head: login, heads: 1, gets: 1, notARegistry: true},
		"a page":                         {status: 200, mediaType: "text/html", body: "<title>Sign in</title>", notARegistry: true},
		"the digest of something else":   {status: 201, digest: other, notARegistry: true},
		"a page with the right digest":   {status: 201, digest: digest, mediaType: "text/html", body: "ok", confirmed: true},
		"another digest and a 204":       {status: 204, digest: other, notARegistry: true},
		"204 without a digest, is there": {status: 204, head: there, heads: 1, confirmed: true},
	} {
		t.Run(name, func(t *testing.T) {
			var heads, gets, puts atomic.Int32
			host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.Method {
				case http.MethodPut:
					puts.Add(1)
					w.Header().Set("Content-Type", test.mediaType)
					if test.digest != "" {
						w.Header().Set("Docker-Content-Digest", test.digest)
					}
					w.WriteHeader(test.status)
					_, _ = w.Write([]byte(test.body))
				case http.MethodHead:
					switch n := heads.Add(1); {
					case test.head == none, test.head == late && n == 1:
						w.WriteHeader(http.StatusNotFound)
						return
					case test.head == noHead:
						w.WriteHeader(http.StatusMethodNotAllowed)
						return
					case test.head == vague, test.head == login: // chunked, for example
						return
					}
					w.Header().Set("Content-Type", image.Root.Descriptor.MediaType)
					w.Header().Set("Content-Length", strconv.Itoa(len(image.Root.Bytes)))
					w.Header().Set("Docker-Content-Digest", map[string]string{there: digest, late: digest, elsewhere: other}[test.head])
				case http.MethodGet:
					gets.Add(1)
					if test.head == login {
						page("text/html", "<title>Sign in</title>")(w, r)
						return
					}
					w.Header().Set("Content-Type", image.Root.Descriptor.MediaType)
					_, _ = w.Write(image.Root.Bytes)
				}
			}))
			_, err := target(t, newClient(t, Options{Retry: quick()}), host, "a").PushManifest(t.Context(), image.Root.Descriptor, image.Root.Bytes, "v1")
			page, refused := errors.AsType[*NotRegistryError](err)
			if (err == nil) != test.confirmed || refused != test.notARegistry || refused && page.Host != host {
				t.Errorf("got %v, want it confirmed: %v", err, test.confirmed)
			}
			if int(heads.Load()) != test.heads || int(gets.Load()) != test.gets || puts.Load() != 1 {
				t.Errorf("%d HEAD, %d GET and %d PUT requests, want %d, %d and 1", heads.Load(), gets.Load(), puts.Load(), test.heads, test.gets)
			}
			if refused && retry.Retryable(err) {
				t.Errorf("%v: another attempt would send it again", err)
			}
		})
	}
}

// A registry that knows no other digest names an image by its sha256. Such images failed after a 202.
func TestManifestPutIsConfirmedBySHA256(t *testing.T) {
	pushed := image().As(godigest.SHA512)
	for _, tag := range []string{"v1", ""} {
		host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				w.WriteHeader(http.StatusAccepted)
				return
			}
			manifestOf(image())(w, r)
		}))
		_, err := target(t, newClient(t, Options{Retry: quick()}), host, "a").PushManifest(t.Context(), pushed.Descriptor(), pushed.Root.Bytes, tag)
		if err != nil || seen.count("") != 2 {
			t.Errorf("tag %q: got %v after %q, want a PUT and a HEAD", tag, err, seen.lines())
		}
	}
}

// An account that may push and not pull was taken for one that may not push: nothing more was sent to the repository.
func TestManifestPutThatMayNotBeRead(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				w.WriteHeader(http.StatusAccepted)
				return
			}
			refuse(w, status, "", "")
		}))
		_, err := target(t, newClient(t, Options{Retry: quick()}), host, "a").
			PushManifest(t.Context(), image().Descriptor(), image().Root.Bytes, "v1")
		_, unconfirmed := errors.AsType[*UnconfirmedError](err)
		if !unconfirmed || !errors.Is(err, content.ErrUnconfirmed) || errors.Is(err, content.ErrDenied) || errors.Is(err, content.ErrUnauthorized) || content.AnswerOf(err).Status != status {
			t.Errorf("%d: got %v, want that it cannot be confirmed", status, err)
		}
		if len(seen.all(http.MethodPut)) != 1 || len(seen.all(http.MethodHead)) != 1 {
			t.Errorf("requests: %q", seen.lines())
		}
	}
}
