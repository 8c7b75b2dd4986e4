package registrytest_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
)

// The client can tell a reset from a clean end of the connection, in both directions, over TCP and over an in-memory
// network.
func TestResetAndCleanEnd(t *testing.T) {
	check := func(t *testing.T, s *registrytest.Server) {
		t.Helper()
		raw := registrytest.Random(1, 10_000)
		d := s.PushBlob("a", raw)
		s.FailTimes(1, registrytest.Match("GET", "/blobs/"), registrytest.Reset.Fault(4000))
		got, err := try(t, s, "GET", "/v2/a/blobs/"+d.String(), nil)
		if !errors.Is(err, syscall.ECONNRESET) || len(got.body) > 4000 {
			t.Errorf("reset in the answer: %d bytes, %v", len(got.body), err)
		}
		s.FailTimes(1, registrytest.Match("GET", "/blobs/"), registrytest.CleanEnd.Fault(4000))
		got, err = try(t, s, "GET", "/v2/a/blobs/"+d.String(), nil)
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(got.body) != 4000 {
			t.Errorf("end in the answer: %d bytes, %v", len(got.body), err)
		}
		large := registrytest.Random(2, 1<<20)
		for _, test := range []struct {
			name  registrytest.Name
			reset bool
		}{{registrytest.Reset, true}, {registrytest.CleanEnd, false}} {
			opened := open(t, s, "a")
			s.FailTimes(1, registrytest.Match("PUT", "/uploads/"), test.name.Fault(1000))
			_, err := try(t, s, "PUT", location(t, opened, "digest", digest.FromBytes(large).String()), large)
			// net/http may instead report that it has closed the connection itself.
			if ended, wasReset := errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET); err == nil || test.reset && ended || !test.reset && wasReset {
				t.Errorf("%s in a request: %v", test.name, err)
			}
			if got := do(t, s, "GET", location(t, opened), nil).Header.Get("Range"); got != "0-999" {
				t.Errorf("%s in a request: the session holds %q", test.name, got)
			}
		}
	}
	t.Run("TCP", func(t *testing.T) { check(t, registrytest.New(t)) })
	t.Run("in memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			network := &registrytest.Network{}
			s := registrytest.New(t, registrytest.In(network, "a.test"))
			s.Client().Transport.(*http.Transport).DialContext = network.Dial
			check(t, s)
			if _, err := network.Dial(t.Context(), "tcp", "b.test:80"); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("a host that is not there: %v", err)
			}
		})
	})
}

func TestStatusFaults(t *testing.T) {
	s := registrytest.New(t)
	d := s.PushBlob("a", []byte("0123456789"))
	for name, want := range map[registrytest.Name]int{
		registrytest.Status500: 500, registrytest.Status502: 502, registrytest.Status503: 503, registrytest.Status504: 504,
		registrytest.Limited: 429, registrytest.LimitedFor: 429, registrytest.LimitedDate: 429, registrytest.LimitedUnix: 429,
		registrytest.LayerMissing: 404, registrytest.DeadRedirect: 307, registrytest.UnknownBlob: 400, registrytest.Unauthorized: 401,
	} {
		s.FailTimes(1, registrytest.Match("GET", "/blobs/"), name.Fault(0))
		wantStatus(t, do(t, s, "GET", "/v2/a/blobs/"+d.String(), nil), want)
	}
}

func TestFormsOfRetryAfter(t *testing.T) {
	s := registrytest.New(t)
	for name, wait := range map[registrytest.Name]func(string) (time.Duration, error){
		registrytest.LimitedFor: func(v string) (time.Duration, error) { return time.ParseDuration(v + "s") },
		registrytest.LimitedDate: func(v string) (time.Duration, error) {
			date, err := http.ParseTime(v)
			return time.Until(date), err
		},
		registrytest.LimitedUnix: func(v string) (time.Duration, error) {
			n, err := strconv.ParseInt(v, 10, 64)
			return time.Until(time.Unix(n, 0)), err
		},
	} {
		s.FailTimes(1, registrytest.Match("GET", ""), name.Fault(0))
		value := do(t, s, "GET", "/v2/", nil).Header.Get("Retry-After")
		if got, err := wait(value); err != nil || got < time.Second || got > 3*time.Second {
			t.Errorf("%s: %q is a wait of %v, %v", name, value, got, err)
		}
	}
}

