package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/regsync/regsync/e2e/lab"
)

// conformance mirrors what the OCI conformance suite pushes, directly and through an OCI layout, and compares
// the copies, with their referrers, byte for byte. Distribution 3.1 does not accept manifests with sha512
// digests.
func (s *stage) conformance(t *testing.T) {
	shell := s.shell(t)
	suite, err := lab.BuildConformance(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	olareg, err := lab.BuildOlareg(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	from := lab.StartOlareg(t, olareg)
	push := exec.CommandContext(t.Context(), suite)
	push.Dir = t.TempDir()
	push.Env = append(os.Environ(), "OCI_REGISTRY="+from, "OCI_TLS=disabled", "OCI_VERSION=dev", "OCI_DATA_SPARSE=true",
		"OCI_API_BLOBS_DELETE=false", "OCI_API_MANIFESTS_DELETE=false", "OCI_API_TAGS_DELETE=false")
	log, _ := push.CombinedOutput() // the suite exits non-zero if the registry fails a test, which is not tested here
	source := place{"http://" + from, "conformance/repo1"}
	tags := source.tags(t)
	if len(tags) < 20 {
		t.Fatalf("the suite pushed %v:\n%s", tags, log)
	}

	to, layout := lab.StartOlareg(t, olareg), "oci:"+shell.Path("conformance")
	distribution := lab.StartRegistry(t, s.registry)
	sync := func(name, from, to, more string) {
		config := shell.Write(t, name, "version: 1\nsync:\n- {from: "+quote(from)+", to: "+quote(to)+more+"}\n")
		shell.Regsync(t, "sync", "-c", config)
		shell.Regsync(t, "diff", "-c", config)
	}
	sync("layout.yaml", from+"/conformance/repo1", layout, "")
	sync("back.yaml", layout, to+"/back", "")
	sync("distribution.yaml", from+"/conformance/repo1", distribution+"/mirror", ", tags: {exclude: [\"*sha512*\"]}")
	back := comparison{from: source, to: place{"http://" + to, "back"}, referrers: true, seen: map[string]bool{}}
	mirror := comparison{from: source, to: place{"http://" + distribution, "mirror"}, seen: map[string]bool{}}
	for _, tag := range tags {
		back.manifest(t, tag)
		if !strings.Contains(tag, "sha512") {
			mirror.manifest(t, tag)
		}
	}
	if back.attachments == 0 || mirror.attachments == 0 {
		t.Error("the suite pushed no referrers")
	}
	t.Logf("%d tags; %d and %d manifests and blobs are equal, %d of them referrers", len(tags), len(back.seen), len(mirror.seen), back.attachments)
}

// place is a repository, read without any registry client.
type place struct{ registry, repository string }

func (p place) get(t *testing.T, path string) (answer *http.Response, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.registry+"/v2/"+p.repository+"/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"manifest", "index"} {
		request.Header.Add("Accept", "application/vnd.oci.image."+kind+".v1+json")
	}
	if answer, err = http.DefaultClient.Do(request); err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer, body
}

func (p place) tags(t *testing.T) []string {
	t.Helper()
	_, body := p.get(t, "tags/list")
	var list struct{ Tags []string }
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return list.Tags
}

type descriptor struct{ MediaType, Digest string }

// comparison compares what two repositories have.
type comparison struct {
	from, to  place
	referrers bool // the destination has the referrers API, as the source has
	seen      map[string]bool
	// attachments is how many referrers were compared.
	attachments int
}

// same compares a path at both sides, once. It returns the body and, of a manifest, the digest.
func (c *comparison) same(t *testing.T, path string) (body []byte, digest string) {
	t.Helper()
	if c.seen[path] {
		return nil, ""
	}
	c.seen[path] = true
	there, want := c.from.get(t, path)
	if there.StatusCode != http.StatusOK {
		t.Errorf("%s at the source: %s", path, there.Status)
		return nil, ""
	}
	if answer, got := c.to.get(t, path); answer.StatusCode != http.StatusOK || !bytes.Equal(got, want) {
		t.Errorf("%s at %s/%s: %s, %d bytes; want the %d bytes of the source", path, c.to.registry, c.to.repository, answer.Status, len(got), len(want))
	}
	return want, there.Header.Get("Docker-Content-Digest")
}

func (c *comparison) manifest(t *testing.T, reference string) {
	t.Helper()
	raw, digest := c.same(t, "manifests/"+reference)
	if raw == nil {
		return
	}
	var m struct {
		Config    *descriptor
		Layers    []descriptor
		Manifests []descriptor
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%s: %v", reference, err)
	}
	for _, child := range m.Manifests {
		c.manifest(t, child.Digest)
	}
	for _, blob := range append(m.Layers, deref(m.Config)...) {
		c.same(t, "blobs/"+blob.Digest)
	}
	c.attached(t, digest)
}

func (c *comparison) attached(t *testing.T, subject string) {
	t.Helper()
	_, want := c.from.get(t, "referrers/"+subject)
	var list struct{ Manifests []descriptor }
	if err := json.Unmarshal(want, &list); err != nil {
		t.Fatalf("%v: %s", err, want)
	}
	path := "referrers/" + subject
	if !c.referrers {
		path = "manifests/" + strings.Replace(subject, ":", "-", 1)
	}
	answer, got := c.to.get(t, path)
	if len(list.Manifests) > 0 && answer.StatusCode != http.StatusOK {
		t.Errorf("%s at %s: %s", path, c.to.registry, answer.Status)
	}
	for _, referrer := range list.Manifests {
		if !bytes.Contains(got, []byte(referrer.Digest)) {
			t.Errorf("%s is no referrer of %s at %s: %s", referrer.Digest, subject, c.to.registry, got)
		}
		c.manifest(t, referrer.Digest)
		c.attachments++
	}
}

func deref(config *descriptor) []descriptor {
	if config == nil {
		return nil
	}
	return []descriptor{*config}
}
