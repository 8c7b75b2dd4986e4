package backend_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

const layerSize = 4 << 20

// cutOnce breaks the connection of the first body of each upload in the middle.
func cutOnce(s *registrytest.Server) {
	s.FailTimes(1, func(r *http.Request) bool {
		return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/uploads/") && r.ContentLength > layerSize/2
	}, registrytest.Fault{Cut: true, After: layerSize / 2})
}

// slowDeath is how often the offset may still grow while the registry reads what a broken request has brought, on a busy
// machine.
const slowDeath = 4

func uploadStatus(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/uploads/")
}

// An upload that breaks goes on where it broke, if the registry kept what it got and says how much that
// is. Otherwise it starts again. The blob arrives in each case, and no session is left.
func TestBrokenUpload(t *testing.T) {
	answer := func(status int, code string, header ...string) *registrytest.Fault {
		f := &registrytest.Fault{Status: status, Code: code, Header: http.Header{}}
		for i := 0; i < len(header); i += 2 {
			f.Header.Set(header[i], header[i+1])
		}
		return f
	}
	for _, test := range []struct {
		name  string
		fault func(to *registrytest.Server)
		again int64 // bytes that are sent twice, at most
		asked int   // how often the registry is asked how much it has, at most
	}{
		{"kept", func(*registrytest.Server) {}, 64 << 10, 3},
		{"kept, and the registry is busy", func(to *registrytest.Server) {
			to.FailTimes(1, uploadStatus, *answer(http.StatusServiceUnavailable, "UNAVAILABLE"))
		}, 64 << 10, 4},
		{"lost", func(to *registrytest.Server) {
			to.FailTimes(1, uploadStatus, *answer(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN"))
		}, layerSize/2 + 1, 1},
		{"more than was sent", func(to *registrytest.Server) {
			to.Fail(func(r *http.Request) *registrytest.Fault {
				if !uploadStatus(r) {
					return nil
				}
				return answer(http.StatusNoContent, "", "Range", fmt.Sprintf("0-%d", layerSize*3/4), "Location", r.URL.RequestURI())
			})
		}, layerSize/2 + 1, 5},
		{"less than it has", func(to *registrytest.Server) {
			to.Fail(func(r *http.Request) *registrytest.Fault {
				if !uploadStatus(r) {
					return nil
				}
				return answer(http.StatusNoContent, "", "Range", fmt.Sprintf("0-%d", layerSize/4), "Location", r.URL.RequestURI())
			})
		}, layerSize*5/4 + 64<<10, 8},
		{"the rest is refused, its parts are not", func(to *registrytest.Server) {
			to.FailTimes(1, func(r *http.Request) bool { return r.Header.Get("Content-Range") != "" },
				*answer(http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID"))
		}, 64 << 10, 5},
		{"the rest is refused, in parts, too", func(to *registrytest.Server) {
			to.Fail(func(r *http.Request) *registrytest.Fault {
				if r.Header.Get("Content-Range") == "" {
					return nil
				}
				return answer(http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID")
			})
		}, layerSize/2 + 64<<10, 6},
		{"the rest is refused, its parts are not kept", func(to *registrytest.Server) {
			to.Fail(func(r *http.Request) *registrytest.Fault {
				switch {
				case r.Method != http.MethodPut || r.Header.Get("Content-Range") == "":
					return nil
				case r.ContentLength > 1<<20:
					return answer(http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID")
				}
				return answer(http.StatusBadRequest, "DIGEST_INVALID")
			})
		}, layerSize*3/4 + 64<<10, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			from, to := registrytest.New(t), registrytest.New(t)
			image := registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: layerSize, Seed: 1}}})
			from.Push("app", "1", image)
			cutOnce(to)
			test.fault(to)
			mirror(t, transfer.Options{}, from.Reference("app", "1"), to.Reference("app", "1"))
			if err := to.Complete("app", "1"); err != nil {
				t.Error(err)
			}
			if again := to.BlobBytesIn() - layerSize - image.Config.Size; again > test.again {
				t.Errorf("%d bytes were sent twice, want at most %d", again, test.again)
			}
			if asked := len(to.Log().Find(http.MethodGet, "/blobs/uploads/")); asked == 0 || asked > test.asked+slowDeath {
				t.Errorf("asked %d times how much it has, want 1 to %d", asked, test.asked+slowDeath)
			}
		})
	}
}

// A registry that is restarted loses all uploads at once. That is no habit.
func TestUploadsLostAtOnce(t *testing.T) {
	from, to := registrytest.New(t), registrytest.New(t)
	layers := []registrytest.Layer{{Size: layerSize, Seed: 1}, {Size: layerSize, Seed: 2}, {Size: layerSize, Seed: 3}}
	from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{Layers: layers}))
	var cut atomic.Int32
	to.Fail(func(r *http.Request) *registrytest.Fault {
		switch {
		case uploadStatus(r):
			return &registrytest.Fault{Status: http.StatusNotFound, Code: "BLOB_UPLOAD_UNKNOWN"}
		case r.Method == http.MethodPut && r.ContentLength > layerSize/2 && cut.Add(1) <= 3:
			return &registrytest.Fault{Cut: true, After: layerSize / 2}
		}
		return nil
	})
	mirror(t, transfer.Options{Observe: func(e transfer.Event) {
		if w, ok := e.(transfer.Warned); ok {
			t.Errorf("warned: %v", w.Warning)
		}
	}}, from.Reference("app", "1"), to.Reference("app", "1"))
	if err := to.Complete("app", "1"); err != nil {
		t.Error(err)
	}
	if asked := len(to.Log().Find(http.MethodGet, "/blobs/uploads/")); asked == 0 || asked > len(layers) {
		t.Errorf("asked %d times for 3 lost uploads", asked)
	}
}

