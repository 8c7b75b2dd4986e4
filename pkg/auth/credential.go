package auth

import (
	"crypto/sha256"
	"encoding/hex"
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
