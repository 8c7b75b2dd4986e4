package state

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

func entriesOf(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func requireSaved(t *testing.T, l *Upload, session, state string) {
	t.Helper()
	if l == nil {
		t.Fatal("the upload is taken")
	}
	gotSession, gotState, known := l.Saved()
	if known != (session != "") || gotSession != session || string(gotState) != state {
		t.Errorf("saved: %q, %q, %v; want %q, %q", gotSession, gotState, known, session, state)
	}
}

// What one process has saved, the next one finds; meanwhile no other one can take it.
func TestUploadsOfALaterProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "uploads")
	first, second := NewUploads(dir), NewUploads(dir)
	l := first.Open("a.example/app", sum("blob"))
	requireSaved(t, l, "", "")
	l.Save("https://a.example/1", bytes.Repeat([]byte("long"), 100))
	l.Save("https://a.example/2", []byte("state"))
	if second.Open("a.example/app", sum("blob")) != nil {
		t.Error("two processes have one upload")
	}
	if other := second.Open("a.example/other", sum("blob")); other == nil {
		t.Error("the same blob for another place is taken")
	} else {
		other.Release() // nothing was saved
	}
	l.Release()
	l.Save("https://a.example/3", nil)
	first.Close()

	l = second.Open("a.example/app", sum("blob"))
	requireSaved(t, l, "https://a.example/2", "state")
	l.Release() // as it was
	l = first.Open("a.example/app", sum("blob"))
	requireSaved(t, l, "https://a.example/2", "state")
	info, err := os.Stat(filepath.Join(dir, entriesOf(t, dir)[0].Name()))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of a session: %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory of the sessions: %v, %v", info.Mode(), err)
	}
	l.Forget()
	l.Forget()
	if left := entriesOf(t, dir); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

// A file that is old or damaged says nothing, and an old one is removed.
func TestUploadsThatAreOfNoUse(t *testing.T) {
	dir := t.TempDir()
	u := NewUploads(dir)
	for _, raw := range []string{"", "{", `{"state":"YQ=="}`, `{"session":5}`} {
		l := u.Open("a.example/app", sum("blob"))
		if _, err := l.file.WriteAt([]byte(raw), 0); err != nil {
			t.Fatal(err)
		}
		requireSaved(t, l, "", "")
		l.Forget()
	}
	for i, age := range []time.Duration{0, 2 * uploadAge} {
		l := u.Open("a.example/app", sum(strconv.Itoa(i)))
		l.Save("session", nil)
		l.Release()
		then := time.Now().Add(-age)
		if err := os.Chtimes(l.path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	old := u.Open("a.example/app", sum("1"))
	requireSaved(t, old, "", "")
	old.Release()
	foreign := filepath.Join(dir, "README")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-2 * uploadAge)
	if err := os.Chtimes(foreign, then, then); err != nil {
		t.Fatal(err)
	}
	u.Close()
	if left := entriesOf(t, dir); len(left) != 2 {
		t.Errorf("left: %v, want the young upload and a file that is not ours", left)
	}
}

// Saving, releasing and opening at once leaves something readable, and no file for what was forgotten.
func TestUploadsConcurrently(t *testing.T) {
	dir := t.TempDir()
	u := NewUploads(dir)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 50 {
				l := u.Open("a.example/app", sum(strconv.Itoa(i%4)))
				if l == nil {
					continue
				}
				for range 5 {
					l.Save("session", bytes.Repeat([]byte{byte(n)}, 100+n))
				}
				if n%2 == 0 {
					l.Release()
				} else {
					l.Forget()
				}
			}
		})
	}
	all.Wait()
	u.Close()
	for i := range 4 {
		l := u.Open("a.example/app", sum(strconv.Itoa(i)))
		if l == nil {
			t.Fatal("an upload is still taken")
		}
		if session, _, known := l.Saved(); known && session != "session" {
			t.Errorf("saved %q", session)
		}
		l.Forget()
	}
	if left := entriesOf(t, dir); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

// Without a directory that can be written nothing is remembered.
func TestUploadsWithoutADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	u := NewUploads(filepath.Join(file, "uploads"))
	if l := u.Open("a.example/app", sum("blob")); l != nil {
		t.Error("an upload in a directory that cannot be")
	}
	u.Close()
}
