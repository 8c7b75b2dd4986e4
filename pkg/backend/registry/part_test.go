package registry

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/retry"
)

const mib = 1 << 20

func TestSizes(t *testing.T) {
	var s uploading
	next := func(offset, rest, want int64) {
		t.Helper()
		if got := s.next(offset, rest); got != want {
			t.Errorf("at %d with %d to go: got %d, want %d", offset, rest, got, want)
		}
	}
	refused := func(size int64, ranged bool, want int64) {
		t.Helper()
		if got := s.refused(size, ranged); got != want {
			t.Errorf("after a refusal of %d: got %d, want %d", size, got, want)
		}
	}
	next(0, 500*mib, 500*mib)
	refused(500*mib, true, 64*mib)
	next(0, 500*mib, 500*mib) // has no Content-Range
	next(1, 500*mib, 64*mib)
	refused(400*mib, false, 64*mib)
	next(0, 500*mib, 64*mib)
	next(0, 64*mib, 64*mib)
	refused(64*mib, true, 16*mib)
	next(0, 64*mib, 64*mib)
	next(0, 65*mib, 16*mib)
	refused(5*mib, false, 4*mib)
	refused(500*mib, false, 4*mib) // another body, sent before
	next(100*mib, 3*mib, 3*mib)
	next(100*mib, 0, 0)
	refused(mib+1, false, mib)
	s.accepted(mib, false)
	refused(mib, false, 0)
	refused(10, true, 0)
	next(0, 5*mib, mib)
}

// A registry that refuses even the smallest bodies has another reason, which is not remembered.
func TestRefusalsThatAreNotAboutSize(t *testing.T) {
	for ranged, want := range map[bool]int64{true: 500 * mib, false: mib} {
		memory := remembered{}
		u := uploading{registry: "a.test", memory: memory}
		for size := u.refused(500*mib, ranged); size > 0; {
			size = u.refused(size, ranged)
		}
		u.accepted(2000, ranged)
		if got := u.next(1, 500*mib); got != want || len(memory) > 0 {
			t.Errorf("with Content-Range %v: bodies of %d bytes, remembered %v", ranged, got, memory)
		}
	}
}

// remembered implements Abilities with a map.
type remembered map[string]string

func (r remembered) Ability(registry, ability string) (seen string, known bool) {
	seen, known = r[registry+" "+ability]
	return seen, known
}

func (r remembered) KeepAbility(registry, ability, seen string) { r[registry+" "+ability] = seen }

// A size that a registry refused in one run is tried once in the next run. An accepted body of about the limit
// confirms it; an accepted larger body removes it.
func TestUploadAbilitiesAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := remembered{}
		requireMemory := func(put, chunk string) {
			t.Helper()
			if memory["a.test put"] != put || memory["a.test chunk"] != chunk {
				t.Errorf("remembered %v, want %q and %q", memory, put, chunk)
			}
		}
		first := uploading{registry: "a.test", memory: memory}
		first.refused(500*mib, false)
		first.accepted(2000, false)
		requireMemory("", "")
		first.accepted(64*mib, true)
		requireMemory("<=67108864", "")
		first.refused(60*mib, true)
		first.accepted(16*mib, true)
		requireMemory("<=67108864", "<=16777216")

		second := uploading{registry: "a.test", memory: memory}
		for i, want := range []int64{500 * mib, 16 * mib, 16 * mib} {
			if i == 1 {
				second.refused(500*mib, false)
				second.next(1, 60*mib) // one larger part
			}
			if got := second.next(0, 500*mib); got != want {
				t.Errorf("body %d of the next run has %d bytes, want %d", i, got, want)
			}
		}
		time.Sleep(abilityLife + time.Second)
		if got := second.next(0, 500*mib); got != 500*mib {
			t.Errorf("a day later it sends %d bytes", got)
		}
		second.accepted(500*mib, false)
		requireMemory("any", "<=16777216")
		if got := second.next(0, 500*mib); got != 500*mib {
			t.Errorf("it sends %d bytes although the registry accepted more", got)
		}
	})
}

