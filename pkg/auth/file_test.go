package auth_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/auth"
)

func fileOf(t *testing.T, text string) *auth.File {
	t.Helper()
	return auth.NewFile(write(t, filepath.Join(t.TempDir(), "config.json"), text))
}

func TestFileReadsDockersKeys(t *testing.T) {
	for key, host := range map[string]string{
		"https://index.docker.io/v1/":     "docker.io",
		"index.docker.io":                 "docker.io",
		"registry-1.docker.io":            "docker.io",
		"docker.io":                       "docker.io",
		"https://registry-1.docker.io/v2": "docker.io",
		"harbor.corp":                     "harbor.corp",
		"Harbor.corp":                     "harbor.corp",
		"https://harbor.corp":             "harbor.corp",
		"http://harbor.corp:5000/v2/":     "harbor.corp:5000",
		"harbor.corp/v1/":                 "harbor.corp",
		"https://harbor.corp/a/b":         "harbor.corp",
		"[::1]:5000":                      "[::1]:5000",
	} {
		t.Run(key, func(t *testing.T) {
			f := fileOf(t, auths(key, "me"))
			expect(t, f, host, "team/app", "me")
			expect(t, f, "other.corp", "team/app", "")
		})
	}
}

func TestFileTakesTheKeyThatDockerTakes(t *testing.T) {
	f := fileOf(t, auths("docker.io", "podman", "https://index.docker.io/v1/", "docker", "index.docker.io", "old",
		"http://harbor.corp", "old", "harbor.corp", "docker"))
	expect(t, f, "docker.io", "library/nginx", "docker")
	expect(t, f, "harbor.corp", "a", "docker")
}

func TestFileReadsEveryFormOfEntry(t *testing.T) {
	f := fileOf(t, `{"auths": {
		"auth": {"auth": "bWU6cGE6c3M="},
		"unpadded": {"auth": "bWU6cGE6c3M"},
		"plain": {"username": "me", "password": "pa:ss"},
		"identity": {"auth": "bWU6", "identitytoken": "it"},
		"bearer": {"registrytoken": "rt"},
		"empty": {}
	}, "HttpHeaders": {"X": "y"}}`)
	for host, want := range map[string]auth.Credential{
		"auth":     {Username: "me", Password: "pa:ss"},
		"unpadded": {Username: "me", Password: "pa:ss"},
		"plain":    {Username: "me", Password: "pa:ss"},
		"identity": {Username: "me", IdentityToken: "it"},
		"bearer":   {RegistryToken: "rt"},
		"empty":    {},
	} {
		if got, err := f.Credential(t.Context(), host, ""); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", host, got, err, want)
		}
	}
}

// Services run with HOME=/dev/null: there is no file below it, and that is no error.
func TestFileBelowAFile(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	write(t, home, "")
	got, err := auth.NewFile(filepath.Join(home, ".docker", "config.json")).Credential(t.Context(), "a.corp", "app")
	if err != nil || !got.Anonymous() {
		t.Errorf("got %v, %v, want nobody", got, err)
	}
}

func TestFileBroken(t *testing.T) {
	var said strings.Builder
	for _, text := range []string{
		"{\n  \"auths\": {\n    \"a\" \"s3cret\"\n}}",
		"{",
		`{"auths": ["a"]}`,
		"{\n\"credsStore\": 1}",
		`{"auths": {"a": {"auth": "s3cret%"}}}`,
		`{"auths": {"a": {"auth": "bWU="}}}`,
	} {
		f := fileOf(t, text)
		_, err := f.Credential(t.Context(), "a", "")
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s\ngot %v", text, err)
			continue
		}
		fmt.Fprintln(&said, strings.ReplaceAll(err.Error(), f.Path(), "FILE"))
	}
	golden.Text(t, said.String())
	for _, empty := range []string{"", "\n", "{}", "null"} {
		expect(t, fileOf(t, empty), "a", "", "")
	}
	unreadable := auth.NewFile(t.TempDir())
	if _, err := unreadable.Credential(t.Context(), "a", ""); err == nil || !strings.Contains(err.Error(), unreadable.Path()) {
		t.Errorf("a directory in the place of the file: %v", err)
	}
}