// seen implements AbilityMemory with a map.
type seen struct{ sync.Map }

func (s *seen) Ability(registry, ability string) (word string, known bool) {
	value, known := s.Load(registry + " " + ability)
	word, _ = value.(string)
	return word, known
}

func (s *seen) KeepAbility(registry, ability, word string) { s.Store(registry+" "+ability, word) }

// A registry that states one byte too many, as Quay does, refuses the rest of an upload. After two uploads that had
// to start again, broken uploads are not continued there, in this run or the next.
func TestOffsetsThatAreWrong(t *testing.T) {
	t.Parallel()
	from, to, memory := registrytest.New(t), registrytest.New(t), &seen{}
	var cut sync.Map
	var continued atomic.Int32
	to.Fail(func(r *http.Request) *registrytest.Fault {
		if r.Header.Get("Content-Range") != "" {
			continued.Add(1)
		}
		switch {
		case uploadStatus(r):
			return &registrytest.Fault{Status: http.StatusNoContent, Header: http.Header{
				"Range": {fmt.Sprintf("0-%d", layerSize/2)}, "Location": {r.URL.RequestURI()},
			}}
		case r.Method == http.MethodPut && r.ContentLength > layerSize/2:
			if _, again := cut.LoadOrStore(r.URL.Query().Get("digest"), true); !again {
				return &registrytest.Fault{Cut: true, After: layerSize / 2}
			}
		}
		return nil
	})
	run := func(tags ...string) {
		t.Helper()
		o := backend.New(backend.Options{})
		defer func() { _ = o.Close() }()
		jobs := func(yield func(transfer.Job) bool) {
			for i, tag := range tags {
				from.Push("app", tag, registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: layerSize, Seed: uint64(len(tags)*10 + i)}}}))
				job := transfer.Job{Source: parse(t, from.Reference("app", tag)), Destinations: []reference.Reference{parse(t, to.Reference("app", tag))}}
				if !yield(job) {
					return
				}
			}
		}
		engine := transfer.New(o, transfer.Options{Abilities: memory, Window: 1})
		if err := engine.Run(t.Context(), jobs, func(r *transfer.Result) {
			if r.Err() != nil {
				t.Error(r.Err())
			}
		}); err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags {
			if err := to.Complete("app", tag); err != nil {
				t.Error(err)
			}
		}
	}
	run("1", "2")
	before := continued.Load()
	run("3")
	if after := continued.Load(); before == 0 || after != before {
		t.Errorf("uploads were continued with %d requests, and with %d more in the next run, want none then", before, after-before)
	}
	if word, _ := memory.Ability(to.Host(), "range"); word != "wrong" {
		t.Errorf("remembered %q, want wrong", word)
	}
	if word, known := memory.Ability(to.Host(), "chunk"); known {
		t.Errorf("remembered %q of the size of parts", word)
	}
}

