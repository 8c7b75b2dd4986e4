package runlock

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What came from standard input is what names it.
func TestName(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"a.yaml", "b.yaml"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name := func(stdin string, files ...string) string {
		got, err := (&Lock{Files: files, Stdin: stdin}).name()
		if err != nil {
			t.Error(err)
		}
		return got
	}
	equal := []string{
		name("", "a.yaml", "b.yaml"), name("", "b.yaml", "./a.yaml"), name("", filepath.Join(dir, "b.yaml"), "../"+filepath.Base(dir)+"/a.yaml"),
	}
	if equal[0] != equal[1] || equal[1] != equal[2] {
		t.Errorf("one configuration has the names %q", equal)
	}
	different := map[string]bool{
		name("", "a.yaml"): true, name("", "b.yaml"): true, equal[0]: true,
		name("1", "-"): true, name("2", "-"): true, name("1", "-", "a.yaml"): true,
	}
	if len(different) != 6 {
		t.Errorf("different configurations have %d names", len(different))
	}
}

// TestLocksDir: without a state directory the lock is in the temporary one, but not in one that somebody else has
// prepared.
func TestLocksDir(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir, err := locksDir("")
	if err != nil || !strings.HasPrefix(dir, os.Getenv("TMPDIR")) {
		t.Fatalf("got %s, %v", dir, err)
	}
	private := filepath.Dir(dir)
	if again, err := locksDir(""); err != nil || again != dir {
		t.Errorf("the second time: %s, %v", again, err)
	}
	if err := os.Chmod(private, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := locksDir(""); err == nil {
		t.Error("a directory that others can write to was taken")
	}
	if err := os.RemoveAll(private); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), private); err != nil {
		t.Fatal(err)
	}
	if _, err := locksDir(""); err == nil {
		t.Error("a link was followed")
	}
}
