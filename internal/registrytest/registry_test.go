package registrytest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/content"
)

// reply is an answer that has been read.
type reply struct {
	*http.Response
	body []byte
}

func (r reply) code() string {
	var list struct{ Errors []struct{ Code string } }
	if json.Unmarshal(r.body, &list) != nil || len(list.Errors) == 0 {
		return ""
	}
	return list.Errors[0].Code
}

// do sends a request to a path of the registry, or to a whole URL, and follows nothing.
func do(t *testing.T, s *registrytest.Server, method, to string, body []byte, header ...string) reply {
	t.Helper()
	answer, err := try(t, s, method, to, body, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, to, err)
	}
	return answer
}

func try(t *testing.T, s *registrytest.Server, method, to string, body []byte, header ...string) (reply, error) {
	t.Helper()
	if strings.HasPrefix(to, "/") {
		to = s.URL() + to
	}
	req, err := http.NewRequestWithContext(t.Context(), method, to, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := *s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	return reply{answer, raw}, err
}

func wantStatus(t *testing.T, got reply, want int) {
	t.Helper()
	if got.StatusCode != want {
		t.Errorf("%s %s: %s %s, want %d", got.Request.Method, got.Request.URL.Path, got.Status, got.body, want)
	}
}

func wantCode(t *testing.T, got reply, status int, code string) {
	t.Helper()
	wantStatus(t, got, status)
	if got.code() != code {
		t.Errorf("%s %s: %q, want %s", got.Request.Method, got.Request.URL.Path, got.code(), code)
	}
}

// location is where an upload goes on, with the parameters added.
func location(t *testing.T, of reply, parameters ...string) string {
	t.Helper()
	at, err := of.Location()
	if err != nil {
		t.Fatalf("%s %s: %v", of.Request.Method, of.Request.URL, err)
	}
	query := at.Query()
	for i := 0; i < len(parameters); i += 2 {
		query.Set(parameters[i], parameters[i+1])
	}
	at.RawQuery = query.Encode()
	return at.String()
}

func open(t *testing.T, s *registrytest.Server, repo string) reply {
	t.Helper()
	answer := do(t, s, "POST", "/v2/"+repo+"/blobs/uploads/", nil)
	wantStatus(t, answer, http.StatusAccepted)
	return answer
}

func TestPushOverTheNetworkAndReadBack(t *testing.T) {
	plain := registrytest.New(t)
	guarded := registrytest.New(t, registrytest.WithBasic("ann", "secret"))
	image := registrytest.Platforms(1, "linux/amd64", "linux/arm64")
	registrytest.PushTo(t, nil, plain.URL(), "team/app", "1.0", image)
	registrytest.PushTo(t, nil, "http://ann:secret@"+guarded.Host(), "team/app", "1.0", image)
	for _, s := range []*registrytest.Server{plain, guarded} {
		if got := s.ManifestDigest("team/app", "1.0"); got != image.Digest() {
			t.Errorf("got %s, want %s", got, image.Digest())
		}
		if err := s.Complete("team/app", "1.0"); err != nil {
			t.Error(err)
		}
		if got := s.Tags("team/app"); !slices.Equal(got, []string{"1.0"}) {
			t.Errorf("tags %v", got)
		}
		if got := s.Repositories(); !slices.Equal(got, []string{"team/app"}) {
			t.Errorf("repositories %v", got)
		}
		if got := s.BlobBytesIn(); got != image.BlobBytes() {
			t.Errorf("%d bytes of blobs came in, want %d", got, image.BlobBytes())
		}
	}
}

func TestCompleteMissesWhatIsMissing(t *testing.T) {
	s := registrytest.New(t)
	image := registrytest.Image(registrytest.ImageSpec{})
	s.Push("app", "1", image)
	if err := s.Complete("app", "1"); err != nil {
		t.Fatal(err)
	}
	s.DeleteBlob("app", image.Layers[0].Digest)
	if s.Complete("app", "1") == nil {
		t.Error("a layer is gone, and nothing is said")
	}
	s.DeleteManifest("app", "1")
	if s.Complete("app", "1") == nil || s.ManifestDigest("app", "1") != "" {
		t.Error("a deleted tag is still there")
	}
	lying := registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: 10, ClaimedSize: 11}}})
	s.Push("app", "2", lying)
	if s.Complete("app", "2") == nil {
		t.Error("a manifest lies about a size, and nothing is said")
	}
}

