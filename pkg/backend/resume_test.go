package backend_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
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
		}, layerSize/2 + 1, 4},
		{"less than it has", func(to *registrytest.Server) {
			to.Fail(func(r *http.Request) *registrytest.Fault {
				if !uploadStatus(r) {
					return nil
				}
				return answer(http.StatusNoContent, "", "Range", fmt.Sprintf("0-%d", layerSize/4), "Location", r.URL.RequestURI())
			})
		}, layerSize*5/4 + 64<<10, 4},
		{"the rest is refused", func(to *registrytest.Server) {
			to.FailTimes(1, func(r *http.Request) bool { return r.Header.Get("Content-Range") != "" },
				*answer(http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID"))
		}, layerSize + 64<<10, 3},
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
			if asked := len(to.Log().Find(http.MethodGet, "/blobs/uploads/")); asked == 0 || asked > test.asked {
				t.Errorf("asked %d times how much it has, want 1 to %d", asked, test.asked)
			}
		})
	}
}

// A registry that loses uploads whose connection broke is not asked for each of them.
func TestRegistryThatLosesUploads(t *testing.T) {
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
	mirror(t, transfer.Options{Window: 1}, from.Reference("app", "1"), to.Reference("app", "1"))
	if err := to.Complete("app", "1"); err != nil {
		t.Error(err)
	}
	if asked := len(to.Log().Find(http.MethodGet, "/blobs/uploads/")); asked == 0 || asked > len(layers) {
		t.Errorf("asked %d times for 3 lost uploads", asked)
	}
}

// mirror copies one image, which must succeed.
func mirror(t *testing.T, options transfer.Options, from, to string) {
	t.Helper()
	job := transfer.Job{Source: parse(t, from), Destinations: []reference.Reference{parse(t, to)}}
	err := transfer.New(newOpener(t), options).Run(t.Context(), slices.Values([]transfer.Job{job}), func(r *transfer.Result) {
		if r.Err() != nil {
			t.Error(r.Err())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
