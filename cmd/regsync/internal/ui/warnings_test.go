package ui

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

func TestWarningsInWords(t *testing.T) {
	err := errors.New("503\x1b[2J")
	var texts strings.Builder
	for _, w := range []warning.Warning{
		{Err: err},
		{Kind: warning.TagMoved, Digest: "sha256:a", Now: "sha256:b"},
		{Kind: warning.TagMovedWhileRead, Digest: "sha256:a", Now: "sha256:b"},
		{Kind: warning.TagDeleted, Digest: "sha256:a"},
		{Kind: warning.UploadsLost, Registry: "harbor.corp"},
		{Kind: warning.SameImage},
		{Kind: warning.GoneAtSource},
		{Kind: warning.AttestationsRefused, Registry: "harbor.corp", Count: 12},
		{Kind: warning.SeenChanged, Reference: "b:1"},
		{Kind: warning.SameDestination, Reference: "b:1", First: "a:1"},
		{Kind: warning.PlatformsMissing, Missing: []string{"a/b", "c/d"}, Offered: []string{"e/f"}},
		{Kind: warning.PlatformUnstated, Digest: "sha256:a"},
		{Kind: warning.ChildMissing, Digest: "sha256:a"},
		{Kind: warning.AttestationMissing, Digest: "sha256:a", Of: "sha256:b"},
		{Kind: warning.TagKept, Reference: "b:sha256-a.sig"},
		{Kind: warning.TagKeptUndated, Reference: "b:sha256-a.sig"},
		{Kind: warning.IndexReferrers, Digest: digest.Digest("sha256:\x1ba")},
		{Kind: warning.ChildrenUnknown, Digest: "sha256:a", Err: err},
		{Kind: warning.ChildrenNotRead, Registry: "harbor.corp"},
		{Kind: warning.TooDeep, Digest: "sha256:a", Count: 4},
		{Kind: warning.InvalidReferrers, Err: err},
		{Kind: warning.ReferrersFailed, Err: err},
		{Kind: warning.ReferrersRefused, Registry: "harbor.corp", Count: 2},
	} {
		fmt.Fprintf(&texts, "%s: %s\n", w.Kind, WarningText(w))
	}
	golden.File(t, "warnings", texts.String())
}