// A blob whose upload was continued is checked: a registry that does not have it then gets it once more.
func TestContinuedUploadIsChecked(t *testing.T) {
	from, to := registrytest.New(t), registrytest.New(t)
	image := registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: layerSize, Seed: 1}}})
	from.Push("app", "1", image)
	cutOnce(to)
	var continued, denied atomic.Int32
	to.Fail(func(r *http.Request) *registrytest.Fault {
		switch {
		case r.Header.Get("Content-Range") != "":
			continued.Add(1)
		case continued.Load() > 0 && r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, image.Layers[0].Digest.String()) && denied.Add(1) <= 2:
			return &registrytest.Fault{Status: http.StatusNotFound, Code: "BLOB_UNKNOWN"}
		}
		return nil
	})
	mirror(t, transfer.Options{}, from.Reference("app", "1"), to.Reference("app", "1"))
	if err := to.Complete("app", "1"); err != nil {
		t.Error(err)
	}
	if sent := to.BlobBytesIn(); continued.Load() != 1 || sent < 2*layerSize {
		t.Errorf("%d bytes were sent with %d continued uploads, want the blob twice", sent, continued.Load())
	}
}

// An object store is slow to commit a blob, and a proxy in front of it times out. The registry then has all bytes,
// and must not get a second commit while the first is in progress.
func TestCommitThatAProxyGivesUp(t *testing.T) {
	from, to := registrytest.New(t), registrytest.New(t)
	image := registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: layerSize, Seed: 1}}})
	from.Push("app", "1", image)
	isLayer := func(r *http.Request) bool { return r.URL.Query().Get("digest") == image.Layers[0].Digest.String() }
	var commits, looks atomic.Int32
	to.Fail(func(r *http.Request) *registrytest.Fault {
		switch {
		case r.Method == http.MethodPut && isLayer(r) && commits.Add(1) == 1:
			return &registrytest.Fault{LoseAnswer: true}
		case r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, image.Layers[0].Digest.String()) && commits.Load() > 0 && looks.Add(1) == 1:
			return &registrytest.Fault{Status: http.StatusNotFound, Code: "BLOB_UNKNOWN"} // not committed yet
		case uploadStatus(r) && commits.Load() > 0:
			return &registrytest.Fault{Status: http.StatusNoContent, Header: http.Header{
				"Range": {fmt.Sprintf("0-%d", layerSize-1)}, "Location": {r.URL.RequestURI()},
			}}
		}
		return nil
	})
	mirror(t, transfer.Options{}, from.Reference("app", "1"), to.Reference("app", "1"))
	if err := to.Complete("app", "1"); err != nil {
		t.Error(err)
	}
	if commits.Load() != 1 || to.BlobBytesIn() > layerSize+2000 {
		t.Errorf("%d commits, %d bytes were sent", commits.Load(), to.BlobBytesIn())
	}
}

// A registry that does not take the rest of an upload gets the blob from the start, in this run or the next.
func TestUploadThatCannotBeContinued(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"500":   {Status: http.StatusInternalServerError, Code: "UNKNOWN"},
		"reset": {Cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to, memory := registrytest.New(t), registrytest.New(t), &uploads{}
			from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: layerSize, Seed: 1}}}))
			cutOnce(to)
			to.Fail(func(r *http.Request) *registrytest.Fault {
				if r.Header.Get("Content-Range") != "" {
					return &fault
				}
				return nil
			})
			mirror(t, transfer.Options{Uploads: memory}, from.Reference("app", "1"), to.Reference("app", "1"))
			if err := to.Complete("app", "1"); err != nil {
				t.Error(err)
			}
		})
	}
}

// uploads is an UploadMemory in memory.
type uploads struct {
	mu    sync.Mutex
	saved map[string]*uploadRecord
	open  int
}

type uploadRecord struct {
	of      *uploads
	key     string
	session string
	state   []byte
}

