package auth_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/auth"
)

func TestSecretNeverPrints(t *testing.T) {
	const secret = "s3cret"
	c := auth.Credential{Username: "me", Password: secret, IdentityToken: secret, RegistryToken: secret}
	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&printed, verb+"\n", c)
		fmt.Fprintf(&printed, verb+"\n", &c)
		fmt.Fprintf(&printed, verb+"\n", c.Password)
		fmt.Fprintf(&printed, verb+"\n", map[string]auth.Secret{"p": c.Password})
		fmt.Fprintf(&printed, verb+"\n", fmt.Errorf("log in as %v: %v", c, c.Password))
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&printed, nil), slog.NewJSONHandler(&printed, nil)} {
		slog.New(handler).Info("login", "credential", c, "password", c.Password, "pointer", &c)
	}
	if err := json.NewEncoder(&printed).Encode(c); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret)} {
		if strings.Contains(printed.String(), form) {
			t.Errorf("%q was printed:\n%s", form, printed.String())
		}
	}
	if got, want := fmt.Sprint(c.Password), "***"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := c.Password.Reveal(); got != secret {
		t.Errorf("Reveal = %q", got)
	}
	if got := fmt.Sprint(auth.Secret("")); got != "" {
		t.Errorf("the empty secret prints as %q", got)
	}
}

func TestFingerprint(t *testing.T) {
	me := auth.Credential{Username: "me", Password: "a"}
	if got := (auth.Credential{}).Fingerprint(); got != "" {
		t.Errorf("anonymous: got %q", got)
	}
	if got, want := me.Fingerprint(), (auth.Credential{Username: "me", Password: "a"}).Fingerprint(); got != want {
		t.Errorf("equal credentials: got %s and %s", got, want)
	}
	seen := map[string]auth.Credential{}
	for _, c := range []auth.Credential{
		me, {Username: "me", Password: "b"}, {Username: "you", Password: "a"},
		{Username: "me", IdentityToken: "a"}, {Username: "me", RegistryToken: "a"}, {Username: "mea"},
	} {
		if other, found := seen[c.Fingerprint()]; found {
			t.Errorf("%#v and %#v have the same fingerprint", c, other)
		}
		seen[c.Fingerprint()] = c
	}
}
