package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

func startUpload(t *testing.T, r *Repository, blob contenttest.Blob) content.ResumableUpload {
	t.Helper()
	upload, err := r.StartUpload(t.Context(), blob.Descriptor)
	if err != nil {
		t.Fatalf("start upload: %v", err)
	}
	return upload.(content.ResumableUpload)
}

// rewindable is the number of bytes of a body that can be sent again.
const rewindable = 64 << 10

// Two requests, the second with a length: zot takes a chunked body for an empty one.
func TestUploadIsPostAndPut(t *testing.T) {
	for _, size := range []int{0, 1, content.HeldBack, rewindable, rewindable + 1, 1 << 20} {
		host, seen := serve(t, newRegistry(t))
		push(t, target(t, newClient(t, Options{}), host, "a"), size)
		puts := seen.all("PUT")
		if seen.count("") != 2 || len(puts) != 1 {
			t.Fatalf("%d bytes: requests %q", size, seen.lines())
		}
		if put := puts[0]; put.ContentLength != int64(size) || len(put.TransferEncoding) != 0 || put.Header.Get("Content-Range") != "" {
			t.Errorf("%d bytes: length %d, transfer encoding %q", size, put.ContentLength, put.TransferEncoding)
		}
	}
}

// What a source sends that lies never arrives whole, and the session is cancelled.
func TestLyingSourceIsNeverCommitted(t *testing.T) {
	good := layer(1 << 20)
	for name, sent := range map[string][]byte{
		"other bytes": contenttest.NewLayer("other", 1<<20).Bytes,
		"longer":      append(bytes.Clone(good.Bytes), 1),
		"last byte":   append(bytes.Clone(good.Bytes[:1<<20-1]), good.Bytes[1<<20-1]+1),
	} {
		t.Run(name, func(t *testing.T) {
			var got atomic.Int64
			whole := make(chan bool, 1)
			registry := newRegistry(t)
			host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method == http.MethodPut {
					n, err := io.Copy(io.Discard, req.Body)
					got.Store(n)
					whole <- err == nil
					return
				}
				registry.ServeHTTP(w, req)
			}))
			r := target(t, newClient(t, Options{}), host, "a")
			err := startUpload(t, r, good).Commit(t.Context(), content.NewStream(bytes.NewReader(sent), good.Descriptor))
			if !errors.Is(err, content.ErrMismatch) {
				t.Errorf("got %v, want a mismatch", err)
			}
			if <-whole || got.Load() > good.Descriptor.Size-content.HeldBack {
				t.Errorf("the registry got %d bytes", got.Load())
			}
			if seen.count("DELETE") != 1 {
				t.Errorf("requests %q, want the session cancelled", seen.lines())
			}
		})
	}
}

func TestSmallLieIsNotSentAtAll(t *testing.T) {
	host, seen := serve(t, newRegistry(t))
	blob := layer(rewindable)
	upload := startUpload(t, target(t, newClient(t, Options{}), host, "a"), blob)
	short := bytes.NewReader(blob.Bytes[1:])
	if err := upload.Commit(t.Context(), content.NewStream(short, blob.Descriptor)); !errors.Is(err, content.ErrMismatch) {
		t.Errorf("got %v, want a mismatch", err)
	}
	if seen.count("PUT") != 0 {
		t.Errorf("requests %q, want no PUT", seen.lines())
	}
}

// The error of the source is the source's, not the registry's, and keeps the session.
func TestBrokenSource(t *testing.T) {
	broken := errors.New("the source broke")
	host, seen := serve(t, newRegistry(t))
	blob := layer(1 << 20)
	upload := startUpload(t, target(t, newClient(t, Options{}), host, "a"), blob)
	source := io.MultiReader(bytes.NewReader(blob.Bytes[:500_000]), iotest.ErrReader(broken))
	err := upload.Commit(t.Context(), content.NewStream(source, blob.Descriptor))
	if !errors.Is(err, broken) || answer.Status(err) != 0 {
		t.Errorf("got %v, want the source's error", err)
	}
	if seen.count("DELETE") != 0 {
		t.Error("the session was cancelled")
	}
	if err := upload.Cancel(t.Context()); err != nil || seen.count("DELETE") != 1 {
		t.Errorf("cancel: got %v and %q", err, seen.lines())
	}
}

