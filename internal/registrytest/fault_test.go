package registrytest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
)

func TestFailTimes(t *testing.T) {
	s := registrytest.New(t)
	s.FailTimes(2, registrytest.Match("GET", "/manifests/"), registrytest.Fault{
		Status: 429, Code: "TOOMANYREQUESTS", Message: "slow down", Header: http.Header{"Retry-After": {"7"}},
	})
	wantStatus(t, do(t, s, "GET", "/v2/", nil), http.StatusOK)
	for range 2 {
		answer := do(t, s, "GET", "/v2/a/manifests/1", nil)
		wantCode(t, answer, http.StatusTooManyRequests, "TOOMANYREQUESTS")
		if got := answer.Header.Get("Retry-After"); got != "7" {
			t.Errorf("Retry-After %q", got)
		}
	}
	wantStatus(t, do(t, s, "GET", "/v2/a/manifests/1", nil), http.StatusNotFound)
}

func TestHeal(t *testing.T) {
	s := registrytest.New(t)
	s.Fail(func(*http.Request) *registrytest.Fault { return &registrytest.Fault{Status: 503} })
	wantStatus(t, do(t, s, "GET", "/v2/", nil), http.StatusServiceUnavailable)
	s.Heal()
	wantStatus(t, do(t, s, "GET", "/v2/", nil), http.StatusOK)
}

func TestCutAnswer(t *testing.T) {
	s := registrytest.New(t)
	raw := registrytest.Random(1, 100_000)
	d := s.PushBlob("a", raw)
	for _, after := range []int64{0, 1, 70_000} {
		s.FailTimes(1, registrytest.Match("GET", "/blobs/"), registrytest.CleanEnd.Fault(after))
		got, err := try(t, s, "GET", "/v2/a/blobs/"+d.String(), nil)
		if err == nil || int64(len(got.body)) != after || !bytes.HasPrefix(raw, got.body) {
			t.Errorf("cut after %d: got %d bytes, %v", after, len(got.body), err)
		}
	}
	s.FailTimes(1, registrytest.Match("GET", "/blobs/"), registrytest.Fault{Cut: true, After: 100_000})
	if got := do(t, s, "GET", "/v2/a/blobs/"+d.String(), nil); !bytes.Equal(got.body, raw) {
		t.Errorf("a body that is no longer than the cut: got %d bytes", len(got.body))
	}
}

// What came before the cut is in the session, and the session can be continued.
func TestCutUploadIsContinued(t *testing.T) {
	s := registrytest.New(t)
	raw := registrytest.Random(1, 200_000)
	d := digest.FromBytes(raw).String()
	opened := open(t, s, "a")
	s.FailTimes(1, registrytest.Match("PUT", "/uploads/"), registrytest.Fault{Cut: true, After: 50_000})
	if _, err := try(t, s, "PUT", location(t, opened, "digest", d), raw); err == nil {
		t.Fatal("the upload was not cut")
	}
	where := do(t, s, "GET", location(t, opened), nil)
	if got := where.Header.Get("Range"); got != "0-49999" {
		t.Fatalf("the session holds %q", got)
	}
	wantStatus(t, do(t, s, "PUT", location(t, opened, "digest", d), raw[50_000:]), http.StatusRequestedRangeNotSatisfiable)
	wantStatus(t, do(t, s, "DELETE", location(t, opened), nil), http.StatusRequestedRangeNotSatisfiable)
	wantStatus(t, do(t, s, "PUT", location(t, where, "digest", d), raw[50_000:]), http.StatusCreated)
	if !s.HasBlob("a", digest.Digest(d)) {
		t.Error("the blob is not there")
	}
	if got := s.BlobBytesIn(); got < 200_000 || got > 210_000 {
		t.Errorf("%d bytes of blobs came in", got)
	}
}

func TestShortUploadPassesTheCut(t *testing.T) {
	s := registrytest.New(t)
	raw := []byte("0123456789")
	s.FailTimes(1, registrytest.Match("PUT", "/uploads/"), registrytest.Fault{Cut: true, After: 10})
	put := do(t, s, "PUT", location(t, open(t, s, "a"), "digest", digest.FromBytes(raw).String()), raw)
	wantStatus(t, put, http.StatusCreated)
}