// The mounts are the heart of what an engine does without HEAD.
func TestMounts(t *testing.T) {
	s := registrytest.New(t)
	d := s.PushBlob("a", []byte("layer"))
	absent := digest.FromString("absent")
	for _, test := range []struct {
		name, to, query string
		want            int
	}{
		{"from the same repository", "a", "mount=" + d.String() + "&from=a", http.StatusCreated},
		{"absent, from the same repository", "a", "mount=" + absent.String() + "&from=a", http.StatusAccepted},
		{"without from", "a", "mount=" + d.String(), http.StatusAccepted},
		{"from a repository that lacks it", "b", "mount=" + d.String() + "&from=c", http.StatusAccepted},
		{"from another repository", "b", "mount=" + d.String() + "&from=a", http.StatusCreated},
	} {
		answer := do(t, s, "POST", "/v2/"+test.to+"/blobs/uploads/?"+test.query, nil)
		if answer.StatusCode != test.want || answer.Header.Get("Location") == "" {
			t.Errorf("%s: %s, Location %q, want %d", test.name, answer.Status, answer.Header.Get("Location"), test.want)
		}
	}
	if !s.HasBlob("b", d) || s.HasBlob("c", d) {
		t.Error("the mounted blob is not where it should be")
	}
	// A refused mount's session takes the blob.
	refused := do(t, s, "POST", "/v2/a/blobs/uploads/?mount="+absent.String()+"&from=x", nil)
	wantStatus(t, do(t, s, "PUT", location(t, refused, "digest", absent.String()), []byte("absent")), http.StatusCreated)
}

func TestMountQuirks(t *testing.T) {
	for _, test := range []struct {
		quirk       registrytest.Name
		self, other int
	}{
		{registrytest.Mount202, 202, 202},
		{registrytest.Mount400, 201, 400},
		{registrytest.Mount401, 201, 401},
		{registrytest.Mount404, 201, 404},
		{registrytest.ProbeRefused, 202, 201},
		{registrytest.MountCommitted, 202, 202},
		{registrytest.MountAny, 201, 201},
	} {
		s := registrytest.New(t, registrytest.With(test.quirk))
		d := s.PushBlob("a", []byte("layer"))
		self := do(t, s, "POST", "/v2/a/blobs/uploads/?from=a&mount="+d.String(), nil)
		other := do(t, s, "POST", "/v2/b/blobs/uploads/?from=a&mount="+d.String(), nil)
		if self.StatusCode != test.self || other.StatusCode != test.other {
			t.Errorf("%s: %d and %d, want %d and %d", test.quirk, self.StatusCode, other.StatusCode, test.self, test.other)
		}
	}
}

// A blob that a manifest refers to can be mounted, and with mount-any from any repository name.
func TestMountOfWhatAManifestRefersTo(t *testing.T) {
	image := registrytest.Image(registrytest.ImageSpec{})
	for _, test := range []struct {
		quirk registrytest.Name
		from  string
		want  int
	}{
		{registrytest.MountCommitted, "app", 201},
		{registrytest.MountCommitted, "none", 202},
		{registrytest.MountAny, "none", 201},
	} {
		s := registrytest.New(t, registrytest.With(test.quirk))
		s.Push("app", "1", image)
		mount := "/v2/b/blobs/uploads/?from=" + test.from + "&mount=" + image.Layers[0].Digest.String()
		wantStatus(t, do(t, s, "POST", mount, nil), test.want)
		if there := test.want == http.StatusCreated; s.HasBlob("b", image.Layers[0].Digest) != there || (len(s.Sessions()) == 0) != there {
			t.Errorf("%s from %s: blob there %v, sessions %q", test.quirk, test.from, !there, s.Sessions())
		}
	}
}

