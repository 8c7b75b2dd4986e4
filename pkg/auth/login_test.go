package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"

	"github.com/regsync/regsync/pkg/auth"
)

func save(t *testing.T, path, host, repository string, c auth.Credential) auth.Saved {
	t.Helper()
	saved, err := auth.NewFile(path).Save(t.Context(), host, repository, c)
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

func TestDockerReadsWhatIsSaved(t *testing.T) {
	t.Setenv("DOCKER_AUTH_CONFIG", "")
	path := filepath.Join(t.TempDir(), "new", "config.json")
	for _, host := range []string{"docker.io", "index.docker.io", "harbor.corp:5443"} {
		t.Run(host, func(t *testing.T) {
			saved := save(t, path, host, "", auth.Credential{Username: "me", Password: "pa:ss"})
			if want := (auth.Saved{Where: path}); saved != want {
				t.Errorf("got %+v, want %+v", saved, want)
			}
			docker, err := config.Load(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			got, err := docker.GetAuthConfig(host)
			if err != nil || got.Username != "me" || got.Password != "pa:ss" {
				t.Errorf("docker reads %+v, %v", got, err)
			}
			expect(t, auth.NewFile(path), host, "a/b", "me")
		})
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}

func TestWhatDockerSavesIsRead(t *testing.T) {
	t.Setenv("DOCKER_AUTH_CONFIG", "")
	dir := t.TempDir()
	docker, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range []types.AuthConfig{
		{ServerAddress: "https://index.docker.io/v1/", Username: "hub", Password: "x"},
		{ServerAddress: "harbor.corp:5443", Username: "me", Password: "pa:ss"},
		{ServerAddress: "token.corp", Username: "me", IdentityToken: "it"},
	} {
		if err := docker.GetCredentialsStore(entry.ServerAddress).Store(entry); err != nil {
			t.Fatal(err)
		}
	}
	f := auth.NewFile(filepath.Join(dir, "config.json"))
	expect(t, f, "docker.io", "library/nginx", "hub")
	expect(t, f, "harbor.corp:5443", "a", "me")
	got, err := f.Credential(t.Context(), "token.corp", "")
	if want := (auth.Credential{Username: "me", IdentityToken: "it"}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}

	if err := f.Remove(t.Context(), "docker.io", ""); err != nil {
		t.Fatal(err)
	}
	if docker, err = config.Load(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := docker.GetAuthConfig("docker.io"); err != nil || got.Username != "" {
		t.Errorf("after logout docker reads %+v, %v", got, err)
	}
}

func TestSaveThroughHelper(t *testing.T) {
	t.Setenv("DOCKER_AUTH_CONFIG", "")
	helpers := fakeHelpers(t, "fake")
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "config.json"), `{"credsStore": "fake", "auths": {"harbor.corp": `+entry("old")+`}}`)
	want := auth.Saved{Where: "docker-credential-fake", Encrypted: true}
	if got := save(t, path, "harbor.corp", "", as("me")); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	save(t, path, "harbor.corp", "team", as("team"))
	save(t, path, "docker.io", "", auth.Credential{IdentityToken: "it"})

	docker, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := docker.GetAuthConfig("harbor.corp"); err != nil || got.Username != "me" || got.Password != "secret of me" {
		t.Errorf("docker reads %+v, %v", got, err)
	}
	if got, err := docker.GetAuthConfig("docker.io"); err != nil || got.IdentityToken != "it" {
		t.Errorf("docker reads %+v, %v", got, err)
	}
	f := auth.NewFile(path)
	expect(t, f, "harbor.corp", "x", "me")
	expect(t, f, "harbor.corp", "team/x", "team")
	if text := read(t, path); strings.Contains(text, `"auth":`) {
		t.Errorf("a secret is left in the file:\n%s", text)
	}

	for _, path := range []string{"team", ""} {
		if err := f.Remove(t.Context(), "harbor.corp", path); err != nil {
			t.Error(err)
		}
	}
	expect(t, auth.NewFile(path), "harbor.corp", "team/x", "")
	for _, call := range helperCalls(t, helpers) {
		if !slices.Contains([]string{"get", "store", "erase"}, call) {
			t.Errorf("the helper was called with the argument %q", call)
		}
	}
}

func TestSaveWithFailingHelper(t *testing.T) {
	fakeHelpers(t, "broken")
	const before = `{"credsStore": "broken"}`
	path := write(t, filepath.Join(t.TempDir(), "config.json"), before)
	_, err := auth.NewFile(path).Save(t.Context(), "harbor.corp", "", as("me"))
	if failure, ok := errors.AsType[*auth.HelperError](err); !ok || failure.Action != "store" {
		t.Errorf("got %v, want a HelperError", err)
	}
	if got := read(t, path); got != before {
		t.Errorf("the file became %s", got)
	}
}

func TestSaveKeepsTheRest(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "config.json"), `{
		"unknown": {"number": 12345678901234567890, "text": "a<b>&c", "list": [1, 2.50, null]},
		"auths": {"other.corp": {"auth": "`+`bWU6eA==", "email": "me@other.corp"}},
		"HttpHeaders": {"X": "y"}, "currentContext": "remote"}`)
	save(t, path, "docker.io", "", auth.Credential{Username: "me", Password: "x"})
	want := `{
	"HttpHeaders": {
		"X": "y"
	},
	"auths": {
		"https://index.docker.io/v1/": {
			"auth": "bWU6eA=="
		},
		"other.corp": {
			"auth": "bWU6eA==",
			"email": "me@other.corp"
		}
	},
	"currentContext": "remote",
	"unknown": {
		"number": 12345678901234567890,
		"text": "a<b>&c",
		"list": [
			1,
			2.50,
			null
		]
	}
}
`
	if got := read(t, path); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSaveFollowsLinks(t *testing.T) {
	for _, exists := range []bool{true, false} {
		dir := t.TempDir()
		target := filepath.Join(dir, "dotfiles", "docker.json")
		if exists {
			write(t, target, `{"psFormat": "x"}`)
		}
		link := filepath.Join(dir, "config.json")
		if err := os.Symlink(filepath.Join("dotfiles", "docker.json"), link); err != nil {
			t.Fatal(err)
		}
		save(t, link, "harbor.corp", "", as("me"))
		expect(t, auth.NewFile(target), "harbor.corp", "", "me")
		if got, err := os.Readlink(link); err != nil || got != filepath.Join("dotfiles", "docker.json") {
			t.Errorf("the link became %q, %v", got, err)
		}
	}
}

// A relative link is relative to where its directory really is: ~/.docker may be a link into
// someone's dotfiles itself.
func TestSaveFollowsLinksInLinkedDirectories(t *testing.T) {
	dir := t.TempDir()
	target := write(t, filepath.Join(dir, "dotfiles", "secret", "docker.json"), "{}")
	for link, to := range map[string]string{
		filepath.Join(dir, "home"):                        filepath.Join("dotfiles", "docker"),
		filepath.Join(dir, "dotfiles/docker/config.json"): filepath.Join("..", "secret", "docker.json"),
	} {
		if err := os.MkdirAll(filepath.Join(dir, "dotfiles", "docker"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	save(t, filepath.Join(dir, "home", "config.json"), "harbor.corp", "", as("me"))
	expect(t, auth.NewFile(target), "harbor.corp", "", "me")
	expect(t, auth.NewFile(filepath.Join(dir, "home", "config.json")), "harbor.corp", "", "me")
}

// No login is lost where many happen at once: the file was read before another wrote it.
func TestSaveConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	const n = 20
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if _, err := auth.NewFile(path).Save(t.Context(), fmt.Sprintf("h%d.corp", i), "", as("me")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var file struct{ Auths map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(read(t, path)), &file); err != nil || len(file.Auths) != n {
		t.Errorf("%d logins are kept, %v, want %d", len(file.Auths), err, n)
	}
}

func TestSaveRefusesABrokenFile(t *testing.T) {
	const before = `{"auths": {`
	path := write(t, filepath.Join(t.TempDir(), "config.json"), before)
	_, err := auth.NewFile(path).Save(t.Context(), "a", "", as("me"))
	want := "save credentials for a: read credentials: " + path + ":1:11: unexpected end of JSON input"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if got := read(t, path); got != before {
		t.Errorf("the file became %s", got)
	}
}

func TestSaveWhereNothingCanBeWritten(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "file"), "")
	for _, path := range []string{filepath.Join(file, "config.json"), os.DevNull} {
		_, err := auth.NewFile(path).Save(t.Context(), "a", "", as("me"))
		if err == nil || !strings.Contains(err.Error(), filepath.Dir(path)) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want an error that names it", path, err)
		}
	}
}

func TestSaveWaitsForTheLockNoLongerThanItsContext(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "config.json"), "{}")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := auth.NewFile(path).Save(ctx, "a", "", as("me")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestRemove(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "config.json"),
		auths("https://index.docker.io/v1/", "a", "docker.io", "b", "docker.io/team", "c", "other.corp", "d"))
	f := auth.NewFile(path)
	if err := f.Remove(t.Context(), "docker.io", ""); err != nil {
		t.Fatal(err)
	}
	after := auth.NewFile(path)
	expect(t, after, "docker.io", "library/nginx", "")
	expect(t, after, "docker.io", "team/x", "c")
	expect(t, after, "other.corp", "", "d")
	before := read(t, path)
	if err := f.Remove(t.Context(), "docker.io", ""); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("the second time: %v, want %v", err, auth.ErrNotFound)
	}
	if got := read(t, path); got != before {
		t.Errorf("the file became %s", got)
	}
}

func TestRemoveWithoutFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	if err := auth.NewFile(path).Remove(t.Context(), "a", ""); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("got %v, want %v", err, auth.ErrNotFound)
	}
}
