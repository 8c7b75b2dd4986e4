//go:build unix

package auth_test

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/regsync/regsync/pkg/auth"
)

// A disk without room refuses root, too; the limit on the size of files does the same.
func TestSaveOnAFullDisk(t *testing.T) {
	const before = `{"psFormat": "x"}`
	path := write(t, filepath.Join(t.TempDir(), "config.json"), before)
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 8
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &none); err != nil {
		t.Fatal(err)
	}
	_, err := auth.NewFile(path).Save(t.Context(), "a", "", as("me"))
	if restored := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); restored != nil {
		t.Fatal(restored)
	}
	if err == nil || !strings.Contains(err.Error(), "(the old file is unchanged)") {
		t.Errorf("got %v, want an error that says so", err)
	}
	if got := read(t, path); got != before {
		t.Errorf("the file became %s", got)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestSaveKeepsTheOwner(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "config.json"), "{}")
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 12345, 54321); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	save(t, path, "a", "", as("me"))
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	got, want := after.Sys().(*syscall.Stat_t), before.Sys().(*syscall.Stat_t)
	if got.Uid != want.Uid || got.Ino == want.Ino {
		t.Errorf("owner %d, want %d, in a file of its own", got.Uid, want.Uid)
	}
	// A lock that only root can open would be the end of the user's own logins.
	lock, err := os.Stat(path + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	if got := lock.Sys().(*syscall.Stat_t); got.Uid != want.Uid {
		t.Errorf("the lock's owner is %d, want %d", got.Uid, want.Uid)
	}
}