// The source is not read any more when Commit has returned, though net/http may still try.
func TestCommitLeavesTheSourceAlone(t *testing.T) {
	registry := newRegistry(t)
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut {
			refuse(w, http.StatusForbidden, "DENIED", "too large")
			return
		}
		registry.ServeHTTP(w, req)
	}))
	var over atomic.Bool
	blob := layer(8 << 20)
	source := readerFunc(func(p []byte) (int, error) {
		if over.Load() {
			t.Error("read after Commit")
		}
		time.Sleep(100 * time.Microsecond)
		return len(p), nil
	})
	err := startUpload(t, target(t, newClient(t, Options{}), host, "a"), blob).Commit(t.Context(), content.NewStream(source, blob.Descriptor))
	over.Store(true)
	if !errors.Is(err, content.ErrDenied) {
		t.Errorf("got %v, want denied", err)
	}
	time.Sleep(10 * time.Millisecond)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A Location may be relative, have a signed query, or be on another host, which gets no
// Authorization.
func TestUploadLocations(t *testing.T) {
	blob := layer(100_000)
	elsewhere, stored := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		w.WriteHeader(http.StatusCreated)
	}))
	for _, test := range []struct{ location, want string }{
		{"/v2/a/blobs/uploads/1", "/v2/a/blobs/uploads/1?digest="},
		{"1?_state=a%2Bb%3D&x", "/v2/a/blobs/uploads/1?_state=a%2Bb%3D&x&digest="},
		{"http://" + elsewhere + "/upload?sig=1", "/upload?sig=1&digest="},
	} {
		host, seen := serve(t, basicAuth(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Method == http.MethodPost {
				w.Header().Set("Location", test.location)
				w.WriteHeader(http.StatusAccepted)
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			w.WriteHeader(http.StatusCreated)
		}), "alice", "correct horse"))
		r := target(t, newClient(t, Options{Credentials: logins(alice)}), host, "a")
		if err := startUpload(t, r, blob).Commit(t.Context(), blob.Stream()); err != nil {
			t.Errorf("%s: %v", test.location, err)
			continue
		}
		puts := append(seen.all("PUT"), stored.all("PUT")...)
		if len(puts) != 1 || !strings.HasPrefix(puts[0].URL.RequestURI(), test.want) {
			t.Errorf("%s: got %q and %q, want a PUT to %s", test.location, seen.lines(), stored.lines(), test.want)
		}
	}
	for _, put := range stored.all("") {
		if put.Header.Get("Authorization") != "" {
			t.Error("Authorization went to another host")
		}
	}
}

func TestRefusedUploadLocations(t *testing.T) {
	for _, location := range []string{"", "http://169.254.169.254/x", "http://[fe80::1]/x", "http://u:p@127.0.0.1/x", "gopher://x/"} {
		host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusAccepted)
		}))
		if _, err := target(t, newClient(t, Options{}), host, "a").StartUpload(t.Context(), layer(1).Descriptor); !errors.Is(err, content.ErrInvalid) {
			t.Errorf("%q: got %v, want a refusal", location, err)
		}
	}
}

// A commit whose answer was lost is looked for, not repeated.
func TestCommitWhoseAnswerWasLost(t *testing.T) {
	for _, test := range []struct {
		name string
		lose func(w http.ResponseWriter)
		kept bool
	}{
		{"hung up, committed", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, true},
		{"502, committed", func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }, true},
		{"hung up, not committed", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, false},
		{"502, not committed", func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			registry := newRegistry(t)
			host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method != http.MethodPut {
					registry.ServeHTTP(w, req)
					return
				}
				if test.kept {
					registry.ServeHTTP(discardWriter{http.Header{}}, req)
				} else {
					_, _ = io.Copy(io.Discard, req.Body)
				}
				test.lose(w)
			}))
			blob := layer(200_000)
			err := startUpload(t, target(t, newClient(t, Options{}), host, "a"), blob).Commit(t.Context(), blob.Stream())
			if (err == nil) != test.kept {
				t.Errorf("got %v, want success %v", err, test.kept)
			}
			if seen.count("PUT") != 1 || seen.count("HEAD") != 1 {
				t.Errorf("requests %q, want one PUT and one HEAD", seen.lines())
			}
		})
	}
}

