package transfer

import (
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// Hints come from several memories, which name the same places: a mount that was refused
// is not asked for again.
func TestHintsAreFollowedOnce(t *testing.T) {
	w := newWorld()
	image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("layer", 50))
	image.Push(t, w.at("b.test/source").MemoryRepository, "1")
	var mu sync.Mutex
	asked := map[string]int{}
	w.at("b.test/target").onMount = func(from string) error {
		mu.Lock()
		defer mu.Unlock()
		asked[from]++
		if from != "target" {
			return content.ErrNotMounted
		}
		return nil
	}
	hints := func(string, digest.Digest) []string { return []string{"source", "old", "target", "", "old"} }
	ok(t, run(t, New(w, Options{MountHints: hints}), job("b.test/source:1", "b.test/target:1"))...)
	const blobs = 2
	if asked["source"] != blobs || asked["old"] != blobs {
		t.Errorf("mounts of %d blobs were asked for from %v", blobs, asked)
	}
}