func TestUploadsAreDistributions(t *testing.T) {
	s := registrytest.New(t)
	raw := []byte("0123456789")
	d := digest.FromBytes(raw).String()
	wantStatus(t, do(t, s, "POST", "/v2/a/blobs/uploads/?digest="+d, raw), http.StatusAccepted)

	opened := open(t, s, "a")
	if got := opened.Header.Get("Range"); got != "0-0" {
		t.Errorf("a session without a byte has the range %q", got)
	}
	first := do(t, s, "PATCH", location(t, opened), raw[:4], "Content-Range", "0-3")
	wantStatus(t, first, http.StatusAccepted)
	wantCode(t, do(t, s, "PATCH", location(t, opened), raw[4:]), http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID")
	where := do(t, s, "GET", location(t, opened), nil)
	if wantStatus(t, where, http.StatusNoContent); where.Header.Get("Range") != "0-3" {
		t.Errorf("the session says %q, want 0-3", where.Header.Get("Range"))
	}
	done := do(t, s, "PUT", location(t, where, "digest", d), raw[4:])
	if wantStatus(t, done, http.StatusCreated); done.Header.Get("Docker-Content-Digest") != d {
		t.Errorf("committed as %q", done.Header.Get("Docker-Content-Digest"))
	}
	wantCode(t, do(t, s, "GET", location(t, where), nil), http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
	wrong := do(t, s, "PUT", location(t, open(t, s, "a"), "digest", d), []byte("others"))
	wantCode(t, wrong, http.StatusBadRequest, "DIGEST_INVALID")
	cancelled := open(t, s, "a")
	wantStatus(t, do(t, s, "DELETE", location(t, cancelled), nil), http.StatusNoContent)
	wantStatus(t, do(t, s, "GET", location(t, cancelled), nil), http.StatusNotFound)
}

func TestManifestsAreValidated(t *testing.T) {
	s := registrytest.New(t)
	image := registrytest.Image(registrytest.ImageSpec{})
	put := func(f *registrytest.Fixture) reply {
		return do(t, s, "PUT", "/v2/a/manifests/1", f.Raw, "Content-Type", f.Descriptor.MediaType)
	}
	wantCode(t, put(image), http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN")
	wantCode(t, put(registrytest.Index(registrytest.IndexSpec{}, image)), http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN")
	wantCode(t, do(t, s, "GET", "/v2/a/tags/list", nil), http.StatusNotFound, "NAME_UNKNOWN")
	s.Push("a", "", image)
	wantCode(t, do(t, s, "GET", "/v2/a/tags/list", nil), http.StatusNotFound, "NAME_UNKNOWN")
	wantStatus(t, put(image), http.StatusCreated)
	wantStatus(t, do(t, s, "GET", "/v2/a/tags/list", nil), http.StatusOK)
	wantCode(t, do(t, s, "GET", "/v2/a/manifests/1", nil, "Accept", content.MediaTypeDockerManifest),
		http.StatusNotFound, "MANIFEST_UNKNOWN")
	wantStatus(t, do(t, s, "GET", "/v2/a/manifests/1", nil, "Accept", "*/*"), http.StatusNotFound)
	wantStatus(t, do(t, s, "GET", "/v2/a/manifests/1", nil, "Accept", image.Descriptor.MediaType), http.StatusOK)
	s.Push("a", "index", registrytest.Index(registrytest.IndexSpec{}, image))
	wantStatus(t, do(t, s, "GET", "/v2/a/manifests/index", nil), http.StatusOK)
}

// A registry of distribution's default settings fails with 500, however often it is asked.
func TestNoLayerURLs(t *testing.T) {
	s := registrytest.New(t, registrytest.With(registrytest.NoLayerURLs))
	image := registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Foreign: true}}})
	s.PushBlob("win", image.Blobs[image.Config.Digest])
	wantCode(t, do(t, s, "PUT", "/v2/win/manifests/1", image.Raw, "Content-Type", image.Descriptor.MediaType),
		http.StatusInternalServerError, "UNKNOWN")
}

func TestImagesOnly(t *testing.T) {
	s := registrytest.New(t, registrytest.With(registrytest.ImagesOnly))
	image := registrytest.Image(registrytest.ImageSpec{})
	s.Push("app", "1", image)
	attestation := registrytest.Attestation(image)
	wantCode(t, do(t, s, "PUT", "/v2/app/manifests/2", attestation.Raw, "Content-Type", attestation.Descriptor.MediaType),
		http.StatusForbidden, "DENIED")
}