// Object stores copy a blob when it is committed, which may take longer than a caller may keep
// its slots.
func TestLateCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := newRegistry(t)
		r, seen := bubbled(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Method != http.MethodPut {
				registry.ServeHTTP(w, req)
				return
			}
			body, _ := io.ReadAll(req.Body)
			req.Body = io.NopCloser(bytes.NewReader(body))
			time.Sleep(5 * time.Minute)
			registry.ServeHTTP(w, req.WithContext(context.WithoutCancel(req.Context())))
		}))
		blob := layer(200_000)
		err := startUpload(t, r, blob).Commit(t.Context(), blob.Stream())
		if _, stalled := errors.AsType[*StallError](err); !errors.Is(err, content.ErrUnconfirmed) || !stalled {
			t.Errorf("got %v, want that it is not confirmed, and why", err)
		}
		if there, err := r.HasBlob(t.Context(), blob.Descriptor); there || err != nil {
			t.Errorf("asked too early: got %v and %v", there, err)
		}
		time.Sleep(5 * time.Minute)
		if there, err := r.HasBlob(t.Context(), blob.Descriptor); !there || err != nil {
			t.Errorf("asked later: got %v and %v", there, err)
		}
		if seen.count("PUT") != 1 || seen.count("HEAD") != 3 {
			t.Errorf("requests %q, want one PUT, and a HEAD before the two of the test", seen.lines())
		}
	})
}

// Another digest is another blob, unless it is of another algorithm.
func TestCommitAnsweredWithAnotherDigest(t *testing.T) {
	for name, test := range map[string]struct {
		blob   contenttest.Blob
		answer digest.Digest
		want   error
	}{
		"another blob":          {layer(10), layer(20).Descriptor.Digest, content.ErrMismatch},
		"sha256 for sha512":     {layer(10).As(digest.SHA512), layer(10).Descriptor.Digest, nil},
		"no digest":             {layer(10).As(digest.SHA512), "sha256:../../x", content.ErrMismatch},
		"the sha512 of another": {layer(10).As(digest.SHA512), layer(20).As(digest.SHA512).Descriptor.Digest, content.ErrMismatch},
		"the same":              {layer(10).As(digest.SHA512), layer(10).As(digest.SHA512).Descriptor.Digest, nil},
	} {
		t.Run(name, func(t *testing.T) {
			host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				_, _ = io.Copy(io.Discard, req.Body)
				w.Header().Set("Location", "/x")
				w.Header().Set("Docker-Content-Digest", test.answer.String())
				if req.Method == http.MethodPut {
					w.WriteHeader(http.StatusCreated)
					return
				}
				w.WriteHeader(http.StatusAccepted)
			}))
			upload := startUpload(t, target(t, newClient(t, Options{}), host, "a"), test.blob)
			if err := upload.Commit(t.Context(), test.blob.Stream()); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// What another repository has is mounted. A refusal of the mount is told from one of any
// request, and from a broken connection. Whoever mounts decides whether to ask again.
func TestMountAnswers(t *testing.T) {
	for status, notMounted := range map[int]bool{
		400: true, 401: true, 403: true, 404: true, 405: true, 200: true, 429: false, 500: false, 503: false,
	} {
		host, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		r := target(t, newClient(t, Options{Retry: quick()}), host, "a")
		upload, err := r.Mount(t.Context(), layer(10).Descriptor, "other")
		if upload != nil || answer.Status(err) != status || errors.Is(err, content.ErrNotMounted) != notMounted || seen.count("") != 1 {
			t.Errorf("%d: got %v and %v after %d, want one request, not mounted %v", status, upload, err, seen.count(""), notMounted)
		}
	}
	host, _ := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	_, err := target(t, newClient(t, Options{}), host, "a").Mount(t.Context(), layer(10).Descriptor, "other")
	if _, ok := errors.AsType[*ConnectionError](err); !ok || errors.Is(err, content.ErrNotMounted) {
		t.Errorf("a broken connection: got %v", err)
	}
}

// Harbor answers 401 to a mount from a project that does not exist: that says nothing
// about the password.
func TestMountRefusedWith401KeepsTheLogin(t *testing.T) {
	registry := basicAuth(newRegistry(t), "alice", "correct horse")
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Query().Get("from") == "gone/x" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			refuse(w, 401, "UNAUTHORIZED", "project gone not found")
			return
		}
		registry.ServeHTTP(w, req)
	}))
	r := target(t, newClient(t, Options{Credentials: logins(alice)}), host, "a")
	if _, err := r.Mount(t.Context(), layer(10).Descriptor, "gone/x"); !errors.Is(err, content.ErrNotMounted) {
		t.Errorf("got %v, want not mounted", err)
	}
	push(t, r, 10)
}

