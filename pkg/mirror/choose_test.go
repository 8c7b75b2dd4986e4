package mirror_test

import (
	"testing"

	"github.com/regsync/regsync/pkg/mirror"
)

// TestOneNameForTheNewest: the newest release may have one name at the destination. Its floating tags would be written
// to the same one, so they are left out there, and nowhere else.
func TestOneNameForTheNewest(t *testing.T) {
	for to, want := range map[string][]string{
		"{to: a.b/n, rename: stable}": {"quay.io/n:17.1.2 → a.b/n:stable"},
		"{to: 'a.b/n:stable'}":        {"quay.io/n:17.1.2 → a.b/n:stable"},
		"{to: a.b/n, rename: '{{.Tag}}-cn'}": {
			"quay.io/n:17 → a.b/n:17-cn", "quay.io/n:17.1 → a.b/n:17.1-cn", "quay.io/n:17.1.2 → a.b/n:17.1.2-cn",
		},
	} {
		s := &mirror.Selection{
			Sources: &paged{tags: []string{"16.9", "17", "17.1", "17.1.1", "17.1.2"}},
			Config:  load(t, "defaults: "+to+"\nsync:\n  - {from: quay.io/n, tags: {semver: '>=1', newest: 1}}\n"),
		}
		compare(t, collect(t.Context(), s), want)
	}
}