func (u *uploads) OpenUpload(place string, blob digest.Digest) transfer.UploadRecord {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := place + " " + blob.String()
	if u.saved == nil {
		u.saved = map[string]*uploadRecord{}
	}
	if u.saved[key] == nil {
		u.saved[key] = &uploadRecord{of: u, key: key}
	}
	u.open++
	return u.saved[key]
}

func (r *uploadRecord) Saved() (session string, state []byte, known bool) {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	return r.session, r.state, r.session != ""
}

func (r *uploadRecord) Save(session string, state []byte) {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.session, r.state = session, state
}

func (r *uploadRecord) Forget() {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	delete(r.of.saved, r.key)
	r.of.open--
}

func (r *uploadRecord) Release() {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.of.open--
}

// What one run began, the next one continues: at a registry and in a layout. If the session is gone or
// what was saved is wrong, it starts again.
func TestUploadOfAnEarlierRun(t *testing.T) {
	for _, test := range []struct {
		name    string
		between func(to *registrytest.Server, memory *uploads)
		most    int64 // bytes that are sent in both runs
		resumes bool
		// How many of the bytes that the first run has sent the second one sends again, as far as that was saved.
		leastAgain, mostAgain int64
	}{
		{"continued", func(*registrytest.Server, *uploads) {}, layerSize + 512<<10, true, 0, layerSize / 2}, // what was in buffers
		{"the session is gone", func(to *registrytest.Server, _ *uploads) {
			to.FailTimes(1, uploadStatus, registrytest.Fault{Status: http.StatusNotFound, Code: "BLOB_UPLOAD_UNKNOWN"})
		}, layerSize*3/2 + 512<<10, false, layerSize / 4, layerSize},
		{"the state is damaged", func(_ *registrytest.Server, memory *uploads) {
			for _, r := range memory.saved {
				r.state = r.state[:20]
			}
		}, layerSize*3/2 + 512<<10, false, 0, 0},
		{"the session is another registry's", func(_ *registrytest.Server, memory *uploads) {
			for _, r := range memory.saved {
				r.session = "http://127.0.0.1:1/v2/app/blobs/uploads/x"
			}
		}, layerSize*3/2 + 512<<10, false, layerSize / 4, layerSize},
		{"the blob came with another image", func(to *registrytest.Server, _ *uploads) {
			to.Push("app", "other", registrytest.Image(registrytest.ImageSpec{Seed: 2, Layers: []registrytest.Layer{{Size: layerSize, Seed: 1}}}))
		}, layerSize/2 + 512<<10, false, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			from, to, memory := registrytest.New(t), registrytest.New(t), &uploads{}
			image := registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: layerSize, Seed: 1}}})
			from.Push("app", "1", image)
			to.FailTimes(1, func(r *http.Request) bool { return r.Method == http.MethodPut && r.ContentLength > layerSize/2 },
				registrytest.Fault{Hang: true, After: layerSize / 2})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				_ = to.Await(ctx, func(log registrytest.Requests) bool {
					return log.Find(http.MethodPut, "/blobs/uploads/").BytesIn() >= layerSize/2
				})
				cancel()
			}()
			if err := runOne(t, ctx, transfer.Options{Uploads: memory}, from.Reference("app", "1"), to.Reference("app", "1")); err == nil {
				t.Fatal("the first run was not interrupted")
			}
			test.between(to, memory)
			var total, resumed int64
			e := transfer.New(newOpener(t), transfer.Options{Uploads: memory, Observe: func(e transfer.Event) {
				if started, is := e.(transfer.BlobStarted); is && started.Descriptor.Size == layerSize {
					total, resumed = started.Progress.Total, started.Progress.Resumed
				}
			}})
			job := transfer.Job{Source: parse(t, from.Reference("app", "1")), Destinations: []reference.Reference{parse(t, to.Reference("app", "1"))}}
			if err := e.Run(t.Context(), slices.Values([]transfer.Job{job}), func(*transfer.Result) {}); err != nil {
				t.Fatal(err)
			}
			if err := to.Complete("app", "1"); err != nil {
				t.Error(err)
			}
			if sent := to.BlobBytesIn(); sent > test.most {
				t.Errorf("%d bytes were sent, want at most %d", sent, test.most)
			}
			if resumed > 0 != test.resumes || test.resumes && total+resumed != layerSize {
				t.Errorf("resumed at %d, with %d to send", resumed, total)
			}
			if again := e.Counters.Resent.Load(); again < test.leastAgain || again > test.mostAgain {
				t.Errorf("%d bytes count as sent again, want %d to %d", again, test.leastAgain, test.mostAgain)
			}
			if len(memory.saved) > 0 {
				t.Errorf("%d uploads are still remembered", len(memory.saved))
			}
			if open := to.Sessions(); len(open) > 0 && !strings.HasPrefix(test.name, "the session") {
				t.Errorf("sessions are left: %v", open)
			}
		})
	}
}

