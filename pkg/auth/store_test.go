package auth_test

import (
	"context"
	"errors"
	"testing"

	"github.com/regsync/regsync/pkg/auth"
)

func as(user string) auth.Credential {
	return auth.Credential{Username: user, Password: "secret of " + auth.Secret(user)}
}

// expect asks a store and compares the user name, "" for anonymous.
func expect(t *testing.T, s auth.Store, host, repository, want string) {
	t.Helper()
	got, err := s.Credential(t.Context(), host, repository)
	if err != nil {
		t.Errorf("%s %s: %v", host, repository, err)
	} else if got.Username != want {
		t.Errorf("%s %s: got %q, want %q", host, repository, got.Username, want)
	}
}

func TestStaticTakesTheLongestPath(t *testing.T) {
	s := auth.Static(map[string]auth.Credential{
		"harbor.corp:5443":          as("host"),
		"harbor.corp:5443/team":     as("team"),
		"harbor.corp:5443/team/app": as("app"),
		"registry-1.docker.io":      as("hub"),
		"docker.io/library":         as("official"),
		"only.corp/a":               as("a"),
	})
	for _, test := range []struct{ host, repository, want string }{
		{"harbor.corp:5443", "", "host"},
		{"harbor.corp:5443", "other", "host"},
		{"HARBOR.corp:5443", "other", "host"},
		{"harbor.corp:5443", "team", "team"},
		{"harbor.corp:5443", "team/x/y", "team"},
		{"harbor.corp:5443", "team/app/web", "app"},
		{"harbor.corp:5443", "team/application", "team"},
		{"harbor.corp:5443", "teams", "host"},
		{"harbor.corp", "team", ""},
		{"docker.io", "me/app", "hub"},
		{"index.docker.io", "library/nginx", "official"},
		{"only.corp", "", ""},
		{"only.corp", "a/b", "a"},
	} {
		expect(t, s, test.host, test.repository, test.want)
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Credential(context.Context, string, string) (auth.Credential, error) {
	return auth.Credential{}, errBroken
}

func TestChainStopsAtTheFirst(t *testing.T) {
	first := auth.Static(map[string]auth.Credential{"a": as("first"), "b/x": as("first")})
	second := auth.Static(map[string]auth.Credential{"a": as("second"), "b": as("second")})
	s := auth.Chain(first, second, broken{})
	expect(t, s, "a", "x", "first")
	expect(t, s, "b", "x", "first")
	expect(t, s, "b", "y", "second")
	if _, err := s.Credential(t.Context(), "c", ""); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
	expect(t, auth.Chain(), "a", "", "")
}
