package ui

import (
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/transfer/warning"
)

func TestWarningsInWords(t *testing.T) {
	err := errors.New("503\x1b[2J")
	for _, test := range []struct {
		w    warning.Warning
		want string
	}{
		{warning.Warning{Err: err}, `503\x1b[2J`},
		{warning.Warning{Kind: warning.TagMoved, Digest: "sha256:a", Now: "sha256:b"}, "the tag moved to sha256:b while sha256:a was copied"},
		{warning.Warning{Kind: warning.TagMovedEarlier, Digest: "sha256:a", Now: "sha256:b"}, "the tag moved from sha256:a to sha256:b while it was read"},
		{warning.Warning{Kind: warning.TagDeleted, Digest: "sha256:a"}, "the tag was deleted at the source while sha256:a was copied"},
		{warning.Warning{Kind: warning.SameImage}, "the destination is the source itself: nothing to do"},
		{warning.Warning{Kind: warning.SameDestination, Reference: "b:1", Other: "a:1"}, "b:1 is the same destination as a:1: copied once"},
		{warning.Warning{Kind: warning.PlatformsMissing, Missing: []string{"a/b", "c/d"}, Offered: []string{"e/f"}}, "no a/b, c/d; there is e/f"},
		{warning.Warning{Kind: warning.PlatformUnstated, Digest: "sha256:a"}, "sha256:a in the index states no platform: left out"},
		{warning.Warning{Kind: warning.ChildMissing, Digest: "sha256:a"}, "sha256:a in the index states no platform and is not at the source: left out"},
		{warning.Warning{Kind: warning.AttestationMissing, Digest: "sha256:a", Of: "sha256:b"}, "the attestation sha256:a of sha256:b is not at the source: left out"},
		{warning.Warning{Kind: warning.TagKept, Reference: "b:sha256-a.sig"}, "the destination keeps its b:sha256-a.sig: overwrite is never"},
		{
			warning.Warning{Kind: warning.TagKeptUndated, Reference: "b:sha256-a.sig"},
			"the destination keeps its b:sha256-a.sig: overwrite is newer, and signature tags state no time of creation",
		},
		{
			warning.Warning{Kind: warning.IndexReferrers, Digest: digest.Digest("sha256:\x1ba")},
			`signatures or other referrers of the source's index sha256:\x1ba do not fit a selection of its platforms: not copied`,
		},
		{
			warning.Warning{Kind: warning.ChildrenUnknown, Digest: "sha256:a", Err: err},
			`signatures and referrers of the platforms of sha256:a were not looked for: 503\x1b[2J`,
		},
		{
			warning.Warning{Kind: warning.ChildrenCounted, Registry: "harbor.corp"},
			"signatures and referrers of the platforms of unchanged images were not looked for: harbor.corp counts what is read",
		},
		{warning.Warning{Kind: warning.TooDeep, Digest: "sha256:a", Count: 4}, "what is attached more than 4 levels below sha256:a was not looked for"},
		{warning.Warning{Kind: warning.InvalidNames, Err: err}, `referrers of the source: 503\x1b[2J`},
		{warning.Warning{Kind: warning.ReferrersFailed, Err: err}, `503\x1b[2J`},
		{
			warning.Warning{Kind: warning.ReferrersRefused, Registry: "harbor.corp", Count: 2},
			"harbor.corp does not accept signatures or other referrers of some kinds: 2 left out (--recheck tries again, referrers: false stops looking for them)",
		},
	} {
		if got := warningText(test.w); got != test.want {
			t.Errorf("%s: got %q, want %q", test.w.Kind, got, test.want)
		}
	}
}
