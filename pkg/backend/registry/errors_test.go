package registry

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/retry"
)

// The text of an error has the registry's code and words, and not the URL, which is data.
func TestErrorText(t *testing.T) {
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "slow down")
	}))
	_, err := target(t, newClient(t, Options{}), host, "a/b").StartUpload(t.Context(), contenttest.NewLayer("x", 10).Descriptor)
	want := host + ": 429 Too Many Requests: TOOMANYREQUESTS: slow down"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	refusal, ok := errors.AsType[*Error](err)
	if !ok || refusal.Method != http.MethodPost || refusal.URL != "http://"+host+"/v2/a/b/blobs/uploads/" || refusal.RetryAfter() != 7*time.Second || refusal.HTTPStatus() != 429 || !retry.Retryable(err) {
		t.Errorf("got %+v, want 429 with 7s, retryable", refusal)
	}
}

// nobody is where nothing listens. A port that was free a moment ago may be another test's by
// now; this one no server is ever given that asks for any.
const nobody = "127.0.0.1:1"

func TestUnreachable(t *testing.T) {
	_, err := target(t, newClient(t, Options{}), nobody, "a").Resolve(t.Context(), "latest")
	failure, ok := errors.AsType[*ConnectionError](err)
	if !ok || failure.Registry != nobody || failure.Host != nobody || failure.Timeout() || !retry.Retryable(err) {
		t.Errorf("refused: got %v (%+v)", err, failure)
	}
	_, err = target(t, newClient(t, Options{}), unresolvable+".direct.invalid", "a").Resolve(t.Context(), "latest")
	if dns, ok := errors.AsType[*net.DNSError](err); !ok || dns.Name != unresolvable+".direct.invalid" {
		t.Errorf("unknown host: got %v, want a DNS error", err)
	}
}

func TestCancelledContextIsNoTimeout(t *testing.T) {
	began := make(chan struct{})
	host, _ := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		close(began)
		<-req.Context().Done()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	_, err := target(t, newClient(t, Options{Retry: quick()}), host, "a").Resolve(ctx, "latest")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
}
