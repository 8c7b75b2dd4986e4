package tagcache

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/reference"
)

// The directory may be one that a user chose with --state, with other files in it: the cache removes only its own.
func TestLeavesOtherFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "completion")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	app, other := parsed(t, "a.corp/app"), parsed(t, "a.corp/other")
	cache := Cache{Dir: dir, Identity: "me"}
	cache.Write(other, []string{"1"})
	stale := filepath.Base(cache.file(other))
	theirs := []string{"notes.txt", "0123456789abcdef", stale + ".bak", "x" + stale}
	for _, name := range theirs {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	interrupted := stale + ".123"
	if err := os.WriteFile(filepath.Join(dir, interrupted), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Add(-2 * fresh)
	for _, name := range append(slices.Clone(theirs), stale, interrupted) {
		if err := os.Chtimes(filepath.Join(dir, name), before, before); err != nil {
			t.Fatal(err)
		}
	}
	cache.Write(app, []string{"1", "2"})
	for _, name := range theirs {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{stale, interrupted} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, cache.file(app): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

func TestCacheIsOneOfAnAccount(t *testing.T) {
	app := parsed(t, "a.corp/app")
	mine, theirs := Cache{t.TempDir(), "me"}, Cache{Identity: "you"}
	theirs.Dir = mine.Dir
	mine.Write(app, []string{"secret"})
	if tags, ok := theirs.Read(app); ok {
		t.Errorf("another account sees %q", tags)
	}
	if tags, ok := mine.Read(app); !ok || !slices.Equal(tags, []string{"secret"}) {
		t.Errorf("got %q, %v", tags, ok)
	}
	theirs.Forget(app)
	if tags, ok := mine.Read(app); ok {
		t.Errorf("%q are not forgotten", tags)
	}
}

func parsed(t *testing.T, name string) reference.Reference {
	t.Helper()
	ref, err := reference.ParseRepository(name)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
