// Package contenttest is the conformance suite that every backend passes, and the one place
// where test images are built.
//
// A backend's test calls [Run] with a [Backend] that says how to open it and what it can
// do. A guarantee that holds for all backends is tested here, not in the backend.
package contenttest

import (
	"testing"

	"github.com/regsync/regsync/pkg/content"
)

// Backend is what is tested.
type Backend struct {
	// Open opens a fresh, empty repository in a registry of its own. What has to be closed
	// is left to t.Cleanup.
	Open func(t *testing.T) content.Target
	// Reopen opens the place of target again, as a later process would after target's
	// process died. Nil where nothing outlives the value.
	Reopen func(t *testing.T, target content.Target) content.Target
	// Sibling opens another, empty repository of target's registry. Needed for Mount.
	Sibling func(t *testing.T, target content.Target) content.Target
	// Abilities are those that the backend must have: one that is missing fails the test.
	// One that is not listed, and is asserted by the type all the same, must be refused as
	// its interface says.
	Abilities Abilities
	// Strict backends refuse manifests whose blobs or children are missing.
	Strict bool
}

// Abilities are the optional interfaces of package content.
type Abilities struct {
	Mount     bool // content.Mounter
	Range     bool // content.RangeFetcher
	Resume    bool // StartUpload gives a content.ResumableUpload
	Session   bool // content.UploadResumer, across Reopen where there is one
	Tags      bool // content.TagLister
	Referrers bool // content.ReferrersLister
	Delete    bool // content.Deleter
	Reread    bool // content.Rereader, answering true
	FetchTag  bool // content.TagFetcher
}

// AllAbilities is a backend that can do everything.
func AllAbilities() Abilities {
	return Abilities{
		Mount: true, Range: true, Resume: true, Session: true,
		Tags: true, Referrers: true, Delete: true, Reread: true, FetchTag: true,
	}
}

// Run tests a backend.
func Run(t *testing.T, b Backend) {
	s := suite{b}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"location", s.location},
		{"images", s.images},
		{"not found", s.notFound},
		{"bad digests", s.badDigests},
		{"bad references", s.badReferences},
		{"bad manifests", s.badManifests},
		{"missing parts", s.missingParts},
		{"retag", s.retag},
		{"blob sizes", s.blobSizes},
		{"read blob", s.readBlob},
		{"blob twice", s.blobTwice},
		{"blob at once", s.blobAtOnce},
		{"mismatching blob", s.mismatchingBlob},
		{"foreign stream", s.foreignStream},
		{"broken blob", s.brokenBlob},
		{"cancelled upload", s.cancelledUpload},
		{"ended context", s.endedContext},
		{"mount", s.mount},
		{"range", s.ranges},
		{"resume", s.resume},
		{"resume with other bytes", s.resumeWithOtherBytes},
		{"session", s.session},
		{"tags", s.tags},
		{"referrers", s.referrers},
		{"referrers at once", s.referrersAtOnce},
		{"attached tags", s.attachedTags},
		{"delete", s.delete},
		{"delete a referrer", s.deleteReferrer},
		{"reread", s.reread},
		{"fetch tag", s.fetchTag},
	} {
		t.Run(test.name, test.run)
	}
}

type suite struct{ Backend }

// ability asks value for an optional interface and holds that against what the backend is
// expected to have. It reports whether the ability is to be tested.
func ability[T any](t *testing.T, value any, want bool) (T, bool) {
	t.Helper()
	able, has := value.(T)
	if want && !has {
		t.Fatalf("%T is no %T", value, (*T)(nil))
	}
	return able, has
}
