package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/regsync/regsync/e2e/lab"
)

// threePlatforms is an index of three platforms with one layer in common.
func threePlatforms(t *testing.T, seed uint64) v1.ImageIndex {
	t.Helper()
	common := lab.Layer(t, seed, 100_000)
	return lab.Index(t, []string{"linux/amd64", "linux/arm64", "linux/s390x"}, func(platform string) v1.Image {
		seed++
		return lab.Image(t, platform, common, lab.Layer(t, seed, 60_000))
	})
}

func (s *stage) index(t *testing.T) {
	shell := s.owner(t)
	origin := s.compose.Plain + "/index/app:1"
	index := threePlatforms(t, 100)
	lab.Push(t, origin, index)
	want := shell.Regsync(t, "digest", origin).Out()
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range s.hosts() {
		whole := host + "/index/whole:1"
		shell.Regsync(t, "copy", origin, whole)
		wantDigests(t, shell, want, whole)

		single := host + "/index/single:1"
		shell.Regsync(t, "copy", "--platform", "linux/arm64", origin, single)
		wantDigests(t, shell, manifest.Manifests[1].Digest.String(), single)

		pair := host + "/index/pair:1"
		shell.Regsync(t, "copy", "--platform", "linux/amd64,linux/s390x", origin, pair)
		if got, want := rawPlatforms(t, shell, pair), []string{"linux/amd64", "linux/s390x"}; !slices.Equal(got, want) {
			t.Errorf("%s has %v, want %v", pair, got, want)
		}
		// A second registry client reads all of it, so nothing dangles.
		shell.Run(t, "skopeo", "--insecure-policy", "copy", "--all", "--src-tls-verify=false",
			"--src-authfile", shell.Docker()+"/config.json", "docker://"+pair, "oci:"+shell.Path("pair")+":"+strings.ReplaceAll(host, ":", "-"))
	}
}

// rawPlatforms are the platforms of an index, read by skopeo.
func rawPlatforms(t *testing.T, shell *lab.Shell, reference string) []string {
	t.Helper()
	raw := shell.Run(t, "skopeo", "inspect", "--raw", "--tls-verify=false", "--authfile", shell.Docker()+"/config.json", "docker://"+reference)
	var index v1.IndexManifest
	if err := json.Unmarshal([]byte(raw), &index); err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, child := range index.Manifests {
		platforms = append(platforms, child.Platform.String())
	}
	return platforms
}

// referrers: a signature by cosign's tag scheme and an artifact whose subject is the image
// travel with it, and one that is made later is copied by the next run.
func (s *stage) referrers(t *testing.T) {
	shell := s.owner(t)
	repository := s.compose.Plain + "/referrers/app"
	image := lab.Image(t, "linux/amd64", lab.Layer(t, 120, 60_000))
	lab.Push(t, repository+":1", image)
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	signature := "sha256-" + digest.Hex + ".sig"
	lab.Push(t, repository+":"+signature, lab.Image(t, "/", lab.Layer(t, 121, 1000)))
	bill := referrer(t, image, lab.Layer(t, 122, 2000))
	lab.Push(t, repository+"@"+digestOf(t, bill), bill)

	copied := s.compose.Token + "/referrers/app"
	copyAll := []string{"copy", "--referrers", repository + ":1", copied + ":1"}
	shell.Regsync(t, copyAll...)
	wantDigests(t, shell, digest.String(), copied+":1")
	wantDigests(t, shell, lab.Digest(t, repository+":"+signature), copied+":"+signature)
	shell.Regsync(t, "digest", copied+"@"+digestOf(t, bill))
	wantSubject(t, shell, copied, digest, digestOf(t, bill))

	later := referrer(t, image, lab.Layer(t, 123, 3000))
	lab.Push(t, repository+"@"+digestOf(t, later), later)
	shell.Regsync(t, copyAll...)
	wantSubject(t, shell, copied, digest, digestOf(t, bill), digestOf(t, later))
}

// imagesOnly: a registry with the policy that Aliyun ACR's Personal Edition is reported to have gets an
// index without BuildKit's attestations. Its refusal of a referrer fails no run.
func (s *stage) imagesOnly(t *testing.T) {
	shell := s.owner(t)
	registry := lab.StartRegistry(t, s.registry, "REGISTRY_POLICY_REPOSITORY_CLASSES=[image]")
	repository := s.compose.Plain + "/attested/app"
	platforms := []string{"linux/amd64", "linux/arm64"}
	index := lab.Index(t, platforms, func(platform string) v1.Image { return lab.Image(t, platform, lab.Layer(t, 130, 60_000)) })
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range manifest.Manifests {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: mutate.ConfigMediaType(lab.Image(t, "/", lab.Layer(t, 131, 500)), "application/vnd.oci.empty.v1+json"),
			Descriptor: v1.Descriptor{
				Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"},
				Annotations: map[string]string{
					"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": child.Digest.String(),
				},
			},
		})
	}
	lab.Push(t, repository+":1", index)
	shell.Regsync(t, "copy", repository+":1", registry+"/whole:1").Says(t, "does not accept attestations; 1 image copied without them")
	if got := rawPlatforms(t, shell, registry+"/whole:1"); !slices.Equal(got, platforms) {
		t.Errorf("the index has %v, want %v", got, platforms)
	}
	image := lab.Image(t, "linux/amd64", lab.Layer(t, 132, 60_000))
	lab.Push(t, repository+":2", image)
	bill := referrer(t, image, lab.Layer(t, 133, 2000))
	lab.Push(t, repository+"@"+digestOf(t, bill), bill)

	config := shell.Write(t, "images.yaml", "version: 1\nsync:\n- {from: "+quote(repository)+", to: "+quote(registry+"/app")+"}\n")
	shell.Regsync(t, "sync", "-c", config).Says(t, "2 copied (1 without attestations), 1 referrer not accepted by the destination")
	shell.Regsync(t, "sync", "-c", config).Says(t, "2 unchanged, 1 referrer not accepted by the destination")
	shell.Regsync(t, "diff", "-c", config)
	if got := rawPlatforms(t, shell, registry+"/app:1"); !slices.Equal(got, platforms) {
		t.Errorf("the index has %v, want %v", got, platforms)
	}
	wantDigests(t, shell, digestOf(t, image), registry+"/app:2")
}

// referrer is an artifact about an image.
func referrer(t *testing.T, image v1.Image, layer v1.Layer) v1.Image {
	t.Helper()
	subject, err := partial.Descriptor(image)
	if err != nil {
		t.Fatal(err)
	}
	artifact := mutate.ConfigMediaType(lab.Image(t, "/", layer), types.MediaType("application/vnd.example.bill"))
	withSubject, ok := mutate.Subject(artifact, *subject).(v1.Image)
	if !ok {
		t.Fatal("an image with a subject is none")
	}
	return withSubject
}

// wantSubject wants the list of referrers that stands in for the referrers API: distribution
// 3.1 has none.
func wantSubject(t *testing.T, shell *lab.Shell, repository string, subject v1.Hash, want ...string) {
	t.Helper()
	raw := shell.Run(t, "skopeo", "inspect", "--raw", "--tls-verify=false", "--authfile", shell.Docker()+"/config.json",
		"docker://"+repository+":sha256-"+subject.Hex)
	var list v1.IndexManifest
	if err := json.Unmarshal([]byte(raw), &list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, listed := range list.Manifests {
		got = append(got, listed.Digest.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("referrers of %s: %v, want %v", subject, got, want)
	}
}

func digestOf(t *testing.T, image v1.Image) string {
	t.Helper()
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}
