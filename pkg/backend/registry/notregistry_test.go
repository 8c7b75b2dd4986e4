package registry

import (
	"errors"
	"net/http"
	"testing"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
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
