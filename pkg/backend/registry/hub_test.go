package registry

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
)

// hubAPIServer answers as Docker Hub's API does: listings in pages of two, whatever size is
// asked for, with the address of the next one.
type hubAPIServer struct {
	listings map[string][]string // by path, the elements as JSON
	next     func(req *http.Request, page int) string
}

func (s *hubAPIServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	all, found := s.listings[req.URL.Path]
	w.Header().Set("Content-Type", "application/json")
	if !found {
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"message":"object not found","errinfo":{}}`)
		return
	}
	const size = 2
	page, _ := strconv.Atoi(req.URL.Query().Get("page"))
	page = max(page, 1)
	next := "null"
	if page*size < len(all) {
		next = strconv.Quote(s.next(req, page+1))
	}
	begin := min((page-1)*size, len(all))
	_, _ = fmt.Fprintf(w, `{"count":%d,"next":%s,"previous":null,"results":[%s]}`,
		len(all), next, strings.Join(all[begin:min(begin+size, len(all))], ","))
}

// nextOfHub is the address as Docker Hub gives it.
func nextOfHub(req *http.Request, page int) string {
	return fmt.Sprintf("http://%s%s?page=%d&page_size=100", req.Host, req.URL.Path, page)
}

const (
	hubTags  = "/v2/namespaces/library/repositories/nginx/tags"
	hubTeams = "/v2/namespaces/team/repositories"
)

func newHub() *hubAPIServer {
	return &hubAPIServer{next: nextOfHub, listings: map[string][]string{
		hubTags: {
			`{"name":"1.27.4","last_updated":"2025-02-06T01:24:24Z","tag_last_pushed":"2025-02-05T23:28:36.199362Z","images":[{"os":"linux"}]}`,
			`{"name":"1.27","tag_last_pushed":"2025-02-05T23:28:40Z"}`,
			`{"name":"1.9","last_updated":"2015-12-09T20:32:41Z","tag_last_pushed":null}`,
			`{"name":"1.7","tag_last_pushed":""}`,
			`{"name":"latest","tag_last_pushed":"2025-02-05T23:28:36Z"}`,
		},
		hubTeams: {
			`{"name":"app","namespace":"team","is_private":false}`, `{"name":"base","namespace":"team"}`, `{"name":"web","namespace":"team"}`,
		},
	}}
}

// hubClient is a client whose Docker Hub is a server of the test, and whose credentials
// nobody there may see.
func hubClient(t *testing.T, handler http.Handler, retries retry.Policy) (*Client, *tally) {
	t.Helper()
	address, seen := serve(t, handler)
	alice := logins(auth.Credential{Username: "alice", Password: "secret"})
	return newClient(t, Options{HubAPI: "http://" + address, Retry: retries, Credentials: alice, UserAgent: "regsync/test"}), seen
}

func TestPushed(t *testing.T) {
	c, seen := hubClient(t, newHub(), retry.Policy{})
	times, err := source(t, c, reference.DockerHub, "library/nginx").Pushed(t.Context())
	want := map[string]time.Time{
		"1.27.4": time.Date(2025, 2, 5, 23, 28, 36, 199362000, time.UTC), "1.27": time.Date(2025, 2, 5, 23, 28, 40, 0, time.UTC),
		"1.9": {}, "1.7": {}, "latest": time.Date(2025, 2, 5, 23, 28, 36, 0, time.UTC),
	}
	if err != nil || !maps.EqualFunc(times, want, time.Time.Equal) {
		t.Errorf("got %v, %v; want %v", times, err, want)
	}
	lines := []string{
		"GET " + hubTags + "?page_size=100", "GET " + hubTags + "?page=2&page_size=100", "GET " + hubTags + "?page=3&page_size=100",
	}
	if got := seen.lines(); !slices.Equal(got, lines) {
		t.Errorf("asked %q, want %q", got, lines)
	}
	for _, req := range seen.all("GET") {
		if req.Header.Get("Authorization") != "" || req.UserAgent() != "regsync/test" {
			t.Errorf("sent %v", req.Header)
		}
	}
	for host, n := range c.Requests() {
		if n != 3 {
			t.Errorf("%s: counted %d requests, want 3", host, n)
		}
	}
}

func TestPushedIsNotTold(t *testing.T) {
	c, _ := hubClient(t, newHub(), retry.Policy{})
	tests := []struct{ host, name string }{
		{"harbor.corp:5443", "a/b"},
		{reference.DockerHub, "team/private"},
	}
	var said strings.Builder
	for _, test := range tests {
		_, err := target(t, c, test.host, test.name).Pushed(t.Context())
		if !errors.Is(err, content.ErrUnsupported) {
			t.Errorf("%s/%s: got %v, want unsupported", test.host, test.name, err)
			continue
		}
		fmt.Fprintln(&said, localPort.ReplaceAllString(err.Error(), "HUB"))
	}
	golden.Text(t, said.String())
}

func TestHubRepositories(t *testing.T) {
	c, seen := hubClient(t, newHub(), retry.Policy{})
	names, err := collectNames(t, c, "team")
	if want := []string{"team/app", "team/base", "team/web"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("got %q, %v; want %q", names, err, want)
	}
	if n := seen.count("GET"); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	_, err = collectNames(t, c, "nobody")
	if !errors.Is(err, content.ErrNotFound) || !strings.HasSuffix(content.AnswerOf(err).URL, "/v2/namespaces/nobody/repositories?page_size=100") {
		t.Errorf("a namespace that is not there: %v", err)
	}
	for _, bad := range []string{"", "..", "UPPER", "a?x=y"} {
		before := seen.count("GET")
		if names, err := collectNames(t, c, bad); !errors.Is(err, content.ErrInvalid) || seen.count("GET") != before {
			t.Errorf("namespace %q: %q, %v", bad, names, err)
		}
	}
}

// Who wants two names asks for one page.
func TestHubRepositoriesEndEarly(t *testing.T) {
	c, seen := hubClient(t, newHub(), retry.Policy{})
	for name, err := range c.Repositories(t.Context(), reference.DockerHub, "team/") {
		if err != nil || name != "team/app" {
			t.Errorf("%q, %v", name, err)
		}
		break
	}
	if n := seen.count("GET"); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func collectNames(t *testing.T, c *Client, namespace string) ([]string, error) {
	t.Helper()
	var names []string
	for name, err := range c.Repositories(t.Context(), reference.DockerHub, namespace+"/") {
		if err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, nil
}

var localPort = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// Where the next page is, an answer says: it must not lead elsewhere, nor in a circle.
func TestHubPagesThatMislead(t *testing.T) {
	tests := []struct {
		name string
		next func(*http.Request, int) string
	}{
		{"another host", func(*http.Request, int) string { return "http://elsewhere.example/v2" }},
		{"cloud metadata", func(*http.Request, int) string { return "http://169.254.169.254/latest" }},
		{"no web address", func(*http.Request, int) string { return "file:///etc/passwd" }},
		{"itself", func(req *http.Request, _ int) string { return req.URL.RequestURI() }},
		{"a circle", func(req *http.Request, page int) string { return nextOfHub(req, 2-page%2) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			hub := newHub()
			hub.next = test.next
			if test.name == "a circle" {
				hub.listings[hubTeams] = append(hub.listings[hubTeams], hub.listings[hubTeams]...)
			}
			c, _ := hubClient(t, hub, retry.Policy{})
			_, err := collectNames(t, c, "team")
			if !errors.Is(err, content.ErrInvalid) {
				t.Fatalf("got %v, want invalid content", err)
			}
			golden.Text(t, localPort.ReplaceAllString(err.Error(), "HUB"))
		})
	}
}

func TestHubAnswersOtherwise(t *testing.T) {
	tests := []struct{ name, mediaType, body string }{
		{"a web page", "text/html", "<html>"},
		{"no JSON", "application/json", "sorry"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, _ := hubClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", test.mediaType)
				_, _ = fmt.Fprint(w, test.body)
			}), retry.Policy{})
			if names, err := collectNames(t, c, "team"); !errors.Is(err, content.ErrInvalid) {
				t.Errorf("got %q, %v; want invalid content", names, err)
			}
		})
	}
}

// Docker Hub says as a Unix time when to come back.
func TestHubLimitsRequests(t *testing.T) {
	var refused atomic.Bool
	hub := newHub()
	limited := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if refused.CompareAndSwap(false, true) {
			w.Header().Set("X-Retry-After", strconv.FormatInt(time.Now().Unix(), 10))
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		hub.ServeHTTP(w, req)
	})
	c, seen := hubClient(t, limited, quick())
	if names, err := collectNames(t, c, "team"); err != nil || len(names) != 3 || seen.count("GET") != 3 {
		t.Errorf("got %q, %v with %d requests", names, err, seen.count("GET"))
	}

	later, _ := hubClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Retry-After", strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
		w.WriteHeader(http.StatusTooManyRequests)
	}), quick())
	_, err := collectNames(t, later, "team")
	if wait := retry.After(err); wait < 50*time.Minute || wait > time.Hour {
		t.Errorf("come back in %v (%v), want an hour", wait, err)
	}
}