// A run whose uploads all break once ends well, and leaves no record.
func TestManyBrokenUploads(t *testing.T) {
	from, to, memory := registrytest.New(t), registrytest.New(t), &uploads{}
	const images, size = 64, 1200 << 10
	var jobs []transfer.Job
	for i := range images {
		tag := fmt.Sprint(i)
		from.Push("app", tag, registrytest.Image(registrytest.ImageSpec{Seed: uint64(i), Layers: []registrytest.Layer{{Size: size, Seed: uint64(i + 1)}}}))
		jobs = append(jobs, transfer.Job{Source: parse(t, from.Reference("app", tag)), Destinations: []reference.Reference{parse(t, to.Reference("app", tag))}})
	}
	to.Fail(func(r *http.Request) *registrytest.Fault {
		if r.Method == http.MethodPut && r.ContentLength > size/2 {
			return &registrytest.Fault{Cut: true, After: size / 2}
		}
		return nil
	})
	done := 0
	err := transfer.New(newOpener(t), transfer.Options{Uploads: memory}).Run(t.Context(), slices.Values(jobs), func(r *transfer.Result) {
		if r.Err() == nil {
			done++
		}
	})
	if err != nil || done != images {
		t.Errorf("%d of %d images arrived, and %v", done, images, err)
	}
	if memory.open != 0 || len(memory.saved) != 0 {
		t.Errorf("%d records are open after the run, %d uploads are remembered; want none", memory.open, len(memory.saved))
	}
	if again := to.BlobBytesIn() - images*size; again > images*64<<10 {
		t.Errorf("%d bytes were sent twice", again)
	}
}

// A layout keeps the partial file of a run that failed.
func TestPartialFileOfAnEarlierRun(t *testing.T) {
	from, memory := registrytest.New(t), &uploads{}
	from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: layerSize, Seed: 1}}}))
	from.Fail(func(r *http.Request) *registrytest.Fault {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			return &registrytest.Fault{End: true, After: layerSize / 2} // a reset may lose bytes in flight
		}
		return nil
	})
	layout := "oci:" + filepath.Join(t.TempDir(), "layout") + ":1"
	if err := runOne(t, t.Context(), transfer.Options{Uploads: memory, Attempts: 1, FailFast: true}, from.Reference("app", "1"), layout); err == nil {
		t.Fatal("the first run did not fail")
	}
	from.Heal()
	mirror(t, transfer.Options{Uploads: memory}, from.Reference("app", "1"), layout)
	if read := from.BlobBytesOut(); read > layerSize+64<<10 {
		t.Errorf("%d bytes were read, want little more than %d", read, layerSize)
	}
}

// mirror copies one image, which must succeed.
func mirror(t *testing.T, options transfer.Options, from, to string) {
	t.Helper()
	if err := runOne(t, t.Context(), options, from, to); err != nil {
		t.Fatal(err)
	}
}

func runOne(t *testing.T, ctx context.Context, options transfer.Options, from, to string) (err error) { //nolint:revive // t comes first
	t.Helper()
	job := transfer.Job{Source: parse(t, from), Destinations: []reference.Reference{parse(t, to)}}
	o := backend.New(backend.Options{Store: filepath.Join(t.TempDir(), "store")})
	defer func() { err = errors.Join(err, o.Close()) }()
	ended := transfer.New(o, options).Run(ctx, slices.Values([]transfer.Job{job}), func(r *transfer.Result) { err = errors.Join(err, r.Err()) })
	return errors.Join(err, ended)
}
