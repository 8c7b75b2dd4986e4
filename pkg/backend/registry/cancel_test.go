package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/content"
)

// Cancel works after the caller's context has ended: that is why one cancels.
func TestCancelAfterTheContextEnded(t *testing.T) {
	host, seen := serve(t, newRegistry(t))
	upload := startUpload(t, target(t, newClient(t, Options{}), host, "a"), layer(10))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		if err := upload.Cancel(ctx); err != nil {
			t.Errorf("cancel: %v", err)
		}
	}
	if seen.count("DELETE") != 1 {
		t.Errorf("requests %q, want one DELETE", seen.lines())
	}
}

// A PUT that was cut leaves a session at distribution that has another location than the
// one we know: DELETE there was answered with 416, and the session stayed.
func TestCancelAfterACut(t *testing.T) {
	server := registrytest.New(t)
	server.FailTimes(1, registrytest.Match("PUT", "/uploads/"), registrytest.Fault{Cut: true, After: 70_000})
	blob := layer(200_000)
	upload := startUpload(t, target(t, newClient(t, Options{}), server.Host(), "a"), blob)
	if err := upload.Commit(t.Context(), blob.Stream()); err == nil {
		t.Fatal("commit: got nil, want an error")
	}
	if err := upload.Cancel(t.Context()); err != nil {
		t.Errorf("cancel: %v", err)
	}
	var got []int
	for _, request := range server.Log().Find("DELETE", "/uploads/") {
		got = append(got, request.Status)
	}
	if want := []int{204}; !slices.Equal(got, want) || server.Count("GET", "/uploads/") != 1 {
		t.Errorf("DELETE: got %v after %d GETs, want %v after one", got, server.Count("GET", "/uploads/"), want)
	}
}

// As long as bytes of the request that was cut arrive, each location is soon an old one. The
// session was asked for its offset up to a hundred times.
func TestCancelWhileBytesArrive(t *testing.T) {
	for name, test := range map[string]struct {
		late      int
		cancelled bool
		gets      int
		deletes   int
	}{
		"no more":        {late: 0, cancelled: true, gets: 1, deletes: 1},
		"a little while": {late: 1, cancelled: true, gets: 2, deletes: 2},
		"for long":       {late: 100, gets: 2, deletes: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			session := &chunks{cutAfter: 70_000, answer: lastByte, late: test.late}
			host, seen := serve(t, session)
			upload := startUpload(t, target(t, newClient(t, Options{Retry: quick()}), host, "a"), layer(200_000))
			_ = upload.Commit(t.Context(), layer(200_000).Stream())
			if err := upload.Cancel(t.Context()); (err == nil) != test.cancelled {
				t.Errorf("cancel: %v, want success %v", err, test.cancelled)
			}
			if session.cancelled() != test.cancelled || seen.count("GET") != test.gets || seen.count("DELETE") != test.deletes {
				t.Errorf("requests %q, want %d GETs and %d DELETEs", seen.lines(), test.gets, test.deletes)
			}
		})
	}
}

// A registry that has frozen held up the end of a run for ten seconds.
func TestCancelAtARegistryThatHasFrozen(t *testing.T) {
	over := make(chan struct{})
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodDelete {
			<-over
		}
		w.Header().Set("Location", "/session")
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(func() { close(over) })
	c := newClient(t, Options{Retry: quick()})
	if got := c.limits.cancel; got > 2*time.Second {
		t.Errorf("giving up may take %v", got)
	}
	if got := 2 * c.wire.Limits.Linger; got > 2*time.Second {
		t.Errorf("opening and giving up may take %v", got)
	}
	c.limits.cancel = 20 * time.Millisecond
	upload := startUpload(t, target(t, c, host, "a"), layer(1))
	if err := upload.Cancel(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time was up", err)
	}
}

// What the kernel had taken of a body was sent on after the run was cancelled, for seconds
// over a slow link. Now the connection is reset, also where the source has failed.
func TestBodyThatIsGivenUpIsNotSentOn(t *testing.T) {
	failure := errors.New("the source broke")
	for name, end := range map[string]func(leave func()) error{
		"caller left":   func(leave func()) error { leave(); return nil },
		"source failed": func(func()) error { return failure },
	} {
		t.Run(name, func(t *testing.T) {
			full, ended := make(chan struct{}), make(chan error, 1)
			host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method == http.MethodPut {
					<-full
					_, err := io.Copy(io.Discard, req.Body)
					ended <- err
					return
				}
				w.Header().Set("Location", "/session")
				w.WriteHeader(http.StatusAccepted)
			}))
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			sent := 0
			source := readerFunc(func(p []byte) (int, error) {
				if sent += len(p); sent < 200_000 {
					return len(p), nil
				}
				return len(p), end(leave)
			})
			blob := layer(8 << 20)
			upload := startUpload(t, target(t, newClient(t, Options{}), host, "a"), blob)
			if err := upload.Commit(ctx, content.NewStream(source, blob.Descriptor)); err == nil {
				t.Error("commit: got nil, want an error")
			}
			close(full)
			if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the registry got %v, want a reset", err)
			}
		})
	}
}

// A session that was removed since the DELETE was refused is cancelled, too.
func TestCancelOfASessionThatGoes(t *testing.T) {
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.Method {
		case http.MethodPost:
			w.Header().Set("Location", "/session")
			w.WriteHeader(http.StatusAccepted)
		case http.MethodDelete:
			refuse(w, http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", "an old location")
		default:
			refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "")
		}
	}))
	if err := startUpload(t, target(t, newClient(t, Options{}), host, "a"), layer(1)).Cancel(t.Context()); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

func TestCancelWhereThereIsNone(t *testing.T) {
	for _, status := range []int{404, 405} {
		host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Location", "/session")
			if req.Method == http.MethodDelete {
				w.WriteHeader(status)
				return
			}
			w.WriteHeader(http.StatusAccepted)
		}))
		if err := startUpload(t, target(t, newClient(t, Options{}), host, "a"), layer(1)).Cancel(t.Context()); err != nil {
			t.Errorf("%d: got %v, want nil", status, err)
		}
	}
}
