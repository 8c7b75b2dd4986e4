package transfer

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// registries opens all places by the client of registries.
type registries struct{ client *registry.Client }

func (o registries) OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error) {
	return o.client.Repository(ctx, ref)
}

func (o registries) OpenTarget(ctx context.Context, ref reference.Reference) (content.Target, error) {
	return o.client.Target(ctx, ref)
}

// Two images of two repositories share a layer that a registry fails to send or to take. Its failure is kept for the
// run, so that the second image fails without a request: its error names its own reference, keeps status and code, and does
// not show the URL in the repository of the first image.
func TestKeptFailureShowsNoForeignURL(t *testing.T) {
	for _, side := range []Side{SideSource, SideDestination} {
		t.Run(string(side), func(t *testing.T) {
			a, b := registrytest.New(t), registrytest.New(t)
			shared := []registrytest.Layer{{Size: 3000, Seed: 7}}
			a.Push("one", "1", registrytest.Image(registrytest.ImageSpec{Seed: 1, Layers: shared}))
			a.Push("two", "1", registrytest.Image(registrytest.ImageSpec{Seed: 2, Layers: shared}))
			layer := registrytest.Image(registrytest.ImageSpec{Layers: shared}).Layers[0].Digest.Encoded()
			failing, method := a, http.MethodGet
			if side == SideDestination {
				failing, method = b, http.MethodPut
			}
			failing.Fail(func(r *http.Request) *registrytest.Fault {
				if r.Method != method || !strings.Contains(r.URL.RequestURI(), layer) {
					return nil
				}
				return &registrytest.Fault{Status: http.StatusInternalServerError, Code: "UNKNOWN"}
			})
			client := registry.New(registry.Options{CertsDirs: []string{}})
			defer client.Close()
			e := New(registries{client}, Options{Window: 1, Attempts: 1, FailFast: true})
			results := run(t, e, job(a.Host()+"/one:1", b.Host()+"/one:1"), job(a.Host()+"/two:1", b.Host()+"/two:1"))
			for i, r := range results {
				own := r.Job.Source
				if side == SideDestination {
					own = r.Job.Destinations[0]
				}
				err := r.Destinations[0].Err
				told, said := errors.AsType[*Error](err)
				answer := content.AnswerOf(err)
				if !said || told.Side != side || told.Reference != own || answer.Host != failing.Host() ||
					answer.Status != http.StatusInternalServerError || answer.Code != "UNKNOWN" {
					t.Errorf("image %d: %v with the answer %+v, want one about %s", i+1, err, answer, own.Familiar())
				}
				if other := map[int]string{0: "/two/", 1: "/v2/one/"}[i]; strings.Contains(told.Err.Error(), other) || strings.Contains(answer.URL, other) {
					t.Errorf("image %d shows the URL of the other: %v", i+1, err)
				}
				if shows := answer.URL != ""; shows != (i == 0) {
					t.Errorf("image %d: the URL is %q", i+1, answer.URL)
				}
			}
		})
	}
}
