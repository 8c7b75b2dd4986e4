package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
)

// Credential is what a client identifies itself with. Its zero value is anonymous. It is comparable.
type Credential struct {
	Username string
	Password Secret
	// IdentityToken is an OAuth2 refresh token, which the registry's token server accepts instead of a password
	// (distribution, "Token authentication: OAuth2").
	IdentityToken Secret
	// RegistryToken is a bearer token that is sent to the registry as it is.
	RegistryToken Secret
}

// Anonymous reports whether c is the zero value.
func (c Credential) Anonymous() bool { return c == Credential{} }

// Fingerprint tells credentials apart without revealing them; it is empty for the anonymous one. It may be stored: it has
// 16 bits of the secrets, enough to notice a change and too few to guess a password.
func (c Credential) Fingerprint() string {
	if c.Anonymous() {
		return ""
	}
	name := sha256.Sum256([]byte(c.Username))
	secrets := sha256.New()
	for _, s := range []string{c.Username, c.Password.Reveal(), c.IdentityToken.Reveal(), c.RegistryToken.Reveal()} {
		part := sha256.Sum256([]byte(s))
		secrets.Write(part[:])
	}
	return hex.EncodeToString(name[:8]) + "-" + hex.EncodeToString(secrets.Sum(nil)[:2])
}

// Secret is a text that prints as *** with any verb of fmt, log/slog, encoding/json and all that use text marshalling.
// The empty Secret prints as nothing.
type Secret string

var (
	_ fmt.Formatter  = Secret("")
	_ slog.LogValuer = Secret("")
)

// Reveal is the text itself, for the one place that sends it.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// Format implements fmt.Formatter, for verbs such as %#v and %x that look behind String.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }

// MarshalText implements encoding.TextMarshaler, and so what JSON and YAML write.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
