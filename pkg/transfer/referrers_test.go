package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// status is an answer of a registry that refuses or fails.
type status int

func (s status) Error() string   { return fmt.Sprint("status ", int(s)) }
func (s status) HTTPStatus() int { return int(s) }

func (s status) Is(target error) bool {
	return target == map[int]error{
		http.StatusUnauthorized: content.ErrUnauthorized, http.StatusForbidden: content.ErrDenied,
		http.StatusNotFound: content.ErrNotFound, http.StatusMethodNotAllowed: content.ErrUnsupported,
	}[int(s)]
}

// What a failure to find or copy a signature does to the image, by the setting and by whether the tag
// exists at the destination.
func TestFailuresOfReferrers(t *testing.T) {
	type outcome struct {
		tagged, signed bool
		failed         bool // exit code 3
	}
	all := outcome{tagged: true, signed: true}
	onlyImage := outcome{tagged: true, failed: true}
	nothing := outcome{failed: true}
	for name, test := range map[string]struct {
		disturb              func(a, b *wire, signature contenttest.Image)
		added, moved, strict outcome // a new tag, an existing one, and one with ReferrersRequired
	}{
		"no fault":    {func(*wire, *wire, contenttest.Image) {}, all, all, all},
		"listing 401": {listing(http.StatusUnauthorized), all, all, all},
		"listing 403": {listing(http.StatusForbidden), all, all, all},
		"listing 404": {listing(http.StatusNotFound), all, all, all},
		"listing 405": {listing(http.StatusMethodNotAllowed), all, all, all},
		"listing 429": {listing(http.StatusTooManyRequests), all, all, all},
		"listing 500": {listing(http.StatusInternalServerError), all, all, all},
		"API 403": {func(a, _ *wire, _ contenttest.Image) {
			a.onReferrers = func() error { return status(http.StatusForbidden) }
		}, all, all, outcome{false, true, true}}, // it may hide others
		"API 500": {func(a, _ *wire, _ contenttest.Image) {
			a.onReferrers = func() error { return status(http.StatusInternalServerError) }
		}, outcome{true, true, true}, outcome{true, true, true}, outcome{false, true, true}},
		"listing 403, tag 500": {tags(http.StatusInternalServerError), onlyImage, onlyImage, nothing},
		"listing 403, tag 403": {tags(http.StatusForbidden), outcome{tagged: true}, outcome{tagged: true}, outcome{tagged: true}},
		"listed tag 403":       {listedTag(http.StatusForbidden), onlyImage, onlyImage, nothing},
		"listed tag 500":       {listedTag(http.StatusInternalServerError), onlyImage, nothing, nothing},
		"a signature's layer is gone": {func(a, _ *wire, signature contenttest.Image) {
			a.onFetch = fails(signature, content.ErrNotFound)
		}, onlyImage, onlyImage, nothing},
		"a signature's layer breaks": {func(a, _ *wire, signature contenttest.Image) {
			a.hold = func(_ context.Context, what string, d digest.Digest) error {
				if what == "fetch" && d == signature.Blobs[1].Descriptor.Digest {
					return errBroken
				}
				return nil
			}
		}, onlyImage, nothing, nothing},
		"the destination refuses the signature": {func(_, b *wire, signature contenttest.Image) {
			b.onPushManifest = refuses(signature, status(http.StatusBadRequest))
		}, onlyImage, onlyImage, nothing},
		"the destination takes no artifacts": {func(_, b *wire, signature contenttest.Image) {
			b.onPushManifest = refuses(signature, status(http.StatusMethodNotAllowed))
		}, outcome{tagged: true}, outcome{tagged: true}, nothing},
		"the destination answers 503": {func(_, b *wire, signature contenttest.Image) {
			b.onPushManifest = refuses(signature, status(http.StatusServiceUnavailable))
		}, onlyImage, nothing, nothing},
	} {
		for kind, want := range map[string]outcome{"added": test.added, "moved": test.moved, "required": test.strict} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					a, b := w.at("a.test/app"), w.at("b.test/app")
					b.noReferrers = true
					image, _ := threePlatforms() // 16 names: the source is listed
					signed := signature("of it")
					image.Push(t, a.MemoryRepository, "1")
					tag := signatureTag(image.Digest())
					signed.Push(t, a.MemoryRepository, tag)
					if kind == "moved" {
						twoPlatforms("old").Push(t, b.MemoryRepository, "1")
					}
					test.disturb(a, b, signed)
					j := withReferrers(job("a.test/app:1", "b.test/app:1"))
					j.ReferrersRequired = kind == "required"
					result := run(t, New(w, Options{}), j)[0]
					got := outcome{b.tag("1") == image.Digest(), b.tag(tag) == signed.Digest(), result.Failed()}
					if a.times("list") == 0 {
						t.Error("the source was not listed")
					}
					if got != want {
						t.Errorf("image, signature, failure: %v, want %v (%v)", got, want, result.Err())
					}
					if d := result.Destinations[0]; (d.Digest == image.Digest()) != got.tagged {
						t.Errorf("the result says that %q is there", d.Digest)
					}
					if told, is := errors.AsType[*ReferrersError](result.Err()); result.Failed() && (!is || told.Tagged != got.tagged) {
						t.Errorf("got %#v, want an error about a referrer", result.Err())
					}
				})
			})
		}
	}
}

