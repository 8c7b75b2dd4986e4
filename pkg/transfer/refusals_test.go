package transfer

import (
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/regsync/regsync/pkg/content"
)

// A referrer that was refused is neither read nor sent in the next runs, until everything is checked again
// or it is required.
func TestRefusalIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		image := one("x")
		image.Push(t, a.MemoryRepository, "1")
		odd := sbom(image, "odd")
		odd.Push(t, a.MemoryRepository, "")
		signature("x").Push(t, a.MemoryRepository, signatureTag(image.Digest()))
		var tried atomic.Int32
		b.onPushManifest = func(m content.Descriptor, _ string) error {
			if m.Digest != image.Digest() {
				tried.Add(1)
				return status(http.StatusUnsupportedMediaType)
			}
			return nil
		}
		memory := &abilities{}
		j := withReferrers(job("a.test/app:1", "b.test/app:1"))
		next := func(recheck bool, j Job) (r *Result, manifests, puts int) {
			a.forget()
			tried.Store(0)
			r = run(t, New(w, Options{Abilities: memory, Recheck: recheck}), j)[0]
			return r, a.times("manifest"), int(tried.Load())
		}
		if r, _, puts := next(false, j); r.Failed() || r.Destinations[0].Refused != 2 || puts != 2 {
			t.Errorf("the first run: %v, %d refused, %d PUTs; want 2 refused", r.Err(), r.Destinations[0].Refused, puts)
		}
		if r, manifests, puts := next(false, j); r.Failed() || r.Destinations[0].Refused != 2 || manifests+puts > 0 {
			t.Errorf("the second run: %v, %d refused, %d reads and %d PUTs; want 2 refused and none", r.Err(), r.Destinations[0].Refused, manifests, puts)
		}
		for plan, err := range New(w, Options{Abilities: memory}).Plan(t.Context(), slices.Values([]Job{j})) {
			if d := plan.Destinations[0]; err != nil || d.Referrers > 0 || d.Refused != 2 || len(plan.Warnings) > 0 {
				t.Errorf("the plan: %v, %d referrers, %d refused, warnings %v; want 2 refused", err, d.Referrers, d.Refused, plan.Warnings)
			}
		}
		required := j
		required.ReferrersRequired = true
		if r, _, puts := next(false, required); !r.Failed() || puts == 0 {
			t.Errorf("required: %v with %d PUTs, want a failure after an attempt", r.Err(), puts)
		}
		b.onPushManifest = nil
		if r, _, _ := next(true, j); r.Failed() || r.Destinations[0].Referrers != 2 {
			t.Errorf("with Recheck: %v, %d referrers copied, want 2", r.Err(), r.Destinations[0].Referrers)
		}
		newer := one("newer")
		newer.Push(t, a.MemoryRepository, "1")
		signature("newer").Push(t, a.MemoryRepository, signatureTag(newer.Digest()))
		image = newer
		if r, _, _ := next(false, j); r.Failed() || r.Destinations[0].Refused > 0 || b.tag(signatureTag(newer.Digest())) == "" {
			t.Errorf("the run after Recheck: %v, %d refused, want the new signature", r.Err(), r.Destinations[0].Refused)
		}
	})
}

// A registry that is read-only for a while answers 405. Its next signatures are tried again.
func TestReadOnlyWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, memory := newSigned(t), &abilities{}
		s.b.onPushManifest = refuses(s.signature, status(http.StatusMethodNotAllowed))
		run(t, New(s.world, Options{Abilities: memory}), s.job)
		s.b.onPushManifest = nil
		ok(t, run(t, New(s.world, Options{Abilities: memory}), s.job)...)
		if !s.arrived() {
			t.Error("the signature does not come after the registry accepts it again")
		}
	})
}

// An error of the source is not taken for a refusal of the destination: the manifest is refused because a
// blob was lost, and the source does not serve that any more.
func TestSourceErrorIsNoRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, memory := newSigned(t), &abilities{}
		blob := s.signature.Blobs[1].Descriptor.Digest
		var lost atomic.Bool
		s.b.onPushManifest = func(m content.Descriptor, _ string) error {
			if m.Digest != s.signature.Digest() {
				return nil
			}
			lost.Store(true)
			return status(http.StatusBadRequest)
		}
		s.b.onHas = func(d content.Descriptor) error {
			if lost.Load() && d.Digest == blob {
				return content.ErrNotFound
			}
			return nil
		}
		s.a.onFetch = func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
			if lost.Load() && d.Digest == blob {
				return nil, status(http.StatusMethodNotAllowed)
			}
			return body, nil
		}
		r := run(t, New(s.world, Options{Abilities: memory}), s.job)[0]
		if !lost.Load() || !r.Failed() || r.Destinations[0].Refused > 0 {
			t.Errorf("lost %v: got %v, %d refused, want a failure", lost.Load(), r.Err(), r.Destinations[0].Refused)
		}
	})
}

