package content_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

func parse(raw string, mediaType string) (*content.Manifest, error) {
	return content.ParseManifest(content.NewDescriptor(mediaType, []byte(raw)), []byte(raw))
}

func TestParseManifestReadsEveryKind(t *testing.T) {
	for name, image := range contenttest.Images() {
		t.Run(name, func(t *testing.T) {
			m, err := content.ParseManifest(image.Descriptor(), image.Root.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if m.Descriptor.Digest != image.Digest() || m.Descriptor.MediaType != image.Descriptor().MediaType || !bytes.Equal(m.Raw, image.Root.Bytes) {
				t.Errorf("got %+v", m.Descriptor)
			}
			if m.IsIndex() != content.IsIndex(image.Descriptor().MediaType) || len(m.Manifests) != len(image.Children) {
				t.Errorf("got index %v with %d children, want %d", m.IsIndex(), len(m.Manifests), len(image.Children))
			}
			for i, child := range image.Children {
				if m.Manifests[i].Digest != child.Digest() || (m.Manifests[i].Platform == nil) != (child.Platform() == nil) {
					t.Errorf("child %d: got %+v", i, m.Manifests[i])
				}
			}
			blobs := map[string]bool{}
			for _, d := range m.Blobs() {
				if blobs[d.Digest.String()] {
					t.Errorf("blob %s twice", d.Digest)
				}
				blobs[d.Digest.String()] = true
			}
			for _, blob := range image.Blobs {
				if !blobs[blob.Descriptor.Digest.String()] {
					t.Errorf("blob %s is missing", blob.Descriptor.Digest)
				}
			}
		})
	}
}

func TestBlobsAreInThePushOrder(t *testing.T) {
	a, b := contenttest.NewLayer("a", 1), contenttest.NewLayer("b", 2)
	image := contenttest.NewImage("linux/amd64", a, b, a)
	m, err := content.ParseManifest(image.Descriptor(), image.Root.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{a.Descriptor.Digest.String(), b.Descriptor.Digest.String(), m.Config.Digest.String()}
	var got []string
	for _, d := range m.Blobs() {
		got = append(got, d.Digest.String())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %v, want %v: layers once each, then the config", got, want)
	}
}

const (
	someDigest  = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	descriptor  = `{"mediaType":"a/b","digest":"` + someDigest + `","size":0}`
	imageFields = `"config":` + descriptor + `,"layers":[` + descriptor + `]`
	indexFields = `"manifests":[` + descriptor + `]`
)

func TestParseManifestMediaType(t *testing.T) {
	for _, test := range []struct {
		name, described, raw, want string
	}{
		{"its own wins", ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"mediaType":"` + content.MediaTypeDockerManifest + `",` + imageFields + `}`, content.MediaTypeDockerManifest},
		{"the descriptor's", content.MediaTypeDockerManifest, `{"schemaVersion":2,` + imageFields + `}`, content.MediaTypeDockerManifest},
		{"none, an image", "", `{"schemaVersion":2,` + imageFields + `}`, ocispec.MediaTypeImageManifest},
		{"none, an index", "", `{"schemaVersion":2,` + indexFields + `}`, ocispec.MediaTypeImageIndex},
		{"JSON, an index", "application/json", `{"schemaVersion":2,"manifests":[]}`, ocispec.MediaTypeImageIndex},
	} {
		m, err := parse(test.raw, test.described)
		if err != nil || m.Descriptor.MediaType != test.want {
			t.Errorf("%s: got %v and %v, want %s", test.name, m, err, test.want)
		}
	}
}

func TestParseManifestRefuses(t *testing.T) {
	withDigest := func(d string) string { return strings.ReplaceAll(descriptor, someDigest, d) }
	withSize := strings.Replace(descriptor, `"size":0`, `"size":-1`, 1)
	v1 := `{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[{"blobSum":"` + someDigest + `"}],"history":[]}`
	signed := strings.TrimSuffix(v1, "}") + `,"signatures":[{"header":{}}]}`
	oci := ocispec.MediaTypeImageManifest
	for _, test := range []struct {
		name, mediaType, raw string
		want                 error
	}{
		{"schema 1", content.MediaTypeSchema1, v1, content.ErrSchema1},
		{"schema 1, signed", content.MediaTypeSchema1Signed, signed, content.ErrSchema1},
		{"schema 1 as JSON", "application/json", v1, content.ErrSchema1},
		{"schema 1 as another", oci, signed, content.ErrSchema1},
		{"schema 1 by its own media type", oci, `{"schemaVersion":2,"mediaType":"` + content.MediaTypeSchema1Signed + `"}`, content.ErrSchema1},
		{"layers of schema 1 too", oci, `{"schemaVersion":2,"fsLayers":[],` + imageFields + `}`, content.ErrSchema1},
		{"not JSON", oci, `<html>`, content.ErrInvalid},
		{"nothing", oci, ``, content.ErrInvalid},
		{"null", oci, `null`, content.ErrInvalid},
		{"a list", oci, `[]`, content.ErrInvalid},
		{"two documents", oci, `{"schemaVersion":2,` + imageFields + `}{}`, content.ErrInvalid},
		{"another kind", "application/vnd.example.manifest.v1+json", `{"schemaVersion":2}`, content.ErrInvalid},
		{"an artifact manifest with a config", content.MediaTypeArtifactManifest, `{` + imageFields + `}`, content.ErrInvalid},
		{"a path for a blob", content.MediaTypeArtifactManifest, `{"blobs":[` + withDigest("../x") + `]}`, content.ErrInvalid},
		{"an image with children", oci, `{"schemaVersion":2,` + imageFields + `,` + indexFields + `}`, content.ErrInvalid},
		{"an index with a config", ocispec.MediaTypeImageIndex, `{"schemaVersion":2,` + indexFields + `,"config":` + descriptor + `}`, content.ErrInvalid},
		{"an index with layers", content.MediaTypeDockerManifestList, `{"schemaVersion":2,` + indexFields + `,"layers":[` + descriptor + `]}`, content.ErrInvalid},
		{"an index that is called an image", oci, `{"schemaVersion":2,` + indexFields + `}`, content.ErrInvalid},
		{"an image that is called an index", ocispec.MediaTypeImageIndex, `{"schemaVersion":2,` + imageFields + `}`, content.ErrInvalid},
		{"an image without a config", oci, `{"schemaVersion":2,"layers":[]}`, content.ErrInvalid},
		{"a path for a layer", oci, `{"schemaVersion":2,"config":` + descriptor + `,"layers":[` + withDigest("sha256:../../etc/passwd") + `]}`, content.ErrInvalid},
		{"a path for a config", oci, `{"schemaVersion":2,"config":` + withDigest("../x") + `}`, content.ErrInvalid},
		{"a path for a child", ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":[` + withDigest("../x") + `]}`, content.ErrInvalid},
		{"a path for a subject", oci, `{"schemaVersion":2,` + imageFields + `,"subject":` + withDigest("../x") + `}`, content.ErrInvalid},
		{"an unknown algorithm", oci, `{"schemaVersion":2,"config":` + withDigest("md5:d41d8cd98f00b204e9800998ecf8427e") + `}`, content.ErrInvalid},
		{"a layer without a digest", oci, `{"schemaVersion":2,"config":` + descriptor + `,"layers":[{}]}`, content.ErrInvalid},
		{"a negative layer", oci, `{"schemaVersion":2,"config":` + descriptor + `,"layers":[` + withSize + `]}`, content.ErrInvalid},
		{"a negative child", ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":[` + withSize + `]}`, content.ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := content.NewDescriptor(test.mediaType, []byte(test.raw))
			_, err := content.ParseManifest(d, []byte(test.raw))
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if !strings.Contains(err.Error(), d.Digest.String()) {
				t.Errorf("%q does not name the manifest", err)
			}
		})
	}
}