func TestForeignLayersNeedNotBeThere(t *testing.T) {
	for _, docker := range []bool{false, true} {
		s := registrytest.New(t)
		image := registrytest.Image(registrytest.ImageSpec{
			Docker: docker, Layers: []registrytest.Layer{{Foreign: true}, {Size: 20}},
		})
		s.Push("win", "1", image)
		if err := s.Complete("win", "1"); err != nil {
			t.Error(err)
		}
		if _, mediaType := s.Manifest("win", "1"); mediaType != image.Descriptor.MediaType {
			t.Errorf("served as %s, want %s", mediaType, image.Descriptor.MediaType)
		}
		s.Push("win", "2", registrytest.Index(registrytest.IndexSpec{}, image))
		if err := s.Complete("win", "2"); err != nil {
			t.Error(err)
		}
		wantCode(t, do(t, s, "PUT", "/v2/other/manifests/1", image.Raw, "Content-Type", image.Descriptor.MediaType),
			http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN")
	}
}

func TestDeletes(t *testing.T) {
	s := registrytest.New(t)
	image := registrytest.Image(registrytest.ImageSpec{})
	for _, tag := range []string{"a", "b", "c"} {
		s.Push("app", tag, image)
	}
	wantStatus(t, do(t, s, "DELETE", "/v2/app/manifests/a", nil), http.StatusAccepted)
	if got := s.Tags("app"); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("after a tag was deleted: %v", got)
	}
	wantStatus(t, do(t, s, "DELETE", "/v2/app/manifests/"+image.Digest().String(), nil), http.StatusAccepted)
	if got := s.Tags("app"); len(got) > 0 {
		t.Errorf("after the digest was deleted: %v", got)
	}
	wantStatus(t, do(t, s, "DELETE", "/v2/app/manifests/a", nil), http.StatusNotFound)
}

func TestReferrers(t *testing.T) {
	image := registrytest.Image(registrytest.ImageSpec{})
	signature := registrytest.Image(registrytest.ImageSpec{
		ConfigMediaType: "application/vnd.oci.empty.v1+json", ArtifactType: "application/x-signature",
		Subject: image, Layers: []registrytest.Layer{{Size: 50}},
	})
	for _, test := range []struct {
		options []registrytest.Option
		status  int
		subject string
	}{
		{nil, http.StatusNotFound, ""},
		{[]registrytest.Option{registrytest.With(registrytest.ReferrersAPI)}, http.StatusOK, image.Digest().String()},
	} {
		s := registrytest.New(t, test.options...)
		s.Push("app", "1", image)
		s.Push("app", "", signature)
		again := do(t, s, "PUT", "/v2/app/manifests/"+signature.Digest().String(), signature.Raw, "Content-Type", signature.Descriptor.MediaType)
		if got := again.Header.Get("OCI-Subject"); got != test.subject {
			t.Errorf("OCI-Subject %q, want %q", got, test.subject)
		}
		list := do(t, s, "GET", "/v2/app/referrers/"+image.Digest().String(), nil)
		wantStatus(t, list, test.status)
		if has := bytes.Contains(list.body, []byte(signature.Digest())); has != (test.status == http.StatusOK) {
			t.Errorf("referrers: %s", list.body)
		}
	}
}

func TestTagPagesAndCatalogPages(t *testing.T) {
	s := registrytest.New(t, registrytest.With(registrytest.TagPages.At(2)))
	image := registrytest.Image(registrytest.ImageSpec{})
	for _, tag := range []string{"1", "2", "3", "4", "5"} {
		s.Push("app", tag, image)
		s.Push("repo"+tag, "x", image)
	}
	if got := s.Tags("app"); len(got) != 5 {
		t.Errorf("tags %v, want 5", got)
	}
	// Six repositories are three full pages, and distribution then links to an empty one.
	for path, want := range map[string]int{"/v2/app/tags/list?n=100": 3, "/v2/_catalog?n=2": 4} {
		pages, seen := 0, map[string]bool{}
		for path != "" {
			answer := do(t, s, "GET", path, nil)
			wantStatus(t, answer, http.StatusOK)
			var page struct{ Tags, Repositories []string }
			if err := json.Unmarshal(answer.body, &page); err != nil {
				t.Fatal(err)
			}
			for _, name := range slices.Concat(page.Tags, page.Repositories) {
				seen[name] = true
			}
			pages++
			path, _, _ = strings.Cut(strings.TrimPrefix(answer.Header.Get("Link"), "<"), `>; rel="next"`)
		}
		if pages != want || len(seen) < 5 {
			t.Errorf("%d pages with %v, want %d", pages, slices.Sorted(maps.Keys(seen)), want)
		}
	}
}

