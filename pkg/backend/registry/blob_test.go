package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
)

func TestBlobOfAnotherLength(t *testing.T) {
	for _, length := range []int{99, 101} {
		host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, length))
		}))
		r := target(t, newClient(t, Options{}), host, "a")
		if _, err := r.FetchBlob(t.Context(), layer(100).Descriptor); !errors.Is(err, content.ErrMismatch) {
			t.Errorf("%d for 100 bytes: got %v, want a mismatch", length, err)
		}
		if there, err := r.HasBlob(t.Context(), layer(100).Descriptor); there || err != nil {
			t.Errorf("has a blob of %d for 100 bytes: got %v and %v, want false", length, there, err)
		}
	}
}

// A connection that ends in the middle is an error, never a short blob.
func TestHangUpInMidBody(t *testing.T) {
	for name, length := range map[string]string{"with a length": "100000", "chunked": ""} {
		host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			_, _ = w.Write(layer(100_000).Bytes[:50_000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))
		body, err := target(t, newClient(t, Options{}), host, "a").FetchBlob(t.Context(), layer(100_000).Descriptor)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n, err := io.Copy(io.Discard, body); n != 50_000 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %d bytes and %v, want 50000 and an unexpected end", name, n, err)
		} else if want := "read blob " + layer(100_000).Descriptor.Digest.String() + ": "; !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s before it", name, err, want)
		} else if !retry.Retryable(err) {
			t.Errorf("%s: %v is not retried", name, err)
		}
		_ = body.Close()
	}
}

func TestRangeIsExactOrUnsupported(t *testing.T) {
	blob := layer(1000)
	for _, test := range []struct {
		name         string
		status       int
		contentRange string
		body         []byte
		want         error
	}{
		{"exact", 206, "bytes 100-199/1000", blob.Bytes[100:200], nil},
		{"of unknown size", 206, "bytes 100-199/*", blob.Bytes[100:200], nil},
		{"everything", 200, "", blob.Bytes, content.ErrUnsupported},
		{"another range", 206, "bytes 0-99/1000", blob.Bytes[:100], content.ErrUnsupported},
		{"another size", 206, "bytes 100-199/2000", blob.Bytes[100:200], content.ErrUnsupported},
		{"a shorter range", 206, "bytes 100-149/1000", blob.Bytes[100:150], content.ErrUnsupported},
		{"another length", 206, "bytes 100-199/1000", blob.Bytes[100:150], content.ErrUnsupported},
		{"no range stated", 206, "", blob.Bytes[100:200], content.ErrUnsupported},
		{"not there", 404, "", nil, content.ErrNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if test.contentRange != "" {
					w.Header().Set("Content-Range", test.contentRange)
				}
				w.WriteHeader(test.status)
				_, _ = w.Write(test.body)
			}))
			body, err := target(t, newClient(t, Options{}), host, "a").FetchBlobRange(t.Context(), blob.Descriptor, 100, 100)
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if got := seen.all("GET")[0].Header.Get("Range"); got != "bytes=100-199" {
				t.Errorf("asked for %q", got)
			}
			if err != nil {
				return
			}
			defer body.Close()
			if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, test.body) {
				t.Errorf("got %d bytes and %v", len(got), err)
			}
		})
	}
}

// A range without a stated length that ends early, and well-formed, is cut all the same.
func TestShortRange(t *testing.T) {
	blob := layer(1000)
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", "bytes 100-199/1000")
		w.WriteHeader(http.StatusPartialContent)
		w.(http.Flusher).Flush()
		_, _ = w.Write(blob.Bytes[100:150])
	}))
	body, err := target(t, newClient(t, Options{}), host, "a").FetchBlobRange(t.Context(), blob.Descriptor, 100, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if len(got) != 50 || !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), blob.Descriptor.Digest.String()) {
		t.Errorf("got %d bytes and %v, want 50 and an unexpected end of that blob", len(got), err)
	}
}

// A storage server gets no Authorization, and its 403 is none about the account.
func TestRedirectToStorage(t *testing.T) {
	blob := layer(1000)
	var expired atomic.Bool
	storage, asked := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if expired.Load() {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"))
			return
		}
		_, _ = w.Write(blob.Bytes)
	}))
	host, _ := serve(t, basicAuth(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "http://"+storage+"/bucket/x?X-Amz-Signature=sssecret", http.StatusTemporaryRedirect)
	}), "alice", "correct horse"))
	r := target(t, newClient(t, Options{Credentials: logins(alice)}), host, "a")
	body, err := r.FetchBlob(t.Context(), blob.Descriptor)
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	got, err := io.ReadAll(body)
	_ = body.Close()
	if err != nil || !bytes.Equal(got, blob.Bytes) {
		t.Errorf("got %d bytes and %v", len(got), err)
	}
	for _, req := range asked.all("") {
		if req.Header.Get("Authorization") != "" {
			t.Errorf("Authorization went to the storage: %s", req.Header)
		}
	}
	expired.Store(true)
	_, err = r.FetchBlob(t.Context(), blob.Descriptor)
	if answer.Status(err) != 403 || errors.Is(err, content.ErrDenied) || strings.Contains(err.Error(), "sssecret") {
		t.Errorf("an expired signature: got %v, want 403, not denied, no secret", err)
	}
}