// The broken entry of one registry keeps nobody from the others.
func TestFileBrokenEntryOfAnotherHost(t *testing.T) {
	expect(t, fileOf(t, `{"auths": {"a": {"auth": "%"}, "b": `+entry("me")+`}}`), "b", "", "me")
}

func TestHelperAnswers(t *testing.T) {
	dir := fakeHelpers(t, "fake", "other")
	write(t, filepath.Join(dir, "keychain.json"), `{
		"https://index.docker.io/v1/": {"Username": "hub", "Secret": "x"},
		"token.corp": {"Username": "<token>", "Secret": "it"},
		"team.corp/team": {"Username": "team", "Secret": "x"},
		"unlisted.corp/team": {"Username": "unlisted", "Secret": "x"}
	}`)
	f := fileOf(t, `{"credsStore": "fake", "credHelpers": {"special.corp": "missing"}, "auths": {
		"plain.corp": `+entry("plain")+`, "team.corp/team": {}}}`)
	expect(t, f, "docker.io", "library/nginx", "hub")
	expect(t, f, "plain.corp", "a", "plain")
	expect(t, f, "team.corp", "team/app", "team")
	expect(t, f, "team.corp", "other", "")
	expect(t, f, "unlisted.corp", "team", "")
	got, err := f.Credential(t.Context(), "token.corp", "")
	if want := (auth.Credential{IdentityToken: "it"}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestHelperRunsOncePerHost(t *testing.T) {
	dir := fakeHelpers(t, "fake")
	write(t, filepath.Join(dir, "keychain.json"), `{"a.corp": {"Username": "me", "Secret": "x"}}`)
	f := fileOf(t, `{"credsStore": "fake"}`)
	var all sync.WaitGroup
	for range 8 {
		for _, repository := range []string{"", "a", "a/b/c"} {
			all.Go(func() { expect(t, f, "a.corp", repository, "me") })
		}
		all.Go(func() { expect(t, f, "unknown.corp", "x", "") })
	}
	all.Wait()
	if got, want := helperCalls(t, dir), []string{"get", "get"}; !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}

func TestHelperFails(t *testing.T) {
	fakeHelpers(t, "broken", "leaky", "garbled")
	f := fileOf(t, `{"credsStore": "broken", "credHelpers": {"a.corp": "leaky", "b.corp": "garbled", "c.corp": "missing"},
		"auths": {"a.corp": `+entry("me")+`}}`)
	var said strings.Builder
	for _, host := range []string{"a.corp", "b.corp", "c.corp", "docker.io"} {
		_, err := f.Credential(t.Context(), host, "x")
		failure, ok := errors.AsType[*auth.HelperError](err)
		if !ok || failure.For != host {
			t.Errorf("%s: got %v, want a HelperError", host, err)
			continue
		}
		fmt.Fprintln(&said, strings.ReplaceAll(err.Error(), f.Path(), "FILE"))
	}
	golden.Text(t, said.String())
	_, err := f.Credential(t.Context(), "c.corp", "")
	failure, ok := errors.AsType[*auth.HelperError](err)
	if !ok || failure.For != "c.corp" || !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %#v, want a HelperError of exec.ErrNotFound", err)
	}
}

// A question that was interrupted is asked again, not answered with the interruption.
func TestHelperCancelled(t *testing.T) {
	dir := fakeHelpers(t, "fake")
	write(t, filepath.Join(dir, "keychain.json"), `{"a.corp": {"Username": "me", "Secret": "x"}}`)
	f := fileOf(t, `{"credsStore": "fake"}`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Credential(ctx, "a.corp", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	expect(t, f, "a.corp", "", "me")
}
