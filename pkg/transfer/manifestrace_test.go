package transfer_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
)

// Distribution answers DIGEST_INVALID to one of two clients that push the same manifest at the same time. The manifest
// is pushed once more; a registry that goes on to refuse it is believed.
func TestManifestPushedByTwoClients(t *testing.T) {
	for refusals, copied := range map[int32]int{1: 1, 100: 0} {
		b := newHubBench(t, 100)
		b.addSingles(1)
		var puts atomic.Int32
		b.mirror.Fail(func(r *http.Request) *registrytest.Fault {
			if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/") || puts.Add(1) > refusals {
				return nil
			}
			return &registrytest.Fault{Status: http.StatusBadRequest, Code: "DIGEST_INVALID"}
		})
		done := 0
		for _, err := range b.run(b.limiter()) {
			if err == nil {
				done++
			}
		}
		if done != copied || puts.Load() > 4 {
			t.Errorf("%d refusals: %d copied by %d PUTs", refusals, done, puts.Load())
		}
	}
}