// A body that is refused with 401 gets the challenge of the token server.
func TestUnauthorizedInBody(t *testing.T) {
	s := registrytest.New(t, registrytest.WithTokens(registrytest.TokenConfig{}))
	token := bearer(t, s, "repository:a:pull,push")
	opened := do(t, s, "POST", "/v2/a/blobs/uploads/", nil, "Authorization", token)
	s.FailTimes(1, registrytest.Match("PUT", ""), registrytest.Unauthorized.Fault(3))
	put := do(t, s, "PUT", location(t, opened, "digest", digest.FromString("0123456789").String()), []byte("0123456789"), "Authorization", token)
	wantCode(t, put, http.StatusUnauthorized, "UNAUTHORIZED")
	if got := put.Header.Get("WWW-Authenticate"); !strings.Contains(got, `realm="`+s.URL()+`/token"`) {
		t.Errorf("challenged with %q", got)
	}
}

func TestAlteredAnswers(t *testing.T) {
	s := registrytest.New(t)
	path := "/v2/a/blobs/" + s.PushBlob("a", []byte("0123456789")).String()
	for _, test := range []struct {
		name   registrytest.Name
		body   string
		length int64
	}{
		{registrytest.WrongBytes, "0122456789", 10},
		{registrytest.WrongLength, "012345678", 9},
		{registrytest.EndsEarly, "012", -1},
	} {
		s.FailTimes(1, registrytest.Match("GET", "/blobs/"), test.name.Fault(3))
		got := do(t, s, "GET", path, nil)
		if string(got.body) != test.body || got.ContentLength != test.length {
			t.Errorf("%s: %q, Content-Length %d", test.name, got.body, got.ContentLength)
		}
	}
}

func TestStallAndDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &registrytest.Network{}
		s := registrytest.New(t, registrytest.In(network, "a.test"))
		s.Client().Transport.(*http.Transport).DialContext = network.Dial
		raw := registrytest.Random(1, 20<<10)
		d := s.PushBlob("a", raw)
		start := time.Now()
		s.FailTimes(1, registrytest.Match("GET", "/blobs/"), registrytest.Drip.Fault(4<<10))
		if got := do(t, s, "GET", "/v2/a/blobs/"+d.String(), nil); !bytes.Equal(got.body, raw) || time.Since(start) != 4*time.Second {
			t.Errorf("an answer of 20 KiB drips from 4 KiB on: %d bytes in %v", len(got.body), time.Since(start))
		}
		start = time.Now()
		s.FailTimes(1, registrytest.Match("PUT", "/uploads/"), registrytest.Drip.Fault(4<<10))
		put := do(t, s, "PUT", location(t, open(t, s, "b"), "digest", d.String()), raw)
		if wantStatus(t, put, http.StatusCreated); time.Since(start) < 4*time.Second || time.Since(start) > 5*time.Second {
			t.Errorf("a request of 20 KiB drips from 4 KiB on: %v", time.Since(start))
		}
		s.FailTimes(1, registrytest.Match("GET", "/blobs/"), registrytest.Stall.Fault(4<<10))
		client := &http.Client{Transport: s.Client().Transport, Timeout: time.Hour}
		answer, err := client.Get(s.URL() + "/v2/a/blobs/" + d.String())
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if n, err := io.Copy(io.Discard, answer.Body); n != 4<<10 || err == nil || time.Since(start) < time.Hour {
			t.Errorf("a stall after 4 KiB: %d bytes, %v after %v", n, err, time.Since(start))
		}
	})
}

func TestRangeQuirks(t *testing.T) {
	for _, test := range []struct {
		name         registrytest.Name
		status       int
		stated, body string
	}{
		{registrytest.RangeWrong, 206, "bytes 1-3/10", "123"},
		{registrytest.RangeShifted, 206, "bytes 2-4/10", "123"},
	} {
		s := registrytest.New(t, registrytest.With(test.name))
		d := s.PushBlob("a", []byte("0123456789"))
		got := do(t, s, "GET", "/v2/a/blobs/"+d.String(), nil, "Range", "bytes=2-4")
		if wantStatus(t, got, test.status); string(got.body) != test.body || got.Header.Get("Content-Range") != test.stated {
			t.Errorf("%s: %q, Content-Range %q", test.name, got.body, got.Header.Get("Content-Range"))
		}
	}
}

func TestGzipUnasked(t *testing.T) {
	s := registrytest.New(t, registrytest.With(registrytest.GzipUnasked))
	d := s.PushBlob("a", []byte("0123456789"))
	got := do(t, s, "GET", "/v2/a/blobs/"+d.String(), nil, "Accept-Encoding", "identity")
	zip, err := gzip.NewReader(bytes.NewReader(got.body))
	if err != nil || got.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("encoding %q, %v", got.Header.Get("Content-Encoding"), err)
	}
	if raw, err := io.ReadAll(zip); err != nil || string(raw) != "0123456789" {
		t.Errorf("got %q, %v", raw, err)
	}
	if part := do(t, s, "GET", "/v2/a/blobs/"+d.String(), nil, "Range", "bytes=2-4", "Accept-Encoding", "identity"); string(part.body) != "234" {
		t.Errorf("a range: %q", part.body)
	}
}

