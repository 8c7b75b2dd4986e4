package registry

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
)

// listing reads a whole listing: its names, what was left out, and why it failed.
func listing(names iter.Seq2[string, error]) (got []string, invalid *content.InvalidNamesError, failure error) {
	for name, err := range names {
		if invalid, failure = content.SplitInvalidNames(err); failure != nil || invalid != nil {
			return got, invalid, failure
		}
		got = append(got, name)
	}
	return got, nil, nil
}

// requireNames checks the valid names of a listing, and those that it left out.
func requireNames(t *testing.T, names iter.Seq2[string, error], want []string, kind string, count int, first ...string) {
	t.Helper()
	got, invalid, err := listing(names)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q and %v, want %q", got, err, want)
	}
	switch {
	case invalid == nil && count == 0:
	case invalid == nil || invalid.Kind != kind || invalid.Count != count || !slices.Equal(invalid.First, first):
		t.Errorf("left out %+v, want %d of %q, first %q", invalid, count, kind, first)
	}
}

// A source listed the tag "../../../team/victim/manifests/stable". It was written into the URL
// of a PUT, and moved a tag in another repository behind a proxy that resolves dots.
func TestInvalidTags(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, test := range []struct {
		name, listed string
		want         []string
		invalid      int
		first        []string
	}{
		{"all are", `["1","latest","null"]`, []string{"1", "latest", "null"}, 0, nil},
		{"null", `null`, nil, 0, nil},
		{"none", `[]`, nil, 0, nil},
		{"paths", `["v0","../../../team/victim/manifests/stable","..","a/b"]`, []string{"v0"}, 3, []string{"../../../team/victim/manifests/stable", "..", "a/b"}},
		{"null and empty", `[null,"v1",""]`, []string{"v1"}, 2, []string{"", ""}},
		{"a digest", `["sha256:` + strings.Repeat("a", 64) + `"]`, nil, 1, []string{"sha256:" + strings.Repeat("a", 64)}},
		{"an option", `["-x","v1"]`, []string{"v1"}, 1, []string{"-x"}},
		{"long", `["` + long + `"]`, nil, 1, []string{long[:100]}},
		{"many", `["a b","v1","a\u0000","\u001b[2J","?","#","%2e%2e"]`, []string{"v1"}, 6, []string{"a b", "a\x00", "\x1b[2J"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := registrytest.New(t)
			server.ReplaceListing("/v2/team/app/tags/list", "application/json", []byte(`{"name":"team/app","tags":`+test.listed+`}`))
			r := source(t, newClient(t, Options{}), server.Host(), "team/app")
			requireNames(t, r.Tags(t.Context()), test.want, "tag", test.invalid, test.first...)
		})
	}
}

