package registry

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// One blob from a registry to another, over loopback. The allocations do not depend on the size: none is made for each
// piece of the body.
func BenchmarkBlob(b *testing.B) {
	for _, size := range []int{150_000, 16 << 20, 64 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			blob := contenttest.NewLayer("bench", size)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch req.Method {
				case http.MethodGet:
					http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(blob.Bytes))
				case http.MethodPost:
					w.Header().Set("Location", "/v2/team/app/blobs/uploads/1")
					w.WriteHeader(http.StatusAccepted)
				default:
					_, _ = io.Copy(io.Discard, req.Body)
					w.WriteHeader(http.StatusCreated)
				}
			}))
			b.Cleanup(server.Close)
			c := newClient(b, Options{})
			host := server.Listener.Addr().String()
			from, to := source(b, c, host, "team/app"), target(b, c, host, "team/app")
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				body, err := from.FetchBlob(b.Context(), blob.Descriptor)
				if err != nil {
					b.Fatal(err)
				}
				upload, err := to.StartUpload(b.Context(), blob.Descriptor)
				if err != nil {
					b.Fatal(err)
				}
				if err := upload.Commit(b.Context(), content.NewStream(body, blob.Descriptor)); err != nil {
					b.Fatal(err)
				}
				_ = body.Close()
			}
		})
	}
}
