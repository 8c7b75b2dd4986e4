package transfer

import (
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// A mirror of a fixed list of images outlives some of them at their source (a vendor deletes a release): the destination keeps
// what it has, and the run says so and succeeds. Each destination is judged on its own.
func TestGoneAtSource(t *testing.T) {
	image := one("x")
	other := one("other")
	byDigest := "a.test/app@" + image.Digest().String()
	type want struct {
		action Action
		err    error
		side   Side
	}
	kept, gone := want{action: ActionKeep}, want{ActionNone, content.ErrNotFound, SideSource}
	for name, test := range map[string]struct {
		source  string
		require bool
		seen    bool
		// at has what tag 1 of the destinations b and c points at; nil if it does not exist.
		b, c    *digest.Digest
		refused error // the answer of b
		want    [2]want
	}{
		"a tag":                        {source: "a.test/app:1", b: new(image.Digest()), c: new(other.Digest()), want: [2]want{kept, kept}},
		"a tag, one destination":       {source: "a.test/app:1", b: new(image.Digest()), want: [2]want{kept, gone}},
		"gone on both sides":           {source: "a.test/app:1", want: [2]want{gone, gone}},
		"required":                     {source: "a.test/app:1", require: true, b: new(image.Digest()), want: [2]want{gone, gone}},
		"a digest":                     {source: byDigest, b: new(image.Digest()), want: [2]want{kept, gone}},
		"a digest, another is there":   {source: byDigest, b: new(other.Digest()), want: [2]want{gone, gone}},
		"what an earlier run has seen": {source: "a.test/app:1", seen: true, b: new(image.Digest()), want: [2]want{kept, gone}},
		"a destination that denies it": {
			source: "a.test/app:1", refused: content.ErrDenied, c: new(image.Digest()),
			want: [2]want{{ActionNone, content.ErrDenied, SideDestination}, kept},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			for at, d := range map[string]*digest.Digest{"b.test/app": test.b, "c.test/app": test.c} {
				switch {
				case d == nil:
				case *d == image.Digest():
					image.Push(t, w.at(at).MemoryRepository, "1")
				default:
					other.Push(t, w.at(at).MemoryRepository, "1")
				}
			}
			w.at("b.test/app").onResolve = func(string) error { return test.refused }
			j := job(test.source, "b.test/app:1", "c.test/app:1")
			j.RequireSource = test.require
			options := Options{}
			if test.seen {
				memory := &seen{}
				j.VerifyEvery, options.Seen = 1000, memory
				memory.KeepSeen("b.test/app", "1", image.Digest(), selectionKey(j))
				memory.round = 1
			}
			r := run(t, New(w, options), j)[0]
			warnings := 0
			for _, told := range r.Warnings {
				if told.Kind == warning.GoneAtSource {
					warnings++
				}
			}
			keeps := 0
			for i, d := range r.Destinations {
				want := test.want[i]
				side, _ := errors.AsType[*Error](d.Err)
				if d.Action != want.action || !errors.Is(d.Err, want.err) || want.err != nil && side.Side != want.side {
					t.Errorf("%s: %q with %v, want %+v", d.Reference.Familiar(), d.Action, d.Err, want)
				}
				if want.action == ActionKeep {
					keeps++
				}
			}
			if warnings != min(keeps, 1) {
				t.Errorf("%d warnings for %d kept: %v", warnings, keeps, r.Warnings)
			}
		})
	}
}