func TestMountThatBecameAnUpload(t *testing.T) {
	host, seen := serve(t, newRegistry(t))
	r := target(t, newClient(t, Options{}), host, "a")
	upload, err := r.Mount(t.Context(), layer(10).Descriptor, "a")
	if err != nil || upload == nil {
		t.Fatalf("got %v and %v, want an upload", upload, err)
	}
	if err := upload.Commit(t.Context(), layer(10).Stream()); err != nil {
		t.Error(err)
	}
	if upload, err := r.Mount(t.Context(), layer(10).Descriptor, "a"); upload != nil || err != nil {
		t.Errorf("what is there: got %v and %v, want nil and nil", upload, err)
	}
	if seen.count("") != 3 {
		t.Errorf("requests %q, want 3", seen.lines())
	}
}

// chunks is a registry's upload as distribution does it: a cut PUT keeps its bytes, and
// every answer gives a new location, the only one that one may write to.
type chunks struct {
	mu       sync.Mutex
	got      []byte
	state    int
	cutAfter int64 // hang up after so many bytes of a PUT; none if negative
	answer   func(offset int) string
	grow     int // bytes that the session still gains with each look
	late     int // how often something arrives between a look and what follows it
	done     bool
	dropped  bool
}

func (c *chunks) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	move := func() {
		c.state++
		w.Header().Set("Location", fmt.Sprintf("/session?_state=%d", c.state))
	}
	if req.Method != http.MethodPost && req.Method != http.MethodGet && req.URL.Query().Get("_state") != strconv.Itoa(c.state) {
		refuse(w, http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", "an old location")
		return
	}
	switch req.Method {
	case http.MethodPost:
		c.got = nil
		move()
		w.WriteHeader(http.StatusAccepted)
	case http.MethodGet:
		move() // one may ask at an old location
		w.Header().Set("Range", c.answer(len(c.got)))
		w.WriteHeader(http.StatusNoContent)
		c.got = append(c.got, layer(200_000).Bytes[len(c.got):len(c.got)+c.grow]...)
		c.grow /= 2
		if c.late > 0 {
			c.late--
			c.state++
		}
	case http.MethodPut:
		body := io.Reader(req.Body)
		if c.cutAfter >= 0 {
			body = io.LimitReader(body, c.cutAfter)
		}
		part, _ := io.ReadAll(body)
		c.got = append(c.got, part...)
		if c.cutAfter >= 0 {
			c.cutAfter = -1
			c.state++
			panic(http.ErrAbortHandler)
		}
		c.done = bytes.Equal(c.got, layer(200_000).Bytes)
		w.WriteHeader(http.StatusCreated)
	case http.MethodDelete:
		c.dropped = true
		w.WriteHeader(http.StatusNoContent)
	}
}

// cancelled reports whether the session was removed.
func (c *chunks) cancelled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped
}

// committed waits for the request that is being served: the client that cut it does not.
func (c *chunks) committed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

func lastByte(offset int) string { return fmt.Sprintf("0-%d", offset-1) }

