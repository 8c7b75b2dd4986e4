package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/regsync/regsync/e2e/lab"
)

// debian is the main job: what the Engine built and pushed to one registry is copied to
// another, pulled from there by the Engine, and runs.
func (s *stage) debian(t *testing.T) {
	archive, err := lab.Debian(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shell := s.owner(t)
	base := s.compose.Plain + "/base/debian:12"
	names := []string{"greeter", "counter"}
	t.Cleanup(func() {
		// What is still there after a failure.
		for _, image := range []string{s.compose.Plain + "/apps/greeter:1.0", s.compose.Plain + "/apps/counter:1.0", base} {
			_ = shell.Try("docker", "image", "rm", "--force", image)
		}
	})
	shell.Run(t, "docker", "import", archive, base)
	build(t, shell, base, s.compose.Plain+"/apps/greeter:1.0",
		"RUN echo 'hello from Debian' > /etc/greeting", "RUN mkdir -p /opt/greeter && cp /etc/greeting /opt/greeter/",
		`CMD ["cat", "/opt/greeter/greeting"]`)
	build(t, shell, base, s.compose.Plain+"/apps/counter:1.0",
		"COPY Dockerfile /opt/counted", `CMD ["sh", "-c", "wc -l < /opt/counted"]`)
	answers := map[string]string{"greeter": "hello from Debian", "counter": "3"}

	digests, ids := map[string]string{}, map[string]string{}
	for _, name := range names {
		from := s.compose.Plain + "/apps/" + name + ":1.0"
		shell.Run(t, "docker", "push", "--quiet", from)
		digests[name] = engineDigest(t, shell, from)
		ids[name] = shell.Run(t, "docker", "image", "inspect", "--format", "{{.Id}}", from)
		shell.Regsync(t, "copy", from, s.compose.Secure+"/apps/"+name+":1.0")
		wantDigests(t, shell, digests[name], from, s.compose.Secure+"/apps/"+name+":1.0")
	}

	// The Engine forgets all it has, so that it must take every layer from the copy.
	for _, name := range names {
		shell.Run(t, "docker", "image", "rm", s.compose.Plain+"/apps/"+name+":1.0")
	}
	shell.Run(t, "docker", "image", "rm", base)
	for _, name := range names {
		copied := s.compose.Secure + "/apps/" + name + ":1.0"
		shell.Run(t, "docker", "pull", "--quiet", copied)
		t.Cleanup(func() { removeImage(t, shell, copied) })
		if got := engineDigest(t, shell, copied); got != digests[name] {
			t.Errorf("the Engine says %s of the copy, want %s", got, digests[name])
		}
		if got := shell.Run(t, "docker", "run", "--rm", "--network", "none", copied); got != answers[name] {
			t.Errorf("the copy of %s says %q, want %q", name, got, answers[name])
		}
		if got := shell.Regsync(t, "inspect", "--remote", copied).Stdout; !strings.Contains(got, ids[name]) {
			t.Errorf("regsync inspect --remote %s does not name the image ID %s:\n%s", copied, ids[name], got)
		}
	}
	s.imageIDs(t, shell, names, ids)
}

// imageIDs wants regsync images to show what docker images shows.
func (s *stage) imageIDs(t *testing.T, shell *lab.Shell, names []string, ids map[string]string) {
	t.Helper()
	for _, name := range names {
		shell.Regsync(t, "pull", s.compose.Secure+"/apps/"+name+":1.0")
	}
	listed := shell.Regsync(t, "images").Stdout
	for _, name := range names {
		short := strings.TrimPrefix(ids[name], "sha256:")[:12]
		if !strings.Contains(listed, short) || !strings.Contains(listed, s.compose.Secure+"/apps/"+name) {
			t.Errorf("regsync images does not show %s with the Engine's ID %s:\n%s", name, short, listed)
		}
	}
}

// build has the Engine build an image on top of a base.
func build(t *testing.T, shell *lab.Shell, base, image string, instructions ...string) {
	t.Helper()
	context := t.TempDir()
	file := "FROM " + base + "\n" + strings.Join(instructions, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(context, "Dockerfile"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	shell.Run(t, "env", "DOCKER_BUILDKIT=0", "docker", "build", "--quiet", "--network", "host", "--tag", image, context)
}

// engineDigest is the digest under which the Engine pushed or pulled an image.
func engineDigest(t *testing.T, shell *lab.Shell, image string) string {
	t.Helper()
	repository := image[:strings.LastIndexByte(image, ':')]
	digests := shell.Run(t, "docker", "image", "inspect", "--format", `{{join .RepoDigests "\n"}}`, image)
	for line := range strings.Lines(digests) {
		if digest, ok := strings.CutPrefix(strings.TrimSpace(line), repository+"@"); ok {
			return digest
		}
	}
	t.Fatalf("the Engine knows no digest of %s: %s", image, digests)
	return ""
}