// The message about invalid names has one line and no control characters.
func TestInvalidTagsAreQuoted(t *testing.T) {
	server := registrytest.New(t)
	server.ReplaceListing("/v2/a/tags/list", "application/json", []byte(`{"tags":["\u001b[2J\u0007","a\r\nb","\u202e",""]}`))
	_, invalid, err := listing(source(t, newClient(t, Options{}), server.Host(), "a").Tags(t.Context()))
	if err != nil || invalid == nil {
		t.Fatalf("got %v and %v", invalid, err)
	}
	if got, want := invalid.Error(), `ignored 4 invalid tags: "\x1b[2J\a", "a\r\nb", "\u202e" and 1 more`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A catalogue listed "team/..", which pointed a layout above its directory.
func TestInvalidRepositories(t *testing.T) {
	server := registrytest.New(t)
	server.ReplaceListing("/v2/_catalog", "application/json", []byte(
		`{"repositories":["team/ok","team/..","../x","Upper","team/a/../../up","team/.hidden","team//x","",null,"a:b","ok2"]}`))
	requireNames(t, newClient(t, Options{}).Repositories(t.Context(), server.Host(), ""), []string{"team/ok", "ok2"},
		"repository name", 9, "team/..", "../x", "Upper")
}

func TestInvalidHubNames(t *testing.T) {
	hub := newHub()
	hub.listings[hubTeams] = []string{`{"name":"app"}`, `{"name":"../../secret"}`, `{"name":"a/b"}`, `{"name":null}`, `{"name":"web"}`}
	hub.listings[hubTags] = []string{`{"name":"1","tag_last_pushed":"2025-02-05T23:28:40Z"}`, `{"name":"../x","tag_last_pushed":"2025-02-05T23:28:40Z"}`}
	c, _ := hubClient(t, hub, retry.Policy{})
	requireNames(t, c.Repositories(t.Context(), reference.DockerHub, "team/"), []string{"team/app", "team/web"},
		"repository name", 3, "team/../../secret", "team/a/b", "team/")
	pushed, err := source(t, c, reference.DockerHub, "library/nginx").Pushed(t.Context())
	if err != nil || len(pushed) != 1 || pushed["1"].IsZero() {
		t.Errorf("got %v and %v", pushed, err)
	}
}

func TestInvalidReferrers(t *testing.T) {
	server := registrytest.New(t, registrytest.With(registrytest.ReferrersAPI))
	subject := digest.FromString("subject")
	valid := digest.FromString("referrer")
	server.ReplaceListing("/v2/a/referrers/"+subject.String(), ocispec.MediaTypeImageIndex, fmt.Appendf(nil,
		`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":10},{"digest":"sha256:../x","size":1},`+
			`{"digest":%q,"size":-1},{"mediaType":"a\nb","digest":%q,"size":1}]}`, ocispec.MediaTypeImageManifest, valid, valid, valid))
	got, err := source(t, newClient(t, Options{}), server.Host(), "a").Referrers(t.Context(), subject)
	invalid, failure := content.SplitInvalidNames(err)
	if failure != nil || len(got) != 1 || got[0].Digest != valid {
		t.Errorf("got %+v and %v", got, failure)
	}
	if invalid == nil || invalid.Count != 3 || !slices.Equal(invalid.First, []string{"sha256:../x", valid.String(), "a\nb"}) {
		t.Errorf("left out %+v", invalid)
	}
}

// A registry listed what it was sent, and the warning about invalid names printed it.
func TestSecretsInInvalidNames(t *testing.T) {
	subject := digest.FromString("subject")
	host, _ := serve(t, basicAuth(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, password, _ := req.BasicAuth()
		echoed := "you sent " + password + " " + strings.TrimPrefix(req.Header.Get("Authorization"), "Basic ")
		switch {
		case strings.HasSuffix(req.URL.Path, "/tags/list"):
			_, _ = fmt.Fprintf(w, `{"tags":["ok",%q,%q]}`, echoed, strings.Repeat("x", 80)+echoed)
		case req.URL.Path == "/v2/_catalog":
			_, _ = fmt.Fprintf(w, `{"repositories":["ok",%q]}`, echoed)
		default:
			w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			_, _ = fmt.Fprintf(w, `{"manifests":[{"digest":%q},{"digest":%q,"mediaType":%q}]}`, echoed, subject, echoed)
		}
	}), "alice", "correct horse"))
	c := newClient(t, Options{Credentials: logins(alice)})
	r := target(t, c, host, "a")
	_, tags, _ := listing(r.Tags(t.Context()))
	_, repositories, _ := listing(c.Repositories(t.Context(), host, ""))
	_, err := r.Referrers(t.Context(), subject)
	referrers, _ := content.SplitInvalidNames(err)
	for name, invalid := range map[string]*content.InvalidNamesError{"tags": tags, "repositories": repositories, "referrers": referrers} {
		if invalid == nil || !strings.Contains(invalid.Error(), "you sent ***") {
			t.Errorf("%s: got %v, want a warning", name, invalid)
			continue
		}
		requireNoSecret(t, invalid.Error(), "correct horse", "horse", "YWxpY2U6")
	}
}

