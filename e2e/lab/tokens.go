package lab

import (
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/regsync/regsync/e2e/tokenserver"
)

// StartTokenRegistry runs the registry at file as a process that asks for the tokens of a
// server in this process, until the test ends. It returns its host and that server.
func StartTokenRegistry(t testing.TB, file string, materials *Materials) (string, *tokenserver.Server) {
	t.Helper()
	tokens, err := tokenserver.New(materials.Tokens)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(tokens)
	t.Cleanup(server.Close)
	host := StartRegistry(t, file,
		"REGISTRY_AUTH=token",
		"REGISTRY_AUTH_TOKEN_REALM="+server.URL+"/token",
		"REGISTRY_AUTH_TOKEN_SERVICE="+materials.Tokens.Service,
		"REGISTRY_AUTH_TOKEN_ISSUER="+materials.Tokens.Issuer,
		"REGISTRY_AUTH_TOKEN_JWKS="+filepath.Join(materials.Dir, "jwks.json"),
	)
	return host, tokens
}
