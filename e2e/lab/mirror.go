package lab

import (
	"fmt"
	"strings"
	"testing"
)

// MirrorAll writes the configuration that mirrors all repositories of a storage, and returns its path. More is
// what else the entry says.
func MirrorAll(t testing.TB, shell *Shell, s *Storage, from, to, more string) string {
	t.Helper()
	var config strings.Builder
	fmt.Fprintf(&config, "version: 1\nsync:\n  - to: %q\n%s    from:\n", to+"/{{.Repository}}", more)
	for _, r := range s.Repositories {
		fmt.Fprintf(&config, "      - %s/%s\n", from, r.Name)
	}
	return shell.Write(t, "mirror.yaml", config.String())
}
