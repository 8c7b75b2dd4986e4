package layout_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/regsync/regsync/pkg/backend/layout"
)

func TestCheckWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	l, err := layout.OpenOrCreate(there)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "strangers"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"strangers/photo.jpg", "file"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, dir)
	for path, fine := range map[string]bool{
		"there": true, "not/there/yet": true, "strangers": false, "file": false, "file/below": false,
	} {
		if err := layout.CheckWrite(filepath.Join(dir, path)); (err == nil) != fine {
			t.Errorf("%s: %v, want fine %v", path, err, fine)
		}
	}
	if after := tree(t, dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// tree names everything below a directory.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var names string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names += path + "\n"
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
