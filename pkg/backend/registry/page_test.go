package registry

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
)

// Distribution refuses a page that is larger than its catalog.maxentries, where that is set
// below 1000: such a registry could not be listed at all. It is asked for its own size then,
// once: its Link says the rest.
func TestPagesThatMayNotBeLarge(t *testing.T) {
	host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/v2/" {
			return
		}
		switch query := req.URL.Query(); {
		case query.Get("n") == pageSize:
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"errors":[{"code":"PAGINATION_NUMBER_INVALID","message":"invalid number of results requested","detail":{"n":1000}}]}`))
		case query.Get("last") == "":
			w.Header().Set("Link", `</v2/_catalog?last=b&n=2>; rel="next"`)
			_, _ = w.Write([]byte(`{"repositories":["a","b"]}`))
		default:
			_, _ = w.Write([]byte(`{"repositories":["c"]}`))
		}
	}))
	var got []string
	for name, err := range newClient(t, Options{}).Repositories(t.Context(), host, "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	if !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %q", got)
	}
	var asked []string
	for _, req := range seen.all("/v2/_catalog") {
		asked = append(asked, req.URL.RawQuery)
	}
	if want := []string{"n=1000", "", "last=b&n=2"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// One that refuses any size is asked twice, and its refusal told.
func TestPagesOfNoSize(t *testing.T) {
	host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/v2/" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}`))
		}
	}))
	for _, err := range target(t, newClient(t, Options{}), host, "a").Tags(t.Context()) {
		if err == nil {
			t.Error("it is listed")
		}
	}
	if asked := seen.count("/tags/list"); asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
}

// A proxy ended the answers of a registry in their last chunk or in their trailer. The error of net/http for the latter has
// no type, so that it counted as lasting, and the repository as unreadable.
func TestAnswersThatBreakAfterTheDocument(t *testing.T) {
	image := registrytest.Image(registrytest.ImageSpec{})
	for name, tail := range map[string]string{
		"in the trailer": "0\r\n", "in a chunk": "5\r\n  ",
	} {
		t.Run(name, func(t *testing.T) {
			var host string
			var seen *tally
			host, seen = serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				document, mediaType := []byte(`{"name":"app","tags":["1"]}`), "application/json"
				if strings.Contains(req.URL.Path, "/manifests/") {
					document, mediaType = image.Raw, image.Descriptor.MediaType
				}
				w.Header().Set("Content-Type", mediaType)
				if seen.count(req.URL.Path) > 1 || req.URL.Path == "/v2/" {
					_, _ = w.Write(document)
					return
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n%x\r\n%s\r\n%s",
					mediaType, len(document), document, tail)
			}))
			r := source(t, newClient(t, Options{Retry: quick()}), host, "app")
			var tags []string
			for tag, err := range r.Tags(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				tags = append(tags, tag)
			}
			if n := seen.count("/tags/list"); !slices.Equal(tags, []string{"1"}) || n != 2 {
				t.Errorf("got %q by %d requests, want one tag by 2", tags, n)
			}
			if raw, err := r.FetchManifest(t.Context(), image.Descriptor); err != nil || !bytes.Equal(raw, image.Raw) || seen.count("/manifests/") != 2 {
				t.Errorf("manifest: got %d bytes by %d requests, %v", len(raw), seen.count("/manifests/"), err)
			}
		})
	}
}

// A truncated list is read again.
func TestListThatEndsEarly(t *testing.T) {
	server := registrytest.New(t)
	server.Push("app", "1", registrytest.Image(registrytest.ImageSpec{}))
	server.FailTimes(1, registrytest.Match("GET", "/tags/list"), registrytest.EndsEarly.Fault(10))
	var tags []string
	for tag, err := range source(t, newClient(t, Options{Retry: quick()}), server.Host(), "app").Tags(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, tag)
	}
	if len(tags) != 1 || server.Count("GET", "/tags/list") != 2 {
		t.Errorf("got %q by %d requests", tags, server.Count("GET", "/tags/list"))
	}
}
