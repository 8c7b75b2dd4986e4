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
		{warning.Warning{Kind: warning.TagMovedWhileRead, Digest: "sha256:a", Now: "sha256:b"}, "the tag moved from sha256:a to sha256:b while it was read"},
		{warning.Warning{Kind: warning.TagDeleted, Digest: "sha256:a"}, "the tag was deleted at the source while sha256:a was copied"},
		{warning.Warning{Kind: warning.UploadsLost, Registry: "harbor.corp"}, "harbor.corp does not continue uploads whose connection broke: they start again from the beginning"},
		{warning.Warning{Kind: warning.SameImage}, "the destination is the source itself: nothing to do"},
		{warning.Warning{Kind: warning.SeenChanged, Reference: "b:1"}, "b:1 was changed or removed at the destination since an earlier run: this run checks all tags of its repository"},
		{warning.Warning{Kind: warning.SameDestination, Reference: "b:1", First: "a:1"}, "b:1 is the same destination as a:1: copied once"},
		{warning.Warning{Kind: warning.PlatformsMissing, Missing: []string{"a/b", "c/d"}, Offered: []string{"e/f"}}, "the source has no a/b, c/d, only e/f"},
		{warning.Warning{Kind: warning.PlatformUnstated, Digest: "sha256:a"}, "index entry sha256:a has no platform: left out"},
		{warning.Warning{Kind: warning.ChildMissing, Digest: "sha256:a"}, "index entry sha256:a has no platform and is missing at the source: left out"},
		{warning.Warning{Kind: warning.AttestationMissing, Digest: "sha256:a", Of: "sha256:b"}, "the attestation sha256:a of sha256:b is not at the source: left out"},
		{warning.Warning{Kind: warning.TagKept, Reference: "b:sha256-a.sig"}, "the tag b:sha256-a.sig differs at the destination and is not overwritten: overwrite is never"},
		{
			warning.Warning{Kind: warning.TagKeptUndated, Reference: "b:sha256-a.sig"},
			"the tag b:sha256-a.sig differs at the destination and is not overwritten: overwrite is newer, and signature tags have no creation time",
		},
		{
			warning.Warning{Kind: warning.IndexReferrers, Digest: digest.Digest("sha256:\x1ba")},
			`signatures or other referrers of the source's index sha256:\x1ba are not copied: the destination does not get that index`,
		},
		{
			warning.Warning{Kind: warning.ChildrenUnknown, Digest: "sha256:a", Err: err},
			`signatures and other referrers of the platforms of sha256:a were not searched for: 503\x1b[2J`,
		},
		{
			warning.Warning{Kind: warning.ChildrenNotRead, Registry: "harbor.corp"},
			"signatures and other referrers of the platforms of unchanged images were not searched for: harbor.corp limits how many manifests may be read",
		},
		{warning.Warning{Kind: warning.TooDeep, Digest: "sha256:a", Count: 4}, "referrers nested more than 4 levels below sha256:a were not searched for"},
		{warning.Warning{Kind: warning.InvalidReferrers, Err: err}, `referrers of the source: 503\x1b[2J`},
		{warning.Warning{Kind: warning.ReferrersFailed, Err: err}, `503\x1b[2J`},
		{
			warning.Warning{Kind: warning.ReferrersRefused, Registry: "harbor.corp", Count: 2},
			"harbor.corp does not accept some kinds of signatures or other referrers: 2 left out (`sync --recheck` tries again; `referrers: false` skips them)",
		},
	} {
		if got := warningText(test.w); got != test.want {
			t.Errorf("%s: got %q, want %q", test.w.Kind, got, test.want)
		}
	}
}
