package plan

import (
	"context"
	"iter"
	"testing"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// Selections that give different images, or may end differently, have different names.
func TestPlatformsKey(t *testing.T) {
	amd64, arm64 := content.Platform{OS: "linux", Architecture: "amd64"}, content.Platform{OS: "linux", Architecture: "arm64"}
	keys := map[string]bool{}
	for _, platforms := range [][]content.Platform{{amd64}, {arm64}, {amd64, arm64}, {arm64, amd64}} {
		for _, require := range []bool{false, true} {
			keys[Request{Platforms: platforms, RequirePlatforms: require}.selectionKey(false)] = true
		}
	}
	if len(keys) != 8 {
		t.Errorf("%d keys for 8 selections: %v", len(keys), keys)
	}
}

// withInvalidTag also lists a tag that is not valid.
type withInvalidTag struct{ *contenttest.MemoryRepository }

func (w withInvalidTag) Tags(ctx context.Context) iter.Seq2[string, error] {
	return content.ValidNames("tag", content.CheckTag, func(yield func(string, error) bool) {
		if yield("../x", nil) {
			w.MemoryRepository.Tags(ctx)(yield)
		}
	})
}

// A destination's list that holds invalid tags is a list all the same.
func TestInventoryWithInvalidTags(t *testing.T) {
	b := withInvalidTag{contenttest.NewMemory("b.test").Repository("app")}
	contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 10)).Push(t, b.MemoryRepository, "1")
	var v inventories
	v.list(t.Context(), b, b.Location())
	if known := v.get(b.Location()); known.state != listed || len(known.tags) != 1 || !known.tags["1"] {
		t.Errorf("got %+v, want the one tag", known)
	}
}
