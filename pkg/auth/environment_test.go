package auth_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/auth"
)

// entry is docker's "auth": user:password in base64.
func entry(user string) string {
	return fmt.Sprintf(`{"auth": %q}`, base64.StdEncoding.EncodeToString([]byte(user+":p:w "+user)))
}

// auths is a file with one user a key.
func auths(pairs ...string) string {
	var entries []string
	for i := 0; i < len(pairs); i += 2 {
		entries = append(entries, fmt.Sprintf("%q: %s", pairs[i], entry(pairs[i+1])))
	}
	return `{"auths": {` + strings.Join(entries, ", ") + `}}`
}

func TestFromEnvironmentOrder(t *testing.T) {
	home, runtime := t.TempDir(), t.TempDir()
	write(t, filepath.Join(home, ".docker", "config.json"), auths("a", "docker", "b", "docker"))
	write(t, filepath.Join(runtime, "containers", "auth.json"), auths("a", "podman", "b", "podman", "c", "podman"))
	write(t, filepath.Join(home, ".config", "containers", "auth.json"), auths("c", "config", "d", "config", "e/team", "config"))
	s := auth.FromEnvironment(environment(
		"HOME", home, "XDG_RUNTIME_DIR", runtime, "DOCKER_AUTH_CONFIG", auths("a", "variable")))
	expect(t, s, "a", "", "variable")
	expect(t, s, "b", "", "docker")
	expect(t, s, "c", "", "podman")
	expect(t, s, "d", "", "config")
	expect(t, s, "e", "team/app", "config")
	expect(t, s, "e", "other", "")
}

// Holder names the file that the credential comes from.
func TestHolder(t *testing.T) {
	home, docker := t.TempDir(), t.TempDir()
	file := filepath.Join(docker, "config.json")
	if err := os.WriteFile(file, []byte(`{"auths": {"a.corp/team": {"auth": "bWU6c2VjcmV0"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := auth.FromEnvironment(environment("HOME", home, "DOCKER_CONFIG", docker, "DOCKER_AUTH_CONFIG", `{"auths": {"b.corp": {"auth": "bWU6c2VjcmV0"}}}`))
	for _, test := range []struct{ host, repository, want string }{
		{"a.corp", "team/app", file},
		{"a.corp", "other/app", ""},
		{"b.corp", "app", "DOCKER_AUTH_CONFIG"},
	} {
		if got := s.Holder(t.Context(), test.host, test.repository); got != test.want {
			t.Errorf("%s/%s: got %q, want %q", test.host, test.repository, got, test.want)
		}
	}
}

func TestFromEnvironmentNamedFiles(t *testing.T) {
	home, docker := t.TempDir(), t.TempDir()
	write(t, filepath.Join(home, ".docker", "config.json"), auths("a", "unused"))
	write(t, filepath.Join(home, ".config", "containers", "auth.json"), auths("b", "unused"))
	write(t, filepath.Join(docker, "config.json"), auths("c", "docker"))
	s := auth.FromEnvironment(environment("HOME", home, "DOCKER_CONFIG", docker,
		"REGISTRY_AUTH_FILE", write(t, filepath.Join(home, "named.json"), auths("d", "named"))))
	expect(t, s, "a", "", "")
	expect(t, s, "b", "", "")
	expect(t, s, "c", "", "docker")
	expect(t, s, "d", "", "named")
}

func TestFromEnvironmentWithNothing(t *testing.T) {
	expect(t, auth.FromEnvironment(environment("XDG_RUNTIME_DIR", t.TempDir())), "docker.io", "library/nginx", "")
	if f, err := auth.DockerFile(environment()); err == nil {
		t.Errorf("DockerFile without a home = %s", f.Path())
	}
}

func TestFromEnvironmentBrokenVariable(t *testing.T) {
	s := auth.FromEnvironment(environment("DOCKER_AUTH_CONFIG", `{"auths": {"a": {"auth": s3cret}}}`))
	_, err := s.Credential(t.Context(), "a", "")
	want := "read credentials: DOCKER_AUTH_CONFIG:1:26: invalid character 's' looking for beginning of value"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
