package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/e2e/lab"
)

// loginForDocker: what regsync login stores, docker uses.
func (s *stage) loginForDocker(t *testing.T) {
	shell := s.shell(t)
	for _, host := range []string{s.compose.Secure, s.compose.Token} {
		shell.Feed(t, 0, s.materials.Owner.Password+"\n", "login", "-u", s.materials.Owner.Name, "--password-stdin", host)
		pushByDocker(t, shell, host+"/login/by-regsync:1")
	}
	file := filepath.Join(shell.Docker(), "config.json")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("%s has mode %o, want 600", file, got)
	}
}

// loginByDocker: what docker login stores, regsync uses.
func (s *stage) loginByDocker(t *testing.T) {
	shell := s.shell(t)
	for _, host := range []string{s.compose.Secure, s.compose.Token} {
		shell.RunFed(t, s.materials.Owner.Password, "docker", "login", "-u", s.materials.Owner.Name, "--password-stdin", host)
		image := host + "/login/by-docker:1"
		pushByDocker(t, shell, image)
		shell.Regsync(t, "copy", image, host+"/login/by-docker:2")
		wantDigests(t, shell, shell.Regsync(t, "digest", image).Out(), image, host+"/login/by-docker:2")
	}
}

// pushByDocker pushes a small image with docker.
func pushByDocker(t *testing.T, shell *lab.Shell, image string) {
	t.Helper()
	context := t.TempDir()
	file := "FROM scratch\nCOPY Dockerfile /\n"
	if err := os.WriteFile(filepath.Join(context, "Dockerfile"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	shell.Run(t, "env", "DOCKER_BUILDKIT=0", "docker", "build", "--quiet", "--tag", image, context)
	t.Cleanup(func() { removeImage(t, shell, image) })
	shell.Run(t, "docker", "push", "--quiet", image)
}

// removeImage removes an image from the Engine when its test has ended.
func removeImage(t *testing.T, shell *lab.Shell, image string) {
	t.Helper()
	if err := shell.Try("docker", "image", "rm", image); err != nil {
		t.Error(err)
	}
}

// wrongPassword: exit code 5, nothing stored, and no hammering: Docker Hub locks the user
// name of who tries again and again.
func (s *stage) wrongPassword(t *testing.T) {
	shell := s.shell(t)
	for _, host := range []string{s.compose.Secure, s.compose.Token} {
		const wrong = "not-the-password-at-all"
		shell.Keep(wrong)
		refused := shell.Feed(t, 5, wrong, "login", "-u", s.materials.Owner.Name, "--password-stdin", host)
		if refused.Elapsed > 5*time.Second {
			t.Errorf("the refusal took %s", refused.Elapsed)
		}
		if stored, err := os.ReadFile(filepath.Join(shell.Docker(), "config.json")); err == nil && strings.Contains(string(stored), host) {
			t.Errorf("a wrong password was stored:\n%s", stored)
		}
		shell.Know(t, lab.User{Name: s.materials.Owner.Name, Password: wrong}, host)
		shell.Want(t, 5, "tags", host+"/login/by-docker")
		shell.Know(t, lab.User{})
	}
}

// logout: after it, nobody is logged in.
func (s *stage) logout(t *testing.T) {
	shell := s.shell(t)
	shell.Feed(t, 0, s.materials.Owner.Password, "login", "-u", s.materials.Owner.Name, "--password-stdin", s.compose.Token)
	shell.Regsync(t, "tags", s.compose.Token+"/login/by-docker")
	shell.Regsync(t, "logout", s.compose.Token)
	shell.Want(t, 5, "tags", s.compose.Token+"/login/by-docker")
}
