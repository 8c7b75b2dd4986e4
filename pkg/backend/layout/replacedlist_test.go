package layout_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// A replaced list of referrers stays if another process has changed the layout since: the list may be the child of an
// index there, or a layer.
func TestReplacedListThatAnotherProcessUses(t *testing.T) {
	for name, push := range map[string]func(*testing.T, *layout.Layout, content.Descriptor){
		"as a child": func(t *testing.T, l *layout.Layout, list content.Descriptor) {
			d, raw, err := content.NewReferrersList([]content.Descriptor{list})
			if err == nil {
				_, err = l.PushManifest(t.Context(), d, raw, "other")
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"as a layer": func(t *testing.T, l *layout.Layout, list content.Descriptor) {
			layer := fmt.Sprintf(`{"mediaType":"application/octet-stream","digest":%q,"size":%d}`, list.Digest, list.Size)
			raw := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, ocispec.MediaTypeImageManifest, layer, layer)
			if _, err := l.PushManifest(t.Context(), content.NewDescriptor(ocispec.MediaTypeImageManifest, raw), raw, "other"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			one, other := open(t, dir), open(t, dir)
			image := contenttest.NewImage("linux/amd64")
			image.Push(t, one, "v1")
			sbom := artifact(image, "application/spdx+json")
			sbom.Push(t, one, "")
			var list content.Descriptor
			for _, e := range entriesOf(t, one) {
				if e.Annotations[ocispec.AnnotationRefName] == content.FallbackTag(image.Digest()) {
					list = content.Descriptor{MediaType: e.MediaType, Digest: e.Digest, Size: e.Size}
				}
			}
			push(t, other, list)
			if err := one.DeleteManifest(t.Context(), sbom.Digest(), func(content.Descriptor) bool { return true }); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "blobs", "sha256", list.Digest.Encoded())); err != nil {
				t.Error(err)
			}
		})
	}
}

// Referrers that are pushed at the same time are listed together; one that does not fit into the list fails alone.
func TestReferrerThatFailsAmongOthers(t *testing.T) {
	l := open(t, t.TempDir())
	image := contenttest.NewImage("linux/amd64")
	image.Push(t, l, "v1")
	artifact(image, "application/x").Push(t, l, "") // its blobs are those of the others
	subject := image.Descriptor()
	var pushes sync.WaitGroup
	for i := range 24 {
		note := "small"
		if i%8 == 3 {
			note = strings.Repeat("x", 25<<17) // two of them exceed a list
		}
		raw := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":"application/x",`+
			`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},`+
			`"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":%d},"annotations":{"n":"%d","x":%q}}`,
			ocispec.MediaTypeImageManifest, subject.MediaType, subject.Digest, subject.Size, i, note)
		pushes.Go(func() {
			_, err := l.PushManifest(t.Context(), content.NewDescriptor(ocispec.MediaTypeImageManifest, raw), raw, "")
			if err != nil && note == "small" {
				t.Errorf("referrer %d: %v", i, err)
			}
		})
	}
	pushes.Wait()
}
