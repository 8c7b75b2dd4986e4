//go:build unix

package auth

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A helper that waited for input blocked a nightly run for good.
func TestHelperThatHangs(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\nexec sleep 60\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-hanging"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	h := newHelper("hanging", "credsStore in FILE")
	if h.time != 30*time.Second {
		t.Errorf("a helper has %v", h.time)
	}
	h.time = 100 * time.Millisecond
	began := time.Now()
	_, err := h.get(t.Context(), placeOf("harbor.corp"))
	failure, is := errors.AsType[*HelperError](err)
	if !is || failure.Helper != "docker-credential-hanging" || failure.For != "harbor.corp" || time.Since(began) > 30*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
	const want = "credential helper docker-credential-hanging: get harbor.corp: no response within 100ms; run it by hand"
	if !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A completion that ran a helper for every path and every file could open a dialogue each time.
func TestFromEnvironmentOnce(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\ncat >>" + dir + "/asked\necho >>" + dir + "/asked\necho credentials not found in native keychain\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-counting"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	config := `{"credsStore": "counting", "auths": {"harbor.corp/team": {}, "harbor.corp": {}}}`
	for _, file := range []string{"config.json", "auth.json"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := func(name string) string {
		return map[string]string{"DOCKER_CONFIG": dir, "REGISTRY_AUTH_FILE": filepath.Join(dir, "auth.json")}[name]
	}
	once := FromEnvironmentOnce(env)
	for range 2 {
		if c, err := once.Credential(t.Context(), "harbor.corp", "team/app"); err != nil || !c.Anonymous() {
			t.Errorf("got %v, %v", c, err)
		}
	}
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil || strings.Count(string(asked), "\n") != 1 {
		t.Errorf("the helper was asked for %q, %v", asked, err)
	}
	file, err := DockerFile(env)
	if err != nil {
		t.Fatal(err)
	}
	if logins, err := file.Logins(); err != nil || !slices.Equal(logins, []string{"harbor.corp", "harbor.corp/team"}) {
		t.Errorf("got %q, %v", logins, err)
	}
}