func TestRanges(t *testing.T) {
	for _, test := range []struct {
		options []registrytest.Option
		status  int
		body    string
		accepts string
	}{
		{nil, http.StatusPartialContent, "234", "bytes"},
		{[]registrytest.Option{registrytest.With(registrytest.RangeIgnored)}, http.StatusOK, "0123456789", ""},
	} {
		s := registrytest.New(t, test.options...)
		d := s.PushBlob("a", []byte("0123456789"))
		got := do(t, s, "GET", "/v2/a/blobs/"+d.String(), nil, "Range", "bytes=2-4")
		wantStatus(t, got, test.status)
		if string(got.body) != test.body || got.Header.Get("Accept-Ranges") != test.accepts {
			t.Errorf("got %q, Accept-Ranges %q", got.body, got.Header.Get("Accept-Ranges"))
		}
	}
}

func TestReadOnly(t *testing.T) {
	s := registrytest.New(t, registrytest.ReadOnly("library/*"))
	wantCode(t, do(t, s, "POST", "/v2/library/nginx/blobs/uploads/", nil), http.StatusForbidden, "DENIED")
	wantStatus(t, do(t, s, "POST", "/v2/team/nginx/blobs/uploads/", nil), http.StatusAccepted)
	s.Push("library/nginx", "1", registrytest.Image(registrytest.ImageSpec{}))
	wantStatus(t, do(t, s, "HEAD", "/v2/library/nginx/tags/list", nil), http.StatusOK)
	all := registrytest.New(t, registrytest.ReadOnly())
	wantCode(t, do(t, all, "PUT", "/v2/a/b/manifests/1", []byte("{}")), http.StatusForbidden, "DENIED")
}

func TestRedirectedBlobs(t *testing.T) {
	s := registrytest.New(t, registrytest.With(registrytest.BlobRedirect), registrytest.WithBasic("ann", "secret"))
	d := s.PushBlob("a", []byte("0123456789"))
	basic := "Basic " + "YW5uOnNlY3JldA=="
	answer := do(t, s, "GET", "/v2/a/blobs/"+d.String(), nil, "Authorization", basic)
	wantStatus(t, answer, http.StatusTemporaryRedirect)
	at := location(t, answer)
	if parsed, err := url.Parse(at); err != nil || parsed.Host != s.Elsewhere() || s.Elsewhere() == s.Host() {
		t.Errorf("redirected to %s, want to another host", at)
	}
	if got := do(t, s, "GET", at, nil, "Range", "bytes=1-2"); string(got.body) != "12" {
		t.Errorf("the other host sent %q", got.body)
	}
	wantStatus(t, do(t, s, "GET", at, nil, "Authorization", basic), http.StatusBadRequest)
	s.ExpireRedirects()
	wantStatus(t, do(t, s, "GET", at, nil), http.StatusForbidden)
	absent := do(t, s, "HEAD", "/v2/a/blobs/"+digest.FromString("absent").String(), nil, "Authorization", basic)
	wantStatus(t, absent, http.StatusNotFound)
	if got := s.BlobBytesOut(); got < 2 || got > 100 {
		t.Errorf("%d bytes of blobs went out", got)
	}
}

func TestUploadsElsewhere(t *testing.T) {
	s := registrytest.New(t, registrytest.With(registrytest.LocationElsewhere), registrytest.WithTokens(registrytest.TokenConfig{}))
	token := bearer(t, s, "repository:a:pull,push")
	opened := do(t, s, "POST", "/v2/a/blobs/uploads/", nil, "Authorization", token)
	wantStatus(t, opened, http.StatusAccepted)
	raw := []byte("0123456789")
	part := do(t, s, "PATCH", location(t, opened), raw[:3])
	wantStatus(t, part, http.StatusAccepted)
	d := digest.FromBytes(raw)
	wantStatus(t, do(t, s, "PUT", location(t, part, "digest", d.String()), raw[3:]), http.StatusCreated)
	if !s.HasBlob("a", d) || !strings.Contains(location(t, part), s.Elsewhere()) {
		t.Errorf("uploaded by %s", location(t, part))
	}
}

func TestHeaderOnEveryAnswer(t *testing.T) {
	s := registrytest.New(t, registrytest.WithHeader("ratelimit-remaining", "20;w=21600"))
	for _, path := range []string{"/v2/", "/v2/a/manifests/1"} {
		if got := do(t, s, "GET", path, nil).Header.Get("RateLimit-Remaining"); got != "20;w=21600" {
			t.Errorf("%s: %q", path, got)
		}
	}
}
