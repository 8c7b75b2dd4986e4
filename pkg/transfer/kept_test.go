package transfer

import (
	"fmt"
	"github.com/regsync/regsync/pkg/transfer/warning"
	"slices"
	"testing"
)

// A mirror that signs its images itself lost its signature to the source's each night, with
// overwrite: never too. What is there stays where tags are not written over; what is
// missing, and lists of referrers, come all the same. The plan says the same.
func TestOwnSignatureStays(t *testing.T) {
	for _, test := range []struct {
		overwrite Overwrite
		stays     bool
		because   warning.Kind
	}{
		{OverwriteAlways, false, ""},
		{OverwriteNever, true, warning.TagKept},
		{OverwriteNewer, true, warning.TagKeptUndated},
	} {
		for _, there := range []bool{true, false} { // the image, and not only under another tag
			t.Run(fmt.Sprint(test.overwrite, there), func(t *testing.T) {
				m := newMirror(t)
				tag := signatureTag(m.image.Digest())
				own := signature("the mirror's own")
				m.image.Push(t, m.b.MemoryRepository, "other")
				own.Push(t, m.b.MemoryRepository, tag)
				j := m.jobs()[0]
				j.Overwrite = test.overwrite
				if there {
					m.image.Push(t, m.b.MemoryRepository, "1")
				}
				want, at := m.attachments, m.signatures[m.image.Digest()].Digest()
				var warnings []warning.Warning
				if test.stays {
					want, at = want-1, own.Digest()
					warnings = []warning.Warning{{Kind: test.because, Reference: "b.test/app:" + tag}}
				}
				if got := m.planned(t, Options{}, j); got != want {
					t.Errorf("the plan says %d are lacking, want %d", got, want)
				}
				results := m.next(t, Options{}, j)
				if got := brought(results); got != want {
					t.Errorf("%d were brought, want %d", got, want)
				}
				if !slices.EqualFunc(results[0].Warnings, warnings, warning.Warning.Equal) {
					t.Errorf("warnings %v, want %v", results[0].Warnings, warnings)
				}
				if got := m.b.tag(tag); got != at {
					t.Errorf("%s is %s, want %s", tag, got, at)
				}
				if m.b.tag("1") != m.image.Digest() {
					t.Error("the image was not brought")
				}
				requireListed(t, m.b, m.sbom)
				if got := m.planned(t, Options{}, j); got != 0 {
					t.Errorf("the next plan says %d are lacking", got)
				}
				if got := brought(m.next(t, Options{}, j)); got != 0 {
					t.Errorf("the next night brings %d", got)
				}
			})
		}
	}
}
