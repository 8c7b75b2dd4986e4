package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/regsync/regsync/e2e/lab"
)

// misfortune is what befalls the folder of the state between two nights.
type misfortune struct {
	name string
	// before is what was done to the folder before the first night; nil is nothing.
	before func(t *testing.T, dir string)
	befall func(t *testing.T, dir string) // nil is nothing
	// Words of each warning: of the night before it, the night after it, and the night after
	// that, when what can be mended is mended.
	first, warnings, later []string
	// after is checked when the night after it is over.
	after func(t *testing.T, dir string)
}

// stateDatabase: whatever is wrong with the state database, everything is copied and right,
// and one warning says what is wrong.
func (s *stage) stateDatabase(t *testing.T) {
	source := s.compose.Plain + "/state/app"
	lab.Push(t, source+":1.0", threePlatforms(t, 400))
	lab.Push(t, source+":edge", lab.Image(t, "linux/amd64", lab.Layer(t, 410, 50_000)))
	for i, m := range misfortunes() {
		t.Run(m.name, func(t *testing.T) {
			n := s.nights(t, source, fmt.Sprintf("%s/state/case-%d-", s.compose.Token, i))
			if m.before != nil {
				m.before(t, n.state)
			}
			n.pass(t, "first", m.first)
			t.Run("then", func(t *testing.T) { // its end mends what can be mended
				if m.befall != nil {
					m.befall(t, n.state)
				}
				n.pass(t, "second", m.warnings)
				if m.after != nil {
					m.after(t, n.state)
				}
			})
			n.pass(t, "third", m.later)
		})
	}
}

// nights copy the same images, each to repositories of its own.
type nights struct {
	shell          *lab.Shell
	state          string // the folder
	config         string
	source, copied string // copied is what the names of the repositories begin with
}

func (s *stage) nights(t *testing.T, source, copied string) *nights {
	t.Helper()
	n := &nights{shell: s.owner(t), source: source, copied: copied}
	n.state = folder(t, n.shell, "state")
	n.config = n.shell.Write(t, "mirror.yaml", `version: 1
sync:
  - {name: whole, from: `+quote(source)+`, to: "`+copied+`${NIGHT}"}
  - name: part
    from: `+quote(source)+`
    to: "`+copied+`${NIGHT}-part"
    platforms: [linux/amd64, linux/s390x]
    tags: {include: ["1.*"]}
    immutable: ["1.*"]
`)
	return n
}

// pass wants a night to say these warnings and to do all its work.
func (n *nights) pass(t *testing.T, name string, warnings []string) {
	t.Helper()
	n.shell.Set("NIGHT=" + name)
	wantWarnings(t, n.shell.Regsync(t, "sync", "-c", n.config), warnings...)
	for _, tag := range []string{":1.0", ":edge"} {
		wantDigests(t, n.shell, lab.Digest(t, n.source+tag), n.copied+name+tag)
	}
	part := n.copied + name + "-part:1.0"
	if got, want := rawPlatforms(t, n.shell, part), []string{"linux/amd64", "linux/s390x"}; !slices.Equal(got, want) {
		t.Errorf("%s has %v, want %v", part, got, want)
	}
}

func misfortunes() []misfortune {
	var newer string // the bytes of a database from a newer regsync
	forgetful := []string{"read-only file system; nothing is remembered"}
	return []misfortune{
		{name: "missing", befall: func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "read-only", befall: mountReadOnly, warnings: []string{"cannot be written"}},
		{
			name: "full disk", before: func(t *testing.T, dir string) { mountTmpfs(t, dir, 0, "size=128k") },
			befall: fill, warnings: []string{"full"},
		},
		{name: "read-only from the start", before: mountReadOnly, first: forgetful, warnings: forgetful, later: forgetful},
		{
			name: "full disk from the start", before: func(t *testing.T, dir string) {
				mountTmpfs(t, dir, 0, "size=128k")
				fill(t, dir)
			},
			first: []string{"full"}, warnings: []string{"full"}, later: []string{"full"},
		},
		{
			name: "no header", befall: func(t *testing.T, dir string) {
				overwrite(t, database(dir), 0, bytes.Repeat([]byte("no header "), 10))
			},
			warnings: []string{"was damaged: it is state.db.corrupt-"}, after: wantAside,
		},
		{
			name: "holes", befall: func(t *testing.T, dir string) {
				size := fileSize(t, database(dir))
				overwrite(t, database(dir), 4096, bytes.Repeat([]byte{0xa5}, int(size-4096)))
			},
			warnings: []string{"was damaged: it is state.db.corrupt-"}, after: wantAside,
		},
		{
			name: "cut short", befall: func(t *testing.T, dir string) {
				if err := os.Truncate(database(dir), fileSize(t, database(dir))/2); err != nil {
					t.Fatal(err)
				}
			},
			warnings: []string{"was damaged: it is state.db.corrupt-"}, after: wantAside,
		},
		{
			name: "newer", befall: func(t *testing.T, dir string) {
				overwrite(t, database(dir), 60, []byte{0, 0, 0, 99}) // PRAGMA user_version
				newer = read(t, database(dir))
			},
			warnings: []string{"is from a newer regsync (version 99"}, later: []string{"is from a newer regsync (version 99"},
			after: func(t *testing.T, dir string) {
				if read(t, database(dir)) != newer {
					t.Error("it was changed")
				}
			},
		},
		{name: "locked", befall: lockDatabase, warnings: []string{"database is locked"}},
	}
}

func database(dir string) string { return filepath.Join(dir, "state.db") }

// wantWarnings wants these warnings and no other.
func wantWarnings(t *testing.T, run *lab.Outcome, want ...string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(run.Stderr) {
		if _, line, ok := strings.Cut(line, "regsync: "); ok {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s says %q, want one word about each of %q", strings.Join(run.Args, " "), got, want)
		return
	}
	for i, words := range want {
		if !strings.HasPrefix(got[i], "warning: ") || !strings.Contains(got[i], words) {
			t.Errorf("%s says %q, want a warning with %q", strings.Join(run.Args, " "), got[i], words)
		}
	}
}

func wantAside(t *testing.T, dir string) {
	t.Helper()
	asides, err := filepath.Glob(database(dir) + ".corrupt-*")
	if err != nil || len(asides) != 1 {
		t.Errorf("set aside: %q, %v", asides, err)
	}
}

func overwrite(t *testing.T, path string, at int64, text []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(text, at); err != nil {
		t.Fatal(err)
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// mountReadOnly makes a folder read-only, for root too, until the test ends.
func mountReadOnly(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("mount %s onto itself: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatalf("make %s read-only: %v", dir, err)
	}
}

// fill leaves no room in the file system of a folder until the test ends.
func fill(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	})
	defer file.Close()
	for {
		_, err := file.Write(make([]byte, 4096))
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// lockDatabase has the lock that a writer of SQLite takes, which lies on the 512 bytes from
// 1 GiB on (https://sqlite.org/fileformat2.html#the_lock_byte_page), until the test ends.
func lockDatabase(t *testing.T, dir string) {
	t.Helper()
	file, err := os.OpenFile(database(dir), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: 1 << 30, Len: 512}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
}