// What is attached to a referrer that is not accepted is left out, too.
func TestReferrerOfARefusedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, memory := newWorld(), &abilities{}
		a, b := w.at("a.test/app"), w.at("b.test/app")
		image := one("x")
		image.Push(t, a.MemoryRepository, "1")
		odd := sbom(image, "odd")
		odd.Push(t, a.MemoryRepository, "")
		signature("odd").Push(t, a.MemoryRepository, signatureTag(odd.Digest()))
		b.onPushManifest = refuses(odd, status(http.StatusUnsupportedMediaType))
		for _, to := range []string{"b.test/app:1", "b.test/app:2"} {
			r := run(t, New(w, Options{Abilities: memory}), withReferrers(job("a.test/app:1", to)))[0]
			if r.Failed() || r.Destinations[0].Refused == 0 || b.tag(signatureTag(odd.Digest())) != "" {
				t.Errorf("%s: %v, %d refused, the signature of what is not there: %q", to, r.Err(), r.Destinations[0].Refused, b.tag(signatureTag(odd.Digest())))
			}
		}
	})
}

// A required signature of an index that the destination does not get holds the tag back.
func TestRequiredSignatureOfAnOmittedIndex(t *testing.T) {
	for _, selected := range []bool{false, true} {
		w := newWorld()
		index, _ := threePlatforms()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		index.Push(t, a.MemoryRepository, "1")
		signature("index").Push(t, a.MemoryRepository, signatureTag(index.Digest()))
		j := withReferrers(job("a.test/app:1", "b.test/app:1"))
		j.ReferrersRequired = true
		if j.Attestations = AttestationsDrop; selected {
			j.Attestations, j.Platforms = AttestationsAuto, platforms("linux/amd64", "linux/arm64")
		}
		if r := run(t, New(w, Options{}), j)[0]; !r.Failed() || b.tag("1") != "" {
			t.Errorf("platforms selected %v: got %v and the tag %q, want a failure", selected, r.Err(), b.tag("1"))
		}
	}
}

// An API that is not for this account may hide signatures: no success where they are required.
func TestRefusedAPI(t *testing.T) {
	for _, err := range []error{content.ErrUnauthorized, content.ErrDenied} {
		for _, required := range []bool{false, true} {
			w := newWorld()
			a, b := w.at("a.test/app"), w.at("b.test/app")
			one("x").Push(t, a.MemoryRepository, "1")
			a.onReferrers = func() error { return err }
			j := withReferrers(job("a.test/app:1", "b.test/app:1"))
			j.ReferrersRequired = required
			r := run(t, New(w, Options{Attempts: 1}), j)[0]
			if r.Failed() != required || (b.tag("1") == "") != required {
				t.Errorf("%v, required %v: got %v and the tag %q", err, required, r.Err(), b.tag("1"))
			}
		}
	}
}

// A repository that has accepted a kind of referrers refuses one of them: that one is a failure, the others
// are tried.
func TestRefusalOfOneReferrer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, memory := newSigned(t), &abilities{}
		ok(t, run(t, New(s.world, Options{Abilities: memory}), s.job)...)
		for _, seed := range []string{"next", "last"} {
			image, sig := one(seed), signature(seed)
			image.Push(t, s.a.MemoryRepository, "1")
			sig.Push(t, s.a.MemoryRepository, signatureTag(image.Digest()))
			s.b.onPushManifest = refuses(sig, status(http.StatusUnsupportedMediaType))
			r := run(t, New(s.world, Options{Abilities: memory}), s.job)[0]
			if !r.Failed() || r.Destinations[0].Refused > 0 {
				t.Errorf("%s: got %v, %d refused, want a failure", seed, r.Err(), r.Destinations[0].Refused)
			}
		}
	})
}