// An invalid name is refused before any request.
func TestInvalidNamesAreRefused(t *testing.T) {
	host, seen := serve(t, http.NotFoundHandler())
	c := newClient(t, Options{})
	r := target(t, c, host, "a")
	d := image().Descriptor()
	for _, bad := range append(contenttest.BadReferences(), "") {
		_, resolveErr := r.Resolve(t.Context(), bad)
		_, _, fetchErr := r.FetchTag(t.Context(), bad)
		errs := map[string]error{"Resolve": resolveErr, "FetchTag": fetchErr, "Delete": r.Delete(t.Context(), bad)}
		if bad != "" {
			_, errs["PushManifest"] = r.PushManifest(t.Context(), d, image().Root.Bytes, bad)
		}
		for call, err := range errs {
			if !errors.Is(err, content.ErrInvalid) || !strings.Contains(err.Error(), host+"/a") {
				t.Errorf("%s of %q: got %v, want invalid, naming the repository", call, bad, err)
			}
		}
	}
	for _, bad := range []string{"team/..", "../x", "Upper", "/a", "a/", "a//b", "a:b", "a?b"} {
		if _, err := c.Target(t.Context(), reference.Reference{Transport: reference.Registry, Registry: host, Repository: bad}); !errors.Is(err, content.ErrInvalid) {
			t.Errorf("open %q: got %v, want invalid", bad, err)
		}
		if _, err := r.Mount(t.Context(), layer(10).Descriptor, bad); !errors.Is(err, content.ErrInvalid) || !errors.Is(err, content.ErrNotMounted) {
			t.Errorf("mount from %q: got %v, want invalid and not mounted", bad, err)
		}
	}
	if lines := seen.lines(); len(lines) > 0 {
		t.Errorf("requests: %q", lines)
	}
}

// An invalid media type does not become part of the Accept header.
func TestInvalidMediaType(t *testing.T) {
	host, seen := serve(t, manifestOf(image()))
	d := image().Descriptor()
	d.MediaType = "a\r\nX-Injected: 1"
	if _, err := target(t, newClient(t, Options{}), host, "a").FetchManifest(t.Context(), d); err != nil {
		t.Error(err)
	}
	for _, req := range seen.all("GET") {
		if req.Header.Get("X-Injected") != "" || strings.Contains(req.Header.Get("Accept"), "X-Injected") {
			t.Errorf("sent %v", req.Header)
		}
	}
}

func TestURLs(t *testing.T) {
	d := digest.FromString("x").String()
	h := newClient(t, Options{})
	for _, test := range []struct{ name, reference, want string }{
		{"library/nginx", "1.25", "https://r.example:5000/v2/library/nginx/manifests/1.25"},
		{"a.b/c__d/e--f", "v1.0_RC-1..x", "https://r.example:5000/v2/a.b/c__d/e--f/manifests/v1.0_RC-1..x"},
		{"a", d, "https://r.example:5000/v2/a/manifests/" + d},
		// Such names are refused before; the escaping does not rely on that.
		{"a", "x/y?z#%2e", "https://r.example:5000/v2/a/manifests/x%2Fy%3Fz%23%252e"},
		{"a b/c?d", "1", "https://r.example:5000/v2/a%20b/c%3Fd/manifests/1"},
	} {
		host, err := h.host("r.example:5000")
		if err != nil {
			t.Fatal(err)
		}
		r := &caller{host: host, name: test.name}
		u := r.manifestURL(test.reference)
		if got := u.String(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
		if want := "/v2/" + test.name + "/manifests/" + test.reference; u.Path != want {
			t.Errorf("got the path %s, want %s", u.Path, want)
		}
		list := r.url("tags/list", url.Values{"n": {"1000"}}).String()
		repository, _, _ := strings.Cut(test.want, "/manifests/")
		if want := repository + "/tags/list?n=1000"; list != want {
			t.Errorf("got %s, want %s", list, want)
		}
	}
}
