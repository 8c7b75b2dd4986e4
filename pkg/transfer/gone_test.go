package transfer

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/backend/registry"
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

// The proxy before a registry, or a wrong path, answered with 404, and an image that the mirror could not reach was reported as
// gone and kept. Only a registry's error document says that it is gone; HEAD has none, so the manifest is read once.
func TestGoneNeedsTheWordOfTheRegistry(t *testing.T) {
	image := registrytest.Image(registrytest.ImageSpec{Seed: 1})
	proxy := registrytest.Fault{Serve: http.NotFound}
	for name, test := range map[string]struct {
		source string
		fault  *registrytest.Fault
		action Action
		reads  int
	}{
		"a tag":                  {":1", nil, ActionKeep, 1},
		"a digest":               {"@" + image.Digest().String(), nil, ActionKeep, 1},
		"a tag, by a proxy":      {":1", &proxy, ActionNone, 1},
		"a digest, by a proxy":   {"@" + image.Digest().String(), &proxy, ActionNone, 1},
		"another code of a 404":  {":1", &registrytest.Fault{Status: 404, Code: "UNSUPPORTED"}, ActionNone, 1},
		"the repository is gone": {":1", &registrytest.Fault{Status: 404, Code: "NAME_UNKNOWN"}, ActionKeep, 1},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := registrytest.New(t), registrytest.New(t)
			b.Push("app", "1", image)
			b.Push("other", "1", image)
			if test.fault != nil {
				a.FailTimes(100, registrytest.Match("", "/manifests/"), *test.fault)
			}
			client := registry.New(registry.Options{CertsDirs: []string{}})
			defer client.Close()
			r := run(t, New(registries{client}, Options{}), job(a.Host()+"/app"+test.source, b.Host()+"/app:1", b.Host()+"/other:1"))[0]
			for _, d := range r.Destinations {
				if d.Action != test.action || (d.Err == nil) != (test.action == ActionKeep) {
					t.Errorf("%s: %q with %v, want %q", d.Reference.Familiar(), d.Action, d.Err, test.action)
				}
			}
			reads := 0
			for _, request := range a.Log() {
				if request.Method == http.MethodGet && strings.Contains(request.Path, "/manifests/") {
					reads++
				}
			}
			if reads != test.reads {
				t.Errorf("%d reads of the manifest, want %d", reads, test.reads)
			}
		})
	}
}

// A tag that is deleted after it was resolved, before its manifest is read, is gone like one that was deleted before.
func TestDeletedBeforeItIsRead(t *testing.T) {
	image, other := one("x"), one("other")
	for _, require := range []bool{false, true} {
		w := newWorld()
		a := w.at("a.test/app")
		image.Push(t, a.MemoryRepository, "1")
		other.Push(t, w.at("b.test/app").MemoryRepository, "1")
		gone := false
		a.hold = func(_ context.Context, what string, _ digest.Digest) error {
			if gone = gone || what == "manifest"; gone {
				return content.ErrNotFound
			}
			return nil
		}
		j := job("a.test/app:1", "b.test/app:1")
		j.RequireSource = require
		d := run(t, New(w, Options{}), j)[0].Destinations[0]
		if kept := d.Action == ActionKeep && d.Err == nil; kept == require || require && !errors.Is(d.Err, content.ErrNotFound) {
			t.Errorf("required: %v; %q with %v", require, d.Action, d.Err)
		}
	}
}
