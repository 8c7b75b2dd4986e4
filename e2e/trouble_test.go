package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/regsync/regsync/e2e/lab"
)

// noSuchTag: the error says on which side.
func (s *stage) noSuchTag(t *testing.T) {
	shell := s.owner(t)
	image := s.compose.Plain + "/trouble/app"
	lab.Push(t, image+":1", lab.Image(t, "linux/amd64", lab.Layer(t, 180, 1000)))
	failed := shell.Want(t, 1, "copy", image+":none", s.compose.Token+"/trouble/app:none")
	wantWords(t, failed.Stderr, "source", "trouble/app:none")
	shell.Want(t, 1, "digest", s.compose.Token+"/trouble/app:none")
}

// notAllowed: exit code 5, the repository by name, and no tag; where one may write, it works.
func (s *stage) notAllowed(t *testing.T) {
	shell := s.shell(t)
	shell.Know(t, s.materials.Guest, s.compose.Token)
	image := s.compose.Plain + "/trouble/guest:1"
	lab.Push(t, image, lab.Image(t, "linux/amd64", lab.Layer(t, 181, 1000)))
	failed := shell.Want(t, 5, "copy", image, s.compose.Token+"/team/private:1")
	wantWords(t, failed.Stderr, "destination", "team/private")
	shell.Want(t, 1, "digest", s.compose.Token+"/team/private:1")
	shell.Regsync(t, "copy", image, s.compose.Token+"/guest/own:1")
	wantDigests(t, shell, lab.Digest(t, image), s.compose.Token+"/guest/own:1")
}

// untrustedCertificate: refused, also on loopback, and never tried without TLS.
func (s *stage) untrustedCertificate(t *testing.T) {
	shell := lab.NewShell(t, s.regsync)
	shell.Know(t, s.materials.Owner, s.compose.Secure)
	failed := shell.Want(t, 1, "tags", s.compose.Secure+"/apps/greeter")
	wantWords(t, failed.Stderr, "certificate", "hint")
}

// readOnlyStore: a mount that is read-only refuses root too.
func (s *stage) readOnlyStore(t *testing.T) {
	shell := s.owner(t)
	image := s.compose.Plain + "/trouble/store:1"
	lab.Push(t, image, lab.Image(t, "linux/amd64", lab.Layer(t, 182, 1000)))
	mountTmpfs(t, shell.Store(), syscall.MS_RDONLY, "size=1m")
	failed := shell.Want(t, 1, "pull", image)
	wantWords(t, failed.Stderr, "read-only")
}

// fullDisk: what to free is said, nothing half-written is left, and with room it works.
func (s *stage) fullDisk(t *testing.T) {
	shell := s.owner(t)
	image := s.compose.Plain + "/trouble/large:1"
	lab.Push(t, image, lab.Image(t, "linux/amd64", lab.Layer(t, 183, 8<<20)))
	mountTmpfs(t, shell.Store(), 0, "size=2m")
	failed := shell.Want(t, 1, "pull", image)
	wantWords(t, failed.Stderr, "no space left", shell.Store())
	if use := filesIn(t, shell.Store()); use > 1<<20 {
		t.Errorf("%d bytes of a blob that did not fit were left behind", use)
	}
	if listed := shell.Regsync(t, "images").Stdout; strings.Contains(listed, "trouble/large") {
		t.Errorf("an image that did not fit is listed:\n%s", listed)
	}

	shell.Run(t, "mount", "-o", "remount,size=64m", shell.Store())
	shell.Regsync(t, "pull", image)
	if listed := shell.Regsync(t, "images").Stdout; !strings.Contains(listed, "trouble/large") {
		t.Errorf("the image that fits now is not listed:\n%s", listed)
	}
}

// interrupted: Ctrl-C and a stop in the middle of a layer. No tag, and the next run sends the rest. Then no
// upload is left open.
func (s *stage) interrupted(t *testing.T) {
	image := s.compose.Plain + "/trouble/slow:1"
	lab.Push(t, image, lab.Image(t, "linux/amd64", lab.Layer(t, 184, 32<<20)))
	for _, end := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}} {
		t.Run(end.signal.String(), func(t *testing.T) {
			storage := t.TempDir()
			registry := lab.StartRegistry(t, s.registry, "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="+storage)
			proxy := lab.StartProxy(t, registry, 2<<20)
			shell := s.owner(t)
			process := shell.Start(t, "", "copy", image, proxy.Host+"/trouble/slow:1")
			waitForBytes(t, storage, 1<<20)
			process.Signal(t, end.signal)
			ended := process.Wait(t)
			if ended.Code != end.code {
				t.Errorf("exit code %d, want %d\n%s", ended.Code, end.code, ended.Stderr)
			}
			if got := lab.Digest(t, registry+"/trouble/slow:1"); got != "" {
				t.Errorf("a tag points at %s", got)
			}
			proxy.Rate(0)
			shell.Regsync(t, "copy", image, proxy.Host+"/trouble/slow:1")
			exchanges := wantNoUpload(t, storage, proxy)
			if sent := lab.BlobBytesSent(exchanges); sent > 33<<20 {
				t.Errorf("%d bytes were sent of 32 MiB", sent)
			}
			wantDigests(t, shell, lab.Digest(t, image), registry+"/trouble/slow:1")
		})
	}
}

// wantNoUpload wants that no session's bytes are left in a registry's storage. Of one that
// was cancelled distribution keeps the hash's state, a few bytes that serve nobody.
func wantNoUpload(t *testing.T, storage string, proxy *lab.Proxy) []lab.Exchange {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(storage, "docker/registry/v2/repositories/*/*/_uploads/*/data"))
	if err != nil {
		t.Fatal(err)
	}
	asked := proxy.Take()
	if len(left) > 0 {
		for _, e := range asked {
			t.Logf("%s %s: %d, %d bytes sent", e.Method, e.Path, e.Status, e.Sent)
		}
		t.Errorf("uploads were left open: %v", left)
	}
	return asked
}

// waitForBytes waits until a registry has stored so many bytes.
func waitForBytes(t *testing.T, storage string, want int64) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for filesIn(t, storage) < want {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes never arrived", want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// filesIn sums the sizes of the files in a folder.
func filesIn(t *testing.T, dir string) int64 {
	t.Helper()
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if os.IsNotExist(err) || err == nil && entry.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// mountTmpfs mounts a small file system until the test ends. It needs root.
func mountTmpfs(t *testing.T, dir string, flags uintptr, options string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Fatalf("mount a tmpfs at %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// wantWords wants words in a message, in whatever case.
func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(word)) {
			t.Errorf("%q is not in:\n%s", word, text)
		}
	}
}