// silence is how long nothing happens where nothing ever will.
const silence = 50 * time.Millisecond

// hangs shows that only its caller ends a request, in the silence after the log is as
// begun wants it.
func hangs(t *testing.T, s *registrytest.Server, method, to string, body []byte, begun func(registrytest.Requests) bool) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	var leaving sync.WaitGroup
	defer leaving.Wait()
	defer leave()
	leaving.Go(func() {
		if s.Await(ctx, begun) == nil {
			time.AfterFunc(silence, leave)
		}
	})
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.Client().Do(req)
	if err == nil {
		answer.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%s %s ended with %v", method, to, err)
	}
}

func TestHang(t *testing.T) {
	s := registrytest.New(t)
	d := s.PushBlob("a", []byte("0123456789"))
	s.Fail(func(r *http.Request) *registrytest.Fault {
		if r.Method == http.MethodPost {
			return nil
		}
		return &registrytest.Fault{Hang: true, After: 4}
	})
	opened := open(t, s, "a")
	hangs(t, s, "PUT", location(t, opened, "digest", d.String()), []byte("0123456789"), func(all registrytest.Requests) bool {
		return all.BytesIn() == 5 // the last one tells that the body goes on
	})
	s.Heal()
	if got := do(t, s, "GET", location(t, opened), nil).Header.Get("Range"); got != "0-3" {
		t.Errorf("the session holds %q", got)
	}
	s.Fail(func(*http.Request) *registrytest.Fault { return &registrytest.Fault{Hang: true} })
	hangs(t, s, "GET", s.URL()+"/v2/", nil, func(all registrytest.Requests) bool {
		return len(all.Find("GET", "^/v2/$")) == 1
	})
}

func TestHangInTheAnswer(t *testing.T) {
	s := registrytest.New(t)
	d := s.PushBlob("a", []byte("0123456789"))
	s.FailTimes(1, registrytest.Match("GET", "/blobs/"), registrytest.Fault{Hang: true, After: 4})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/v2/a/blobs/"+d.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got := make([]byte, 4)
	if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != "0123" {
		t.Errorf("got %q and %v before the silence", got, err)
	}
	time.AfterFunc(silence, leave)
	if n, err := answer.Body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("the silence ended with %d bytes and %v", n, err)
	}
}

func TestLostAnswer(t *testing.T) {
	s := registrytest.New(t)
	raw := []byte("0123456789")
	s.FailTimes(1, registrytest.Match("PUT", ""), registrytest.Fault{LoseAnswer: true})
	if _, err := try(t, s, "PUT", location(t, open(t, s, "a"), "digest", digest.FromBytes(raw).String()), raw); err == nil {
		t.Error("the answer was not lost")
	}
	if !s.HasBlob("a", digest.FromBytes(raw)) {
		t.Error("the registry did not do what it was asked for")
	}
}

func TestDelayAndLatency(t *testing.T) {
	const pause = 50 * time.Millisecond
	slow := registrytest.New(t, registrytest.Latency(pause))
	faulty := registrytest.New(t)
	faulty.Fail(func(*http.Request) *registrytest.Fault { return &registrytest.Fault{Delay: pause} })
	for _, s := range []*registrytest.Server{slow, faulty} {
		start := time.Now()
		wantStatus(t, do(t, s, "GET", "/v2/", nil), http.StatusOK)
		if took := time.Since(start); took < pause {
			t.Errorf("answered after %v, want at least %v", took, pause)
		}
	}
}

func TestSlowIsAllConnectionsTogether(t *testing.T) {
	const rate, size = 1_000_000, 60_000
	s := registrytest.New(t, registrytest.Slow(rate))
	raw := registrytest.Random(1, size)
	d := s.PushBlob("a", raw)
	start := time.Now()
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() { do(t, s, "GET", "/v2/a/blobs/"+d.String(), nil) })
	}
	readers.Wait()
	if took, want := time.Since(start), 3*size*time.Second/rate; took < want*9/10 {
		t.Errorf("%d bytes three times at %d bytes a second took %v, want %v", size, rate, took, want)
	}
	start = time.Now()
	put := do(t, s, "PUT", location(t, open(t, s, "b"), "digest", d.String()), raw)
	wantStatus(t, put, http.StatusCreated)
	if took, want := time.Since(start), size*time.Second/rate; took < want*9/10 {
		t.Errorf("%d bytes sent at %d bytes a second took %v, want %v", size, rate, took, want)
	}
}

