package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Dist builds steps of a release for this machine, from the last commit, as make dist does, and returns their folder.
func Dist(t testing.TB, steps ...string) string {
	t.Helper()
	dir := t.TempDir()
	command := exec.CommandContext(t.Context(), Script(t, "dist.sh"), append([]string{dir}, steps...)...)
	command.Env = append(os.Environ(), "PLATFORMS=linux/"+runtime.GOARCH)
	if _, err := output(command); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Script is the path of one of the project's scripts.
func Script(t testing.TB, name string) string {
	t.Helper()
	root, err := Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "scripts", name)
}

// Chroot is a minimal Debian in a folder, for programs that are run by root. It has the network of this machine.
type Chroot struct{ Dir string }

// NewChroot unpacks one. It goes with the test.
func NewChroot(t testing.TB) *Chroot {
	t.Helper()
	archive, err := Debian(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := &Chroot{t.TempDir()}
	unpack := exec.CommandContext(t.Context(), "tar", "--extract", "--file", archive, "--directory", c.Dir,
		"--exclude=./usr/share/doc", "--exclude=./usr/share/locale", "--exclude=./usr/share/man")
	if _, err := output(unpack); err != nil {
		t.Fatal(err)
	}
	return c
}

// Path is where a file of the chroot is.
func (c *Chroot) Path(name string) string { return filepath.Join(c.Dir, name) }

// Write writes a file, and the directories above it.
func (c *Chroot) Write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(c.Path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Run runs a program in it, in an environment that is bare but for PATH, wants it to succeed and returns what it printed,
// without the space around it.
func (c *Chroot) Run(t testing.TB, words ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "chroot", append([]string{c.Dir}, words...)...)
	command.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := output(command)
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
	return out
}