// A digest cannot be inside what it is the digest of; a source that lies can claim it.
func TestParseManifestRefusesItself(t *testing.T) {
	raw := []byte(`{"schemaVersion":2,` + indexFields + `}`)
	d := content.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: someDigest, Size: int64(len(raw))}
	if _, err := content.ParseManifest(d, raw); !errors.Is(err, content.ErrInvalid) || !strings.Contains(err.Error(), "itself") {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestReferrer(t *testing.T) {
	subject := content.NewDescriptor("a/b", []byte("subject"))
	typed := contenttest.NewArtifact("application/vnd.example.sbom", &subject)
	untyped := contenttest.NewManifest(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Subject: &subject}, contenttest.JSON("application/vnd.example.config", 1))
	for want, image := range map[string]contenttest.Image{"application/vnd.example.sbom": typed, "application/vnd.example.config": untyped} {
		m, err := content.ParseManifest(image.Descriptor(), image.Root.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		got := m.Referrer()
		if got.ArtifactType != want || got.Digest != image.Digest() || got.Size != image.Descriptor().Size || got.MediaType != ocispec.MediaTypeImageManifest {
			t.Errorf("got %+v, want the artifact type %s", got, want)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	for _, image := range contenttest.Images() {
		f.Add(image.Descriptor().MediaType, image.Root.Bytes)
	}
	f.Add("", []byte(`{"schemaVersion":1,"fsLayers":[]}`))
	f.Add("application/json", []byte(`{"schemaVersion":2,`+imageFields+`,`+indexFields+`}`))
	f.Fuzz(func(t *testing.T, mediaType string, raw []byte) {
		d := content.NewDescriptor(mediaType, raw)
		m, err := content.ParseManifest(d, raw)
		if err != nil {
			if !errors.Is(err, content.ErrInvalid) && !errors.Is(err, content.ErrSchema1) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		if !bytes.Equal(m.Raw, raw) || m.Descriptor.Digest != d.Digest || m.Descriptor.Size != int64(len(raw)) {
			t.Errorf("got %+v, want the bytes that were read", m.Descriptor)
		}
		if image := !m.IsIndex() && m.Descriptor.MediaType != content.MediaTypeArtifactManifest; image != (m.Config != nil) {
			t.Error("a config in what is no image, or none in an image")
		}
		for _, child := range append(m.Blobs(), m.Manifests...) {
			if err := content.CheckDescriptor(child); err != nil || child.Digest == d.Digest && m.IsIndex() {
				t.Errorf("child %+v was let through: %v", child, err)
			}
		}
		again, err := content.ParseManifest(m.Descriptor, m.Raw)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("parsed again: got %+v and %v, want %+v", again, err, m)
		}
		if !json.Valid(raw) {
			t.Error("bytes that are no JSON were let through")
		}
	})
}