func TestRefusedRedirects(t *testing.T) {
	for name, location := range map[string]string{
		"metadata": "http://169.254.169.254/latest/meta-data", "user info": "http://u:p@127.0.0.1/x", "in a circle": "/v2/a/blobs/again",
	} {
		host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}))
		_, err := target(t, newClient(t, Options{Retry: quick()}), host, "a").FetchBlob(t.Context(), layer(10).Descriptor)
		if !errors.Is(err, content.ErrInvalid) || seen.count("") > 8 {
			t.Errorf("%s: got %v after %d requests, want a refusal", name, err, seen.count(""))
		}
	}
}

// Redirects of a POST are followed where they say so, with the same method.
func TestRedirectOfPost(t *testing.T) {
	registry := newRegistry(t)
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/v2/old/") {
			http.Redirect(w, req, strings.Replace(req.URL.RequestURI(), "/old/", "/new/", 1), http.StatusPermanentRedirect)
			return
		}
		registry.ServeHTTP(w, req)
	}))
	push(t, target(t, newClient(t, Options{}), host, "old"), 10)
}

// Bytes are taken as they are kept: nothing is unpacked on the way.
func TestNoContentEncodingIsAsked(t *testing.T) {
	blob := layer(100)
	host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(blob.Bytes) }))
	blob.Check(t, target(t, newClient(t, Options{}), host, "a"))
	for _, req := range seen.all("") {
		if got := req.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding: got %q", got)
		}
		if got := req.UserAgent(); got != "regsync" {
			t.Errorf("User-Agent: got %q", got)
		}
	}
}

func TestTagsArePaged(t *testing.T) {
	elsewhere, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"tags":["d"]}`))
	}))
	host, _ := serve(t, basicAuth(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.RequestURI() {
		case "/v2/a/tags/list?n=1000":
			w.Header().Set("Link", `</v2/a/tags/list?next_page=gAAAA%3D%3D&n=2>; rel="next"`)
			_, _ = w.Write([]byte(`{"name":"a","tags":["a","b"]}`))
		case "/v2/a/tags/list?next_page=gAAAA%3D%3D&n=2":
			w.Header().Set("Link", fmt.Sprintf(`<http://%s/prev>; rel="prev", <http://%s/more>; rel=next`, elsewhere, elsewhere))
			_, _ = w.Write([]byte(`{"name":"a","tags":["c"]}`))
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}), "alice", "correct horse"))
	var got []string
	for tag, err := range target(t, newClient(t, Options{Credentials: logins(alice)}), host, "a").Tags(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, tag)
	}
	if strings.Join(got, " ") != "a b c d" {
		t.Errorf("got %q", got)
	}
	if req := seen.all("/more"); len(req) != 1 || req[0].Header.Get("Authorization") != "" {
		t.Errorf("the other host was asked %q, want once without Authorization", seen.lines())
	}
}

// A Link may lead to another host once. Each further host would have a state in the limiter.
func TestPagesOnManyHosts(t *testing.T) {
	addresses := make([]string, 3)
	var asked atomic.Int64
	for i := range addresses {
		addresses[i], _ = serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n := asked.Add(1)
			w.Header().Set("Link", fmt.Sprintf(`<http://%s/%d>; rel=next`, addresses[(i+1)%3], n))
			_, _ = w.Write([]byte(`{"name":"a","tags":["a"]}`))
		}))
	}
	var last error
	for _, err := range target(t, newClient(t, Options{}), addresses[0], "a").Tags(t.Context()) {
		last = err
	}
	if !errors.Is(last, content.ErrInvalid) || asked.Load() != 2 {
		t.Errorf("got %v after %d requests, want an error after 2", last, asked.Load())
	}
}