// tags makes questions for signature tags fail at a source that refuses to list its tags.
func tags(code int) func(a, b *wire, signature contenttest.Image) {
	return func(a, _ *wire, _ contenttest.Image) {
		a.onList = func() error { return status(http.StatusForbidden) }
		a.onResolve = func(ref string) error {
			if content.IsAttachedTag(ref) {
				return status(code)
			}
			return nil
		}
	}
}

// listedTag makes questions for signature tags fail that the source lists.
func listedTag(code int) func(a, b *wire, signature contenttest.Image) {
	return func(a, b *wire, signature contenttest.Image) {
		tags(code)(a, b, signature)
		a.onList = nil
	}
}

// listing makes listings of the source's tags fail.
func listing(code int) func(a, b *wire, signature contenttest.Image) {
	return func(a, _ *wire, _ contenttest.Image) {
		a.onList = func() error { return status(code) }
	}
}

// fails makes the layer of an artifact fail.
func fails(image contenttest.Image, err error) func(content.Descriptor, io.ReadCloser) (io.ReadCloser, error) {
	return func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
		if d.Digest == image.Blobs[1].Descriptor.Digest {
			return nil, err
		}
		return body, nil
	}
}

// refuses makes a target refuse the manifest of an image.
func refuses(image contenttest.Image, err error) func(content.Descriptor, string) error {
	return func(d content.Descriptor, _ string) error {
		if d.Digest == image.Digest() {
			return err
		}
		return nil
	}
}

// A referrer fails for a cause that passes: the second attempt brings it, and the result says what the
// first one did.
func TestReferrerComesWithTheSecondAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		image, signed := twoPlatforms(""), signature("of it")
		image.Push(t, a.MemoryRepository, "1")
		signed.Push(t, a.MemoryRepository, signatureTag(image.Digest()))
		start := time.Now()
		b.onPushManifest = func(d content.Descriptor, _ string) error {
			if d.Digest == signed.Digest() && b.times("put") < 4 {
				return status(http.StatusServiceUnavailable)
			}
			return nil
		}
		d := run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))[0].Destinations[0]
		if d.Err != nil || d.Action != ActionAdd || d.Referrers != 1 || d.Digest != image.Digest() {
			t.Errorf("after %v: %+v, want that the image was added with one referrer", time.Since(start), d)
		}
	})
}

// A hundred referrers of an image that is there, over a line where each request takes 100 ms.
func TestManyReferrersTakeFewRoundTrips(t *testing.T) {
	for name, without := range map[string]bool{"API": false, "tags": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				a, b := w.at("a.test/app"), w.at("b.test/app")
				a.noReferrers, b.noReferrers = without, without
				image := twoPlatforms("")
				image.Push(t, a.MemoryRepository, "1")
				image.Push(t, b.MemoryRepository, "1")
				var all []contenttest.Image
				for i := range 100 {
					all = append(all, sbom(image, fmt.Sprint(i)))
					all[i].Push(t, a.MemoryRepository, "")
				}
				appendToList(t, a, all...)
				roundTrip := func(context.Context, string, digest.Digest) error {
					time.Sleep(100 * time.Millisecond)
					return nil
				}
				a.hold, b.hold = roundTrip, roundTrip
				for _, at := range []*wire{a, b} {
					at.onReferrers = func() error { return roundTrip(t.Context(), "", "") }
				}
				start := time.Now()
				results := run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))
				ok(t, results...)
				took := time.Since(start)
				t.Logf("%d referrers in %v", brought(results), took)
				if got := brought(results); got != 100 || took > 5*time.Second {
					t.Errorf("%d referrers in %v, want 100 in 5 s", got, took)
				}
			})
		})
	}
}

// Only the first request to a referrers API goes alone; the others go together after its answer.
func TestUnchangedImagesAskTheReferrersAPITogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		var jobs []Job
		for i := range 100 {
			tag := fmt.Sprint(i)
			image := contenttest.NewImage("linux/amd64", contenttest.NewLayer(tag, 100))
			image.Push(t, a.MemoryRepository, tag)
			image.Push(t, b.MemoryRepository, tag)
			jobs = append(jobs, withReferrers(job("a.test/app:"+tag, "b.test/app:"+tag)))
		}
		a.onReferrers = func() error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}
		start := time.Now()
		ok(t, run(t, New(w, Options{AttachedTags: w.attachedTags}), jobs...)...)
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("100 answers of 100 ms took %v, want 200 ms: the first, and then the others together", took)
		}
	})
}

// Many destinations of one tag ask the source once: it is not listed for them.
func TestDestinationsShareTheQuestionsForSignatures(t *testing.T) {
	w := newWorld()
	a := w.at("a.test/app")
	image, signed := contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 100)), signature("of it")
	image.Push(t, a.MemoryRepository, "1")
	signed.Push(t, a.MemoryRepository, signatureTag(image.Digest()))
	j := withReferrers(job("a.test/app:1", "b.test/app:1", "c.test/app:1", "d.test/app:1", "e.test/app:1", "f.test/app:1"))
	ok(t, run(t, New(w, Options{}), j)...)
	requireCounts(t, "source", a, map[string]int{"list": 0, "resolve " + signatureTag(image.Digest()): 1})
	for _, registry := range []string{"b.test", "f.test"} {
		if got := w.at(registry + "/app").tag(signatureTag(image.Digest())); got != signed.Digest() {
			t.Errorf("the signature at %s is %q", registry, got)
		}
	}
}