// Whether sessions can be deleted depends on the account.
func TestCancelAbilityIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := remembered{}
		denied := &Error{Method: http.MethodDelete, Status: http.StatusForbidden}
		first := uploading{registry: "a.test", memory: memory}
		first.cancelled("alice", fmt.Errorf("cancel: %w", denied))
		first.cancelled("bob", nil)
		first.cancelled("eve", &Error{Method: http.MethodGet, Status: http.StatusForbidden}) // from a token server
		want := remembered{"a.test cancel alice": "denied", "a.test cancel bob": "ok"}
		if !maps.Equal(memory, want) {
			t.Errorf("remembered %v, want %v", memory, want)
		}
		second := uploading{registry: "a.test", memory: memory}
		if second.mayCancel("alice") || !second.mayCancel("bob") || !second.mayCancel("eve") {
			t.Error("alice cancels sessions in the next run, or another account does not")
		}
		time.Sleep(abilityLife + time.Second)
		if !second.mayCancel("alice") {
			t.Error("a day later, alice does not cancel sessions")
		}
	})
}

func TestStrangeUploadAbilities(t *testing.T) {
	for _, seen := range []string{"<=", "<=x", "<=-5", "<=17", "yes", ""} {
		u := uploading{registry: "a.test", memory: remembered{"a.test put": seen, "a.test chunk": seen, "a.test cancel": seen}}
		if got := u.next(0, 500*mib); got != 500*mib || !u.mayCancel("") {
			t.Errorf("%q: a body of %d bytes, cancels: %v", seen, got, u.mayCancel(""))
		}
	}
}

// refusedSize commits a blob that is refused for its size.
func refusedSize(t *testing.T, r *Repository, blob contenttest.Blob) *SizeError {
	t.Helper()
	err := startUpload(t, r, blob).Commit(t.Context(), blob.Stream())
	refusal, ok := errors.AsType[*SizeError](err)
	if !ok || refusal.Registry != r.host.wire.Name() {
		t.Fatalf("got %v, want a refusal for the size", err)
	}
	if more := refusal.Next > 0; errors.Is(err, content.ErrTooLarge) != more || retry.Retryable(err) != more {
		t.Errorf("got %v, want another attempt: %v", err, more)
	}
	return refusal
}

// bodies are the requests that bring bytes, with their ranges.
func bodies(s *registrytest.Server) (all []string) {
	for _, r := range s.Log().Find("", "/blobs/uploads/.") {
		if r.Method == http.MethodPatch || r.Method == http.MethodPut {
			all = append(all, strings.TrimSpace(r.Method+" "+r.Header.Get("Content-Range")))
		}
	}
	return all
}