func TestTags(t *testing.T) {
	first, second := registrytest.Image(registrytest.ImageSpec{Seed: 1}), registrytest.Image(registrytest.ImageSpec{Seed: 2})
	moving := registrytest.New(t, registrytest.With(registrytest.TagMoves))
	moving.Push("app", "1", first)
	moving.Push("app", "1-next", second)
	accept := []string{"Accept", first.Descriptor.MediaType}
	if got := do(t, moving, "HEAD", "/v2/app/manifests/1", nil, accept...).Header.Get("Docker-Content-Digest"); got != first.Digest().String() {
		t.Errorf("the tag is at %s before it moves", got)
	}
	if got := do(t, moving, "GET", "/v2/app/manifests/1", nil, accept...).Header.Get("Docker-Content-Digest"); got != second.Digest().String() {
		t.Errorf("the tag is at %s after it was read", got)
	}
	fixed := registrytest.New(t, registrytest.With(registrytest.TagImmutable, registrytest.TagDeleteRefused))
	fixed.Push("app", "1", first)
	fixed.Push("app", "", second)
	put := func(tag string, f *registrytest.Fixture) reply {
		return do(t, fixed, "PUT", "/v2/app/manifests/"+tag, f.Raw, "Content-Type", f.Descriptor.MediaType)
	}
	wantCode(t, put("1", second), http.StatusBadRequest, "TAG_INVALID")
	wantStatus(t, put("1", first), http.StatusCreated)
	wantStatus(t, put("2", second), http.StatusCreated)
	wantCode(t, do(t, fixed, "DELETE", "/v2/app/manifests/1", nil), http.StatusBadRequest, "DIGEST_INVALID")
}

func TestQuirksOfNamesAndHeaders(t *testing.T) {
	s := registrytest.New(t, registrytest.With(registrytest.NoCatalog, registrytest.TwoComponents, registrytest.QuotaHeaders))
	catalog := do(t, s, "GET", "/v2/_catalog", nil)
	wantStatus(t, catalog, http.StatusNotFound)
	wantStatus(t, do(t, s, "POST", "/v2/a/b/blobs/uploads/", nil), http.StatusAccepted)
	wantCode(t, do(t, s, "POST", "/v2/a/b/c/blobs/uploads/", nil), http.StatusForbidden, "DENIED")
}

// A pull is a GET of a manifest: HEADs are free.
func TestPullsAreCounted(t *testing.T) {
	s := registrytest.New(t, registrytest.WithPulls(2))
	image := registrytest.Image(registrytest.ImageSpec{})
	s.Push("app", "1", image)
	for _, want := range []struct {
		method, left string
		status       int
	}{
		{"HEAD", "2", 200}, {"GET", "1", 200}, {"HEAD", "1", 200}, {"GET", "0", 200}, {"GET", "0", 429}, {"HEAD", "0", 200},
	} {
		got := do(t, s, want.method, "/v2/app/manifests/1", nil, "Accept", image.Descriptor.MediaType)
		wantStatus(t, got, want.status)
		if left := got.Header.Get("Ratelimit-Remaining"); left != want.left+";w=21600" {
			t.Errorf("%s: ratelimit-remaining %q, want %s", want.method, left, want.left)
		}
	}
	s.SetPulls("", 1)
	wantStatus(t, do(t, s, "GET", "/v2/app/manifests/1", nil, "Accept", image.Descriptor.MediaType), http.StatusOK)
	if left := s.PullsLeft(""); left != 0 {
		t.Errorf("%d pulls left", left)
	}
}

// A blob that was mounted during garbage collection must be uploaded.
func TestManifestInGC(t *testing.T) {
	s := registrytest.New(t, registrytest.With(registrytest.InGC))
	image := registrytest.Image(registrytest.ImageSpec{})
	s.Push("base", "1", image)
	put := func() reply {
		return do(t, s, "PUT", "/v2/app/manifests/1", image.Raw, "Content-Type", image.Descriptor.MediaType)
	}
	for d := range image.Blobs {
		wantStatus(t, do(t, s, "POST", "/v2/app/blobs/uploads/?from=base&mount="+d.String(), nil), http.StatusCreated)
	}
	wantCode(t, put(), http.StatusNotFound, "NOT_FOUND")
	for d, raw := range image.Blobs {
		wantStatus(t, do(t, s, "HEAD", "/v2/app/blobs/"+d.String(), nil), http.StatusNotFound)
		wantStatus(t, do(t, s, "PUT", location(t, open(t, s, "app"), "digest", d.String()), raw), http.StatusCreated)
	}
	wantStatus(t, put(), http.StatusCreated)
}