func TestListingLies(t *testing.T) {
	for name, test := range map[string]struct {
		link, body string
		want       error
	}{
		"in a circle":   {`</v2/a/tags/list?n=1000>; rel="next"`, `{"tags":["a"]}`, content.ErrInvalid},
		"to metadata":   {`<http://169.254.169.254/>; rel="next"`, `{"tags":["a"]}`, content.ErrInvalid},
		"no JSON":       {"", `<html>`, content.ErrInvalid},
		"no tags":       {"", `{"tags":null}`, nil},
		"no link in it": {"nonsense", `{"tags":["a"]}`, nil},
	} {
		host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if test.link != "" {
				w.Header().Set("Link", test.link)
			}
			_, _ = w.Write([]byte(test.body))
		}))
		var last error
		for _, err := range target(t, newClient(t, Options{}), host, "a").Tags(t.Context()) {
			last = err
		}
		if !errors.Is(last, test.want) || seen.count("") > 2 {
			t.Errorf("%s: got %v after %d requests, want %v", name, last, seen.count(""), test.want)
		}
	}
}

func TestReferrersUnsupported(t *testing.T) {
	for _, test := range []struct {
		name     string
		answer   http.HandlerFunc
		requests int // for two questions
	}{
		{"404", http.NotFound, 1},
		{"a web page", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, 1},
		{"405", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) }, 1},
		{"no such repository", func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "NAME_UNKNOWN", "unknown") }, 2},
	} {
		host, seen := serve(t, test.answer)
		c := newClient(t, Options{})
		for _, name := range []string{"a", "b"} {
			if _, err := target(t, c, host, name).Referrers(t.Context(), image().Digest()); !errors.Is(err, content.ErrUnsupported) {
				t.Errorf("%s: got %v, want unsupported", test.name, err)
			}
		}
		if seen.count("") != test.requests {
			t.Errorf("%s: got %q, want %d", test.name, seen.lines(), test.requests)
		}
	}
}

func TestReferrersBrokenIsNotUnsupported(t *testing.T) {
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w, 403, "DENIED", "no") }))
	_, err := target(t, newClient(t, Options{}), host, "a").Referrers(t.Context(), image().Digest())
	if errors.Is(err, content.ErrUnsupported) || !errors.Is(err, content.ErrDenied) {
		t.Errorf("got %v, want denied", err)
	}
}

func TestRepositories(t *testing.T) {
	server := &tokenAuth{username: "alice", password: "correct horse", registry: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Query().Get("last") == "" {
			w.Header().Set("Link", `</v2/_catalog?last=b&n=2>; rel="next"`)
			_, _ = w.Write([]byte(`{"repositories":["a","b"]}`))
			return
		}
		_, _ = w.Write([]byte(`{"repositories":["c/d"]}`))
	})}
	host, _ := serve(t, server)
	var got []string
	for name, err := range newClient(t, Options{Credentials: logins(alice)}).Repositories(t.Context(), host, "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	if strings.Join(got, " ") != "a b c/d" {
		t.Errorf("got %q", got)
	}
	none, _ := serve(t, http.NotFoundHandler())
	for _, err := range newClient(t, Options{}).Repositories(t.Context(), none, "") {
		if !errors.Is(err, content.ErrUnsupported) {
			t.Errorf("no catalog: got %v, want unsupported", err)
		}
	}
}

// A registry redirects each request for a blob to a storage. Each range of a blob costs one request, as long as the
// URL is valid.
func TestRangesOfARedirectedBlob(t *testing.T) {
	blob := layer(100_000)
	valid := "first"
	storage, stored := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Query().Get("signed") != valid || req.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(blob.Bytes))
	}))
	backing := newRegistry(t)
	host, asked := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") {
			http.Redirect(w, req, "http://"+storage+"/x?signed="+valid, http.StatusTemporaryRedirect)
			return
		}
		backing.ServeHTTP(w, req)
	}))
	c := newClient(t, Options{})
	r := source(t, c, host, "team/app")
	read := func(offset int64) {
		t.Helper()
		body, err := r.FetchBlobRange(t.Context(), blob.Descriptor, offset, 1000)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = body.Close() }()
		if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, blob.Bytes[offset:offset+1000]) {
			t.Errorf("read %d bytes and %v", len(got), err)
		}
	}
	for i := range 5 {
		read(int64(i) * 1000)
	}
	if registry, store := asked.count("GET /v2/team"), stored.count("GET"); registry != 1 || store != 5 {
		t.Errorf("%d requests to the registry and %d to its storage, want 1 and 5", registry, store)
	}
	valid = "second"
	read(50_000)
	read(60_000)
	if registry, store := asked.count("GET /v2/team"), stored.count("GET"); registry != 2 || store != 8 {
		t.Errorf("%d requests to the registry and %d to its storage after the URL had expired, want 2 and 8", registry, store)
	}
}