// The registry refuses old locations and wrong ranges. The next blob goes in parts at once.
func TestUploadInParts(t *testing.T) {
	for name, options := range map[string][]registrytest.Option{
		"one host":           nil,
		"bodies to a second": {registrytest.With(registrytest.LocationElsewhere)},
	} {
		t.Run(name, func(t *testing.T) {
			server := registrytest.New(t, append(options, registrytest.With(registrytest.Request413.At(mib)))...)
			r := target(t, newClient(t, Options{}), server.Host(), "a")
			blob := layer(5*mib/2 + 1)
			if refusal := refusedSize(t, r, blob); refusal.Size != blob.Descriptor.Size || refusal.Next != mib {
				t.Errorf("got %v", refusal)
			}
			for _, blob := range []contenttest.Blob{blob, contenttest.NewLayer("other", int(blob.Descriptor.Size))} {
				server.ResetLog()
				if err := startUpload(t, r, blob).Commit(t.Context(), blob.Stream()); err != nil {
					t.Fatal(err)
				}
				blob.Check(t, r)
				want := []string{"PATCH 0-1048575", "PATCH 1048576-2097151", "PUT 2097152-2621440"}
				if got := bodies(server); !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			server.ResetLog()
			layer(mib).Push(t, r)
			if got := bodies(server); !slices.Equal(got, []string{"PUT"}) {
				t.Errorf("a small blob: got %q", got)
			}
		})
	}
}

// Wrong bytes are not committed, whichever part they are in, and whichever part is last.
func TestLyingSourceInParts(t *testing.T) {
	server := registrytest.New(t, registrytest.With(registrytest.Request413.At(mib)))
	r := target(t, newClient(t, Options{}), server.Host(), "a")
	_ = refusedSize(t, r, layer(2*mib))
	before := server.Sessions()
	for _, size := range []int{2*mib + 1, 2*mib + content.HeldBack, 3 * mib} {
		blob := layer(size)
		for at, wrong := range []int{0, mib, size - 1} {
			server.ResetLog()
			sent := bytes.Clone(blob.Bytes)
			sent[wrong] ^= 1
			err := startUpload(t, r, blob).Commit(t.Context(), content.NewStream(bytes.NewReader(sent), blob.Descriptor))
			if !errors.Is(err, content.ErrMismatch) || server.HasBlob("a", blob.Descriptor.Digest) {
				t.Errorf("%d bytes, wrong in part %d: got %v", size, at, err)
			}
			if open := server.Sessions(); len(open) > len(before) { // a server that still reads may refuse the first DELETE
				t.Errorf("sessions %v, before %v: the session was not cancelled", open, before)
			}
		}
	}
}

func TestInterruptedPart(t *testing.T) {
	server := registrytest.New(t, registrytest.With(registrytest.Request413.At(mib)))
	r := target(t, newClient(t, Options{}), server.Host(), "a")
	blob := layer(3*mib + 10)
	_ = refusedSize(t, r, blob)
	server.ResetLog()
	server.FailTimes(1, func(req *http.Request) bool { return strings.HasPrefix(req.Header.Get("Content-Range"), "1048576-") },
		registrytest.Fault{Cut: true, After: mib / 2})
	upload := startUpload(t, r, blob)
	if err := upload.Commit(t.Context(), blob.Stream()); !retry.Retryable(err) || errors.Is(err, content.ErrTooLarge) {
		t.Errorf("got %v, want a broken connection", err)
	}
	offset, err := upload.Offset(t.Context())
	if err != nil || offset != 3*mib/2 {
		t.Fatalf("offset: got %d and %v", offset, err)
	}
	if err := upload.CommitFrom(t.Context(), offset, blob.StreamFrom(t, offset)); err != nil {
		t.Fatal(err)
	}
	blob.Check(t, r)
	want := []string{"PATCH 0-1048575", "PATCH 1048576-2097151", "PATCH 1572864-2621439", "PUT 2621440-3145737"}
	if got := bodies(server); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A 416 limits requests with Content-Range, if the upload has the bytes before it. A whole blob has none.
func TestRangeThatIsTooLarge(t *testing.T) {
	server := registrytest.New(t, registrytest.With(registrytest.Range416.At(4*mib)))
	r := target(t, newClient(t, Options{}), server.Host(), "a")
	blob := layer(10 * mib)
	server.FailTimes(1, func(req *http.Request) bool { return req.Method == http.MethodPut }, registrytest.Fault{Cut: true, After: 2 * mib})
	upload := startUpload(t, r, blob)
	if err := upload.Commit(t.Context(), blob.Stream()); err == nil {
		t.Fatal("the connection was not cut")
	}
	resume := func() error {
		offset, err := upload.Offset(t.Context())
		if err != nil || offset != 2*mib {
			t.Fatalf("offset: got %d and %v", offset, err)
		}
		return upload.CommitFrom(t.Context(), offset, blob.StreamFrom(t, offset))
	}
	if refusal, ok := errors.AsType[*SizeError](resume()); !ok || refusal.Size != 8*mib || refusal.Next != 4*mib {
		t.Fatalf("got %v, want that 8 MiB are too large", refusal)
	}
	if err := resume(); err != nil {
		t.Fatal(err)
	}
	blob.Check(t, r)
	want := []string{"PUT", "PUT 2097152-10485759", "PATCH 2097152-6291455", "PUT 6291456-10485759"}
	if got := bodies(server); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	server.ResetLog()
	contenttest.NewLayer("other", 10*mib).Push(t, r)
	if got := bodies(server); !slices.Equal(got, []string{"PUT"}) {
		t.Errorf("a whole blob: got %q, want one PUT without Content-Range", got)
	}
}

// A 416 to a body that the upload does not continue with says nothing about sizes.
func TestRangeThatDoesNotFit(t *testing.T) {
	server := registrytest.New(t)
	r := target(t, newClient(t, Options{}), server.Host(), "a")
	blob := layer(4 * mib)
	server.FailTimes(1, func(req *http.Request) bool { return req.Method == http.MethodPut }, registrytest.Fault{Cut: true, After: 2 * mib})
	upload := startUpload(t, r, blob)
	_ = upload.Commit(t.Context(), blob.Stream())
	if _, err := upload.Offset(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := upload.CommitFrom(t.Context(), mib, blob.StreamFrom(t, mib))
	if _, ok := errors.AsType[*SizeError](err); ok || answer.Status(err) != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("got %v, want a plain 416", err)
	}
}

func TestNoSizeIsSmallEnough(t *testing.T) {
	server := registrytest.New(t, registrytest.With(registrytest.Request413.At(100_000)))
	r := target(t, newClient(t, Options{}), server.Host(), "a")
	for _, want := range []SizeError{{Size: 5 * mib, Next: 4 * mib}, {Size: 4 * mib, Next: mib}, {Size: mib}, {Size: mib}} {
		if got := refusedSize(t, r, layer(5*mib)); got.Size != want.Size || got.Next != want.Next {
			t.Errorf("got %v, want %d and %d", got, want.Size, want.Next)
		}
	}
	refusal := refusedSize(t, r, layer(200_000))
	if said := refusal.Error(); refusal.Next != 0 || !strings.Contains(said, "a request of 200000 bytes; parts of fewer than 1048576 bytes are not tried: 413 ") {
		t.Errorf("got %q", said)
	}
	layer(100_000).Push(t, r)
}

// A 201 is no commit where none was asked for: AWS ECR is reported to answer it to a PATCH.
func TestPartAnsweredWith201(t *testing.T) {
	for name, kept := range map[string]bool{"the session goes on": true, "the session is gone": false} {
		t.Run(name, func(t *testing.T) {
			server := registrytest.New(t, registrytest.With(registrytest.Request413.At(mib)))
			host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				req.RequestURI, req.URL.Scheme, req.URL.Host = "", "http", server.Host()
				if req.Method == http.MethodGet && !kept {
					refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "gone")
					return
				}
				answer, err := server.Client().Do(req)
				if err != nil {
					panic(http.ErrAbortHandler)
				}
				defer answer.Body.Close()
				if w.Header().Set("Location", answer.Header.Get("Location")); req.Method == http.MethodPatch && answer.StatusCode == http.StatusAccepted {
					w.Header().Set("Location", "/v2/a/blobs/"+layer(2*mib).Descriptor.Digest.String())
					answer.StatusCode = http.StatusCreated
				}
				w.Header().Set("Range", answer.Header.Get("Range"))
				w.WriteHeader(answer.StatusCode)
			}))
			r := target(t, newClient(t, Options{}), host, "a")
			blob := layer(2 * mib)
			_ = refusedSize(t, r, blob)
			err := startUpload(t, r, blob).Commit(t.Context(), blob.Stream())
			if kept && err != nil || !kept && (!errors.Is(err, content.ErrUnsupported) || retry.Retryable(err)) {
				t.Errorf("got %v", err)
			}
			if server.HasBlob("a", blob.Descriptor.Digest) != kept {
				t.Errorf("the blob is there: %v", !kept)
			}
			if patches := seen.count("PATCH"); patches != 1 {
				t.Errorf("requests %q, want one PATCH", seen.lines())
			}
		})
	}
}

// AWS ECR is reported to answer PATCH with 201, and to keep stating the Range of the first part.
func TestPartsWhoseRangeIsStuck(t *testing.T) {
	server := registrytest.New(t, registrytest.Profile("ecr"), registrytest.With(registrytest.Request413.At(mib)))
	r := target(t, newClient(t, Options{}), server.Host(), "a")
	blob := layer(3*mib + 10)
	_ = refusedSize(t, r, blob)
	blob.Push(t, r)
	blob.Check(t, r)
}
