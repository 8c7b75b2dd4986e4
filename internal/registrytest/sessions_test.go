package registrytest_test

import (
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
)

var tenBytes = []byte("0123456789")

func tenDigest() string { return digest.FromBytes(tenBytes).String() }

// cutUpload opens a session, sends a chunk of four bytes, and cuts the next chunk after two bytes. It returns the
// answer to the first chunk.
func cutUpload(t *testing.T, s *registrytest.Server) reply {
	t.Helper()
	first := do(t, s, "PATCH", location(t, open(t, s, "a")), tenBytes[:4], "Content-Range", "0-3")
	s.FailTimes(1, registrytest.Match("PATCH", ""), registrytest.Reset.Fault(2))
	if _, err := try(t, s, "PATCH", location(t, first), tenBytes[4:], "Content-Range", "4-9"); err == nil {
		t.Fatal("the chunk was not cut")
	}
	return first
}

// The status of a session after a chunk was cut.
func TestSessionsAfterACut(t *testing.T) {
	for _, test := range []struct {
		quirk    registrytest.Name
		status   int
		said     string
		located  bool
		sessions int
	}{
		{registrytest.NoCatalog, 204, "0-5", true, 1}, // as distribution 3.1
		{registrytest.StatusOffByOne, 204, "bytes=0-6", true, 1},
		{registrytest.StatusNoLocation, 204, "0-5", false, 1},
		{registrytest.Status404AfterCut, 404, "", false, 1},
		{registrytest.CutDeletesSession, 404, "", false, 0},
		{registrytest.CutDropsChunk, 204, "0-3", true, 1},
		{registrytest.RangeStuck, 204, "0-3", true, 1},
	} {
		s := registrytest.New(t, registrytest.With(test.quirk))
		first := cutUpload(t, s)
		status := do(t, s, "GET", location(t, first), nil)
		if wantStatus(t, status, test.status); status.Header.Get("Range") != test.said || (status.Header.Get("Location") != "") != test.located {
			t.Errorf("%s: Range %q, Location %q", test.quirk, status.Header.Get("Range"), status.Header.Get("Location"))
		}
		if got := len(s.Sessions()); got != test.sessions {
			t.Errorf("%s: %d sessions are open, want %d", test.quirk, got, test.sessions)
		}
		if test.quirk == registrytest.StatusNoLocation { // its first Location stays valid
			wantStatus(t, do(t, s, "PUT", location(t, first, "digest", tenDigest()), tenBytes[6:]), http.StatusCreated)
		}
		if test.quirk == registrytest.StatusOffByOne {
			if got := do(t, s, "GET", location(t, open(t, s, "b")), nil).Header.Get("Range"); got != "bytes=0-0" {
				t.Errorf("the Range of an empty session is %q", got)
			}
			wrong := do(t, s, "PATCH", location(t, first), tenBytes[4:])
			if wantStatus(t, wrong, http.StatusRequestedRangeNotSatisfiable); wrong.Header.Get("Range") != "bytes=0-6" {
				t.Errorf("416 with the Range %q", wrong.Header.Get("Range"))
			}
		}
	}
}

func TestChunkQuirks(t *testing.T) {
	for _, test := range []struct {
		quirk         registrytest.Name
		patch, commit int
	}{
		{registrytest.NoCatalog, 416, 0}, // as distribution 3.1
		{registrytest.ContentRangeIgnored, 202, 201},
		{registrytest.PatchRefused, 405, 0},
	} {
		s := registrytest.New(t, registrytest.With(test.quirk))
		opened := open(t, s, "a")
		patch := do(t, s, "PATCH", location(t, opened), tenBytes[:4], "Content-Range", "5-8")
		if wantStatus(t, patch, test.patch); test.commit == 0 {
			continue
		}
		wantStatus(t, do(t, s, "PUT", location(t, patch, "digest", tenDigest()), tenBytes[4:], "Content-Range", "100-105"), test.commit)
	}
	s := registrytest.New(t, registrytest.With(registrytest.Patch201))
	wantStatus(t, do(t, s, "PATCH", location(t, open(t, s, "a")), tenBytes[:4]), http.StatusCreated)
}

func TestLastPatchOnly(t *testing.T) {
	s := registrytest.New(t, registrytest.With(registrytest.LastPatchOnly))
	one := do(t, s, "PATCH", location(t, open(t, s, "a")), tenBytes[:4], "Content-Range", "0-3")
	wantStatus(t, do(t, s, "PUT", location(t, one, "digest", tenDigest()), tenBytes[4:]), http.StatusCreated)
	two := do(t, s, "PATCH", location(t, open(t, s, "b")), tenBytes[:4], "Content-Range", "0-3")
	two = do(t, s, "PATCH", location(t, two), tenBytes[4:8], "Content-Range", "4-7")
	if got := do(t, s, "GET", location(t, two), nil).Header.Get("Range"); got != "0-7" {
		t.Errorf("the session's Range is %q", got)
	}
	wantCode(t, do(t, s, "PUT", location(t, two, "digest", tenDigest()), tenBytes[8:]), http.StatusBadRequest, "DIGEST_INVALID")
}

func TestSizes(t *testing.T) {
	for _, test := range []struct {
		quirk             registrytest.Name
		put, patch, plain int // of 6 bytes with Content-Range, and of 10 without
	}{
		{registrytest.Request413.At(5), 413, 413, 413},
		{registrytest.Put413.At(5), 413, 202, 413},
		{registrytest.Range416.At(5), 416, 416, 201},
	} {
		s := registrytest.New(t, registrytest.With(test.quirk))
		first := do(t, s, "PATCH", location(t, open(t, s, "a")), tenBytes[:4])
		wantStatus(t, do(t, s, "PUT", location(t, first, "digest", tenDigest()), tenBytes[4:], "Content-Range", "4-9"), test.put)
		wantStatus(t, do(t, s, "PATCH", location(t, first), tenBytes[4:], "Content-Range", "4-9"), test.patch)
		wantStatus(t, do(t, s, "PUT", location(t, open(t, s, "a"), "digest", tenDigest()), tenBytes), test.plain)
	}
}

func TestCancelRefused(t *testing.T) {
	s := registrytest.New(t, registrytest.With(registrytest.CancelRefused))
	opened := open(t, s, "a")
	wantCode(t, do(t, s, "DELETE", location(t, opened), nil), http.StatusUnauthorized, "UNAUTHORIZED")
	if len(s.Sessions()) != 1 {
		t.Error("the session is gone")
	}
	s = registrytest.New(t, registrytest.With(registrytest.CancelRefused), registrytest.WithTokens(registrytest.TokenConfig{}))
	token := bearer(t, s, "repository:a:pull,push")
	opened = do(t, s, "POST", "/v2/a/blobs/uploads/", nil, "Authorization", token)
	refused := do(t, s, "DELETE", location(t, opened), nil, "Authorization", token)
	if wantStatus(t, refused, http.StatusUnauthorized); refused.Header.Get("WWW-Authenticate") == "" {
		t.Error("there is no challenge")
	}
}
