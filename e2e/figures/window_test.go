package figures

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/lab"
)

// fullWindow mirrors 200 images of 11 blobs to a slow registry over 8 connections.
func (b *bench) fullWindow(t *testing.T) {
	storage := lab.NewStorage(t)
	for n := range 200 {
		r := storage.Repository(fmt.Sprintf("team/app%d", n%10))
		layers := make([]v1.Descriptor, 10)
		for k := range layers {
			layers[k] = r.Layer(fmt.Sprint("window ", n, " ", k), 30_000)
		}
		r.Tag(fmt.Sprint("v", n), r.Image("linux/amd64", fmt.Sprint("window ", n), layers...))
	}
	source := lab.StartProxy(t, storage.Serve(t, b.registry), 0)
	destination := lab.StartProxy(t, lab.StartRegistry(t, b.registry), 12_000_000)
	shell := lab.NewShell(t, b.regsync)
	config := shell.Write(t, "window.yaml", fmt.Sprintf(`version: 1
registries:
  %[2]s: {maxConnections: 8}
defaults: {to: "%[2]s/{{.Repository}}", referrers: false}
sync:
  - from: %[1]s/team/app{0,1,2,3,4,5,6,7,8,9}
`, source.Host, destination.Host))

	began := time.Now()
	shell.Regsync(t, "sync", "-c", config, "-q")
	b.noted("200 images of 11 blobs, 8 connections, a slow destination: time", time.Since(began).Round(10*time.Millisecond))
	source.Take()
	atMost(t, b, "… upload sessions open at once", sessions(destination.Take()), 8)
}

// sessions is the most upload sessions that were open at once.
func sessions(exchanges []lab.Exchange) int {
	slices.SortFunc(exchanges, func(x, y lab.Exchange) int { return x.Done.Compare(y.Done) })
	open, most := 0, 0
	for _, e := range exchanges {
		switch {
		case !e.Upload():
		case e.Method == http.MethodPost && e.Status == http.StatusAccepted:
			open++
		case e.Method == http.MethodPut, e.Method == http.MethodDelete:
			open--
		}
		most = max(most, open)
	}
	return most
}
