package registry

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
)

// Docker Hub sends three kinds of 429, other registries one of them.
func TestKindsOfTooManyRequests(t *testing.T) {
	const longText = `{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit. https://www.docker.com/increase-rate-limit"}]}`
	unix := func(in time.Duration) string { return strconv.FormatInt(time.Now().Add(in).Unix(), 10) }
	for _, test := range []struct {
		name   string
		method string
		counts bool // the registry was known to count pulls
		header map[string]string
		body   string
		want   Limit
		wait   time.Duration // at least, of pulls
		small  bool          // small requests wait, too
	}{
		{"pulls", "GET", true, map[string]string{"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600"}, longText, LimitPulls, 6 * time.Hour, false},
		{"pulls with a time", "GET", true, map[string]string{"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600", "Retry-After": unix(time.Hour)}, longText, LimitPulls, 59 * time.Minute, false},
		{"pulls, known by the source of the limit", "GET", false, map[string]string{"docker-ratelimit-source": "192.0.2.1"}, longText, LimitPulls, 6 * time.Hour, false},
		{"pulls, known by the body", "GET", true, nil, longText, LimitPulls, 6 * time.Hour, false},
		{"abuse", "GET", true, map[string]string{"Retry-After": "3600"}, "429 Too Many Requests", LimitRequests, 59 * time.Minute, true},
		{"abuse although pulls are left", "GET", true, map[string]string{"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "10;w=21600", "Retry-After": "3600"}, "Too Many Requests", LimitRequests, 59 * time.Minute, true},
		{"abuse with the code of any 429, although pulls are left", "GET", true, map[string]string{"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "10;w=21600", "Retry-After": "3600"}, longText, LimitRequests, 59 * time.Minute, true},
		{"abuse by HEADs", "HEAD", true, map[string]string{"Retry-After": "3600"}, "", LimitRequests, 59 * time.Minute, true},
		{"a limit of requests, of another registry", "GET", false, map[string]string{"ratelimit-limit": "60", "ratelimit-remaining": "0", "Retry-After": "3600"}, longText, LimitRequests, 59 * time.Minute, true},
		{"a registry that counts nothing", "GET", false, nil, longText, LimitRequests, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for name, value := range test.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(http.StatusTooManyRequests)
				_, _ = w.Write([]byte(test.body))
			}))
			limiter := limit.New(limit.Options{})
			r := target(t, newClient(t, Options{Limiter: limiter}), host, "a")
			if test.counts {
				r.host.pulls.Store(pullsCounted)
			}
			var err error
			if test.method == http.MethodHead {
				_, err = r.Resolve(t.Context(), "v1")
			} else {
				_, err = r.FetchManifest(t.Context(), image().Descriptor())
			}
			refusal, ok := errors.AsType[*Error](err)
			if !ok || refusal.Limit != test.want {
				t.Fatalf("got %v, want a 429 about %s", err, test.want)
			}
			if pause, ok := errors.AsType[*limit.PauseError](err); ok && pause.Quota != (test.want == LimitPulls) {
				t.Errorf("got %v", pause)
			}
			peer := limit.Peer{Registry: host}
			for class, waits := range map[limit.Class]bool{limit.Pull: test.wait > 0, limit.Small: test.small} {
				_, err := limiter.Acquire(t.Context(), peer, class)
				pause, paused := errors.AsType[*limit.PauseError](err)
				if paused != waits || paused && pause.RetryAfter() < test.wait-time.Minute {
					t.Errorf("class %d: %v, want a pause: %v", class, err, waits)
				}
			}
			if n := len(seen.lines()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

// Where Docker Hub's API asks for a pause, other listings wait for it, and pulls do not.
func TestDockerHubsAPIIsLimitedApart(t *testing.T) {
	requests := 0
	address, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.Header().Set("X-RateLimit-Limit", "180")
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	limiter := limit.New(limit.Options{})
	c := newClient(t, Options{HubAPI: "http://" + address, Limiter: limiter})
	for range 3 {
		_, err := collectNames(t, c, "team")
		refusal, refused := errors.AsType[*Error](err)
		pause, paused := errors.AsType[*limit.PauseError](err)
		told := refused && refusal.Limit == LimitAPI || paused && pause.Registry == address
		if !told || errors.Is(err, content.ErrDenied) {
			t.Errorf("got %v, want the limit of the API", err)
		}
	}
	if requests != 1 {
		t.Errorf("%d requests, want 1", requests)
	}
	for _, class := range []limit.Class{limit.Small, limit.Pull} {
		if _, err := limiter.Try(t.Context(), limit.Peer{Registry: "docker.io"}, class); err != nil {
			t.Errorf("class %d: %v", class, err)
		}
	}
}