func TestResumeAfterACut(t *testing.T) {
	blob := layer(200_000)
	for _, test := range []struct {
		name   string
		answer func(int) string
		grow   int
		want   int64
	}{
		{"steady", lastByte, 0, 70_000},
		{"while the old request dies", lastByte, 1024, 70_000 + 2047},
		{"one byte or none", func(int) string { return "0-0" }, 0, 0},
		{"no range", func(int) string { return "" }, 0, 0},
		{"more than there is", func(int) string { return "0-999999" }, 0, 0},
		{"nonsense", func(int) string { return "5-3" }, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			session := &chunks{cutAfter: 70_000, answer: test.answer, grow: test.grow}
			host, seen := serve(t, session)
			upload := startUpload(t, target(t, newClient(t, Options{}), host, "a"), blob)
			if err := upload.Commit(t.Context(), blob.Stream()); err == nil {
				t.Fatal("commit: got nil, want an error")
			}
			offset, err := upload.Offset(t.Context())
			if err != nil || offset != test.want {
				t.Fatalf("offset: got %d and %v, want %d", offset, err, test.want)
			}
			if err := upload.CommitFrom(t.Context(), offset, blob.StreamFrom(t, offset)); err != nil {
				t.Errorf("commit from %d: %v", offset, err)
			}
			if !session.committed() {
				t.Error("the registry has too few bytes, or other ones")
			}
			puts := seen.all("PUT")
			if last := puts[len(puts)-1]; offset > 0 && last.Header.Get("Content-Range") != fmt.Sprintf("%d-199999", offset) {
				t.Errorf("Content-Range: %q", last.Header.Get("Content-Range"))
			}
		})
	}
}

func TestResumeInAnotherProcess(t *testing.T) {
	blob := layer(200_000)
	session := &chunks{cutAfter: 70_000, answer: lastByte}
	host, _ := serve(t, session)
	upload := startUpload(t, target(t, newClient(t, Options{}), host, "a"), blob)
	_ = upload.Commit(t.Context(), blob.Stream())

	resumed, err := target(t, newClient(t, Options{}), host, "a").ResumeUpload(t.Context(), blob.Descriptor, upload.Session())
	if err != nil {
		t.Fatal(err)
	}
	offset, err := resumed.Offset(t.Context())
	if err != nil || offset != 70_000 {
		t.Fatalf("offset: got %d and %v", offset, err)
	}
	short := content.NewStream(bytes.NewReader(blob.Bytes[:len(blob.Bytes)-1]), blob.Descriptor)
	if _, err := io.CopyN(io.Discard, short, offset); err != nil {
		t.Fatal(err)
	}
	if err := resumed.CommitFrom(t.Context(), offset, short); !errors.Is(err, content.ErrMismatch) {
		t.Errorf("a byte too few: got %v, want a mismatch", err)
	}
	if session.committed() {
		t.Error("committed with a byte too few")
	}
}

func TestResumeRefuses(t *testing.T) {
	host, _ := serve(t, http.NotFoundHandler())
	r := target(t, newClient(t, Options{}), host, "a")
	if _, err := r.ResumeUpload(t.Context(), layer(10).Descriptor, "/gone"); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("a session that is gone: got %v, want not found", err)
	}
	if _, err := r.ResumeUpload(t.Context(), layer(10).Descriptor, "http://169.254.169.254/"); !errors.Is(err, content.ErrInvalid) {
		t.Errorf("a session elsewhere: got %v, want a refusal", err)
	}
}

// An upload says its algorithm when it begins, because registries hash the bytes as they come (OCI
// distribution specification, "Pushing a blob in chunks").
func TestUploadSaysItsAlgorithm(t *testing.T) {
	host, seen := serve(t, newRegistry(t))
	r := target(t, newClient(t, Options{}), host, "team/app")
	blob := layer(1000).As(digest.SHA512)
	blob.Push(t, r)
	blob.Check(t, r)
	layer(10).Push(t, r)
	if all, said := seen.count("POST "), seen.count("POST /v2/team/app/blobs/uploads/?digest-algorithm=sha512"); all != 2 || said != 1 {
		t.Errorf("%d of %d uploads say sha512, want 1 of 2", said, all)
	}
}
