package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
)

// refusedImages are 200 images in 4 repositories of a.test with a layer in common, and jobs
// that take them to the same repositories of another registry.
func refusedImages(t *testing.T, w *world, to string) (jobs []Job, names []string) {
	t.Helper()
	names = []string{"repository0", "repository1", "repository2", "repository3"}
	for n := range 200 {
		name := names[n%len(names)]
		image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("base", 3000), contenttest.NewLayer(fmt.Sprint(n), 1000))
		image.Push(t, w.at("a.test/"+name).MemoryRepository, fmt.Sprint(n))
		jobs = append(jobs, job(fmt.Sprintf("a.test/%s:%d", name, n), fmt.Sprintf("%s/%s:%d", to, name, n)))
	}
	return jobs, names
}

// requireDenied fails the test unless each image has failed because the destination denies it.
func requireDenied(t *testing.T, results []*Result) {
	t.Helper()
	for _, r := range results {
		err := r.Err()
		if side, said := errors.AsType[*Error](err); !said || side.Side != SideDestination || !errors.Is(err, content.ErrDenied) {
			t.Errorf("%s: %v, want that the destination denies it", r.Job.Source.Familiar(), err)
		}
	}
}

// mostRefused is how many requests may go to a registry that takes nothing into 4 repositories:
// for each a question for a tag, a list, one upload and two tokens.
const mostRefused = 4 * 5

// The account may read everything at the destination and push nothing: all images fail by the
// same cause, and few of them ask the registry.
func TestPushIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		jobs, names := refusedImages(t, w, "b.test")
		for _, name := range names {
			w.at("a.test/" + name).hold = func(ctx context.Context, what string, _ digest.Digest) error {
				return retry.Sleep(ctx, 50*time.Millisecond)
			}
			w.at("b.test/" + name).hold = func(ctx context.Context, what string, _ digest.Digest) error {
				if err := retry.Sleep(ctx, 50*time.Millisecond); err != nil {
					return err
				}
				if slices.Contains([]string{"probe", "mount", "start", "put"}, what) {
					return content.ErrDenied
				}
				return nil
			}
		}
		e := New(w, Options{})
		requireDenied(t, run(t, e, jobs...))
		asked, read := 0, 0
		for _, name := range names {
			asked += w.at("b.test/" + name).requests()
			read += w.at("a.test/" + name).times("fetch")
		}
		t.Logf("%d requests to the destination", asked)
		if asked > mostRefused || read > 0 {
			t.Errorf("%d requests to the destination and %d blobs read, want at most %d and none", asked, read, mostRefused)
		}
		nothingIsKept(t, e)
		noSessions(t, w)
	})
}

// toRegistry opens all targets by the client of registries.
type toRegistry struct {
	*world
	client *registry.Client
}

func (o toRegistry) OpenTarget(ctx context.Context, ref reference.Reference) (content.Target, error) {
	return o.client.Target(ctx, ref)
}

// account is logged in everywhere.
type account struct{}

func (account) Credential(context.Context, string, string) (auth.Credential, error) {
	return auth.Credential{Username: "somebody", Password: "secret"}, nil
}

// The same through the client of registries, with the requests for tokens.
func TestPushIsRefusedByARegistry(t *testing.T) {
	server := registrytest.New(t, registrytest.ReadOnly(), registrytest.Latency(10*time.Millisecond),
		registrytest.WithTokens(registrytest.TokenConfig{User: "somebody", Password: "secret"}))
	w := newWorld()
	jobs, _ := refusedImages(t, w, server.Host())
	client := registry.New(registry.Options{Credentials: account{}, CertsDirs: []string{}})
	defer client.Close()
	e := New(toRegistry{w, client}, Options{})
	requireDenied(t, run(t, e, jobs...))
	all := server.Log()
	t.Logf("%d requests: %d for tokens, %d uploads, %d tags, %d listings", len(all), server.TokenRequests(),
		len(all.Find("POST", "/uploads/")), len(all.Find("HEAD", "/manifests/")), len(all.Find("GET", "/tags/list")))
	if len(all) > mostRefused {
		t.Errorf("%d requests to the destination, want at most %d", len(all), mostRefused)
	}
	nothingIsKept(t, e)
}

// The account may upload blobs and put no manifest: the first refusal is known to the images
// that come later, which send nothing.
func TestRefusedManifestIsKnownToLaterImages(t *testing.T) {
	const window, images = 4, 100
	w := newWorld()
	var jobs []Job
	for n := range images {
		contenttest.NewImage("linux/amd64", contenttest.NewLayer(fmt.Sprint(n), 1000)).Push(t, w.at("a.test/app").MemoryRepository, fmt.Sprint(n))
		jobs = append(jobs, job(fmt.Sprintf("a.test/app:%d", n), fmt.Sprintf("b.test/app:%d", n)))
	}
	b := w.at("b.test/app")
	var mu sync.Mutex
	puts := 0
	b.onPushManifest = func(content.Descriptor, string) error {
		mu.Lock()
		defer mu.Unlock()
		puts++
		return content.ErrDenied
	}
	requireDenied(t, run(t, New(w, Options{Window: window}), jobs...))
	if sent := b.times("commit"); puts > window || sent > 2*window {
		t.Errorf("%d manifests were put and %d blobs sent, want at most those of the %d images of the window", puts, sent, window)
	}
}
