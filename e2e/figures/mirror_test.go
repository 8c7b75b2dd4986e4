package figures

import (
	"fmt"
	"strings"
	"testing"

	"github.com/regsync/regsync/e2e/lab"
)

// repositories is how many a team has.
const repositories = 20

// mirrorAll mirrors all repositories of a team, and says what else an entry says.
func mirrorAll(t *testing.T, shell *lab.Shell, s *lab.Storage, from, to, more string) string {
	t.Helper()
	var config strings.Builder
	fmt.Fprintf(&config, "version: 1\nsync:\n  - to: %q\n%s    from:\n", to+"/{{.Repository}}", more)
	for _, r := range s.Repositories {
		fmt.Fprintf(&config, "      - %s/%s\n", from, r.Name)
	}
	return shell.Write(t, "mirror.yaml", config.String())
}