func TestReplacedContent(t *testing.T) {
	s := registrytest.New(t)
	image := registrytest.Image(registrytest.ImageSpec{})
	s.Push("app", "1", image)
	layer := image.Layers[0].Digest

	s.CorruptBlob("app", layer)
	corrupt := do(t, s, "GET", "/v2/app/blobs/"+layer.String(), nil)
	if int64(len(corrupt.body)) != image.Layers[0].Size || digest.FromBytes(corrupt.body) == layer {
		t.Errorf("got %d bytes with the digest %s", len(corrupt.body), digest.FromBytes(corrupt.body))
	}
	s.ReplaceBlob("app", layer, []byte("short"))
	if got := do(t, s, "GET", "/v2/app/blobs/"+layer.String(), nil); string(got.body) != "short" {
		t.Errorf("got %q", got.body)
	}

	s.ReplaceManifest("app", image.Digest().String(), "application/json", []byte("{}"))
	lie := do(t, s, "GET", "/v2/app/manifests/"+image.Digest().String(), nil)
	if string(lie.body) != "{}" || lie.Header.Get("Docker-Content-Digest") != image.Digest().String() {
		t.Errorf("got %q as %s", lie.body, lie.Header.Get("Docker-Content-Digest"))
	}
	s.ReplaceManifest("app", "2", "application/x-old", []byte("[]"))
	for _, reference := range []string{"2", digest.FromString("[]").String()} {
		if got := do(t, s, "GET", "/v2/app/manifests/"+reference, nil); string(got.body) != "[]" {
			t.Errorf("%s: got %q", reference, got.body)
		}
	}
	if err := s.Complete("app", "1"); err != nil {
		t.Errorf("the registry itself was changed: %v", err)
	}
	s.Truth()
	wantStatus(t, do(t, s, "GET", "/v2/app/manifests/2", nil), http.StatusNotFound)
}

func TestBigManifest(t *testing.T) {
	s := registrytest.New(t)
	s.BigManifest("app", "big", 1<<30)
	head := do(t, s, "HEAD", "/v2/app/manifests/big", nil)
	if head.ContentLength != 1<<30 {
		t.Errorf("said to have %d bytes", head.ContentLength)
	}
	answer, err := s.Client().Get(s.URL() + "/v2/app/manifests/" + head.Header.Get("Docker-Content-Digest"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	beginning := make([]byte, 100)
	if _, err := io.ReadFull(answer.Body, beginning); err != nil || !strings.HasPrefix(string(beginning), `{"schemaVersion"`) {
		t.Errorf("got %q, %v", beginning, err)
	}
}

func TestLog(t *testing.T) {
	s := registrytest.New(t)
	raw := []byte("0123456789")
	d := digest.FromBytes(raw)
	do(t, s, "PUT", location(t, open(t, s, "a"), "digest", d.String()), raw, "X-Test", "yes")
	do(t, s, "GET", "/v2/a/blobs/"+d.String(), nil)
	puts := s.Log().Find("PUT", "^/v2/a/blobs/uploads/")
	if len(puts) != 1 || s.Count("", "") != 3 || s.Peak() != 1 {
		t.Fatalf("%d PUT, %d requests, %d at a time, want 1, 3, 1", len(puts), s.Count("", ""), s.Peak())
	}
	put := puts[0]
	if put.Status != http.StatusCreated || put.BytesIn != 10 || put.Header.Get("X-Test") != "yes" ||
		put.Query.Get("digest") != d.String() || put.First.Before(put.Start) || put.Last.Before(put.First) {
		t.Errorf("noted %+v", put)
	}
	if in, out := s.BlobBytesIn(), s.BlobBytesOut(); in != 10 || out != 10 {
		t.Errorf("%d bytes in and %d out, want 10 and 10", in, out)
	}
	if s.ResetLog(); s.Count("", "") != 0 || s.BlobBytesIn() != 0 {
		t.Error("something is left in the log")
	}
}
