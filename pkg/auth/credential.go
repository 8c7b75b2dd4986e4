package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
)

// Credential says who one is. Its zero value is anonymous. It is comparable.
type Credential struct {
	Username string
	Password Secret
	// IdentityToken is an OAuth2 refresh token, which the registry's token server takes in
	// the place of a password (distribution, "Token authentication: OAuth2").
	IdentityToken Secret
	// RegistryToken is a bearer token that is sent to the registry as it is.
	RegistryToken Secret
}

// Anonymous reports whether c is nobody.
func (c Credential) Anonymous() bool { return c == Credential{} }

// Fingerprint tells credentials apart without revealing them; it is empty for the anonymous
// one. It may be stored: of the secrets it carries 16 bits, enough to notice a change and
// too few to guess a password by.
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

// Secret is a text that prints as ***, whatever prints it: fmt with any verb, log/slog,
// encoding/json and all that use text marshalling. The empty Secret prints as nothing.
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

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// Format implements fmt.Formatter, for verbs such as %x that look behind String.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }

// MarshalText implements encoding.TextMarshaler, and so what JSON and YAML write.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
