package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

func TestDefaultBounds(t *testing.T) {
	l := defaultLimits()
	if l.pages != 10_000 || l.names != 1_000_000 || l.referrers != 1_000 {
		t.Errorf("got %d pages, %d names, %d referrers", l.pages, l.names, l.referrers)
	}
}

// endless answers every request for a listing with the same page and a new link.
func endless(page, mediaType string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n, _ := strconv.Atoi(req.URL.Query().Get("page"))
		next := fmt.Sprintf("http://%s%s?page=%d", req.Host, req.URL.Path, n+1)
		w.Header().Set("Link", "<"+next+`>; rel="next"`)
		w.Header().Set("Content-Type", mediaType)
		_, _ = fmt.Fprintf(w, page, strconv.Quote(next))
	})
}

// A server with empty pages and links that never repeat got 28,847 requests in three seconds,
// and the listing did not end.
func TestListingsAreBounded(t *testing.T) {
	const jsonType, d = "application/json", "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	entry := `{"mediaType":"` + ocispec.MediaTypeImageManifest + `","digest":"` + d + `","size":1}`
	large := strings.TrimSuffix(entry, "}") + `,"artifactType":"` + strings.Repeat("x", 1_500_000) + `"}`
	tags := func(c *Client, host string) error {
		_, _, err := listing(target(t, c, host, "team/app").Tags(t.Context()))
		return err
	}
	catalog := func(c *Client, host string) error {
		_, _, err := listing(c.Repositories(t.Context(), host, ""))
		return err
	}
	referrers := func(c *Client, host string) error {
		_, err := target(t, c, host, "team/app").Referrers(t.Context(), d)
		return err
	}
	hubTeam := func(c *Client, _ string) error {
		_, _, err := listing(c.Repositories(t.Context(), reference.DockerHub, "team/"))
		return err
	}
	hubPushed := func(c *Client, _ string) error {
		_, err := target(t, c, reference.DockerHub, "team/app").Pushed(t.Context())
		return err
	}
	for _, test := range []struct {
		name, page, mediaType string
		list                  func(c *Client, host string) error
		place                 string
		requests              int
	}{
		{"empty pages of tags", `{"tags":[]}%.0s`, jsonType, tags, "HOST/team/app", 20},
		{"pages without a list", `{}%.0s`, jsonType, tags, "HOST/team/app", 20},
		{"tags", `{"tags":["a","b","c"]}%.0s`, jsonType, tags, "HOST/team/app", 4},
		{"invalid tags", `{"tags":["","",""]}%.0s`, jsonType, tags, "HOST/team/app", 4},
		{"empty pages of repositories", `{"repositories":null}%.0s`, jsonType, catalog, "HOST", 20},
		{"repositories", `{"repositories":["a","b","c"]}%.0s`, jsonType, catalog, "HOST", 4},
		{"empty pages of referrers", `{"manifests":[]}%.0s`, ocispec.MediaTypeImageIndex, referrers, "HOST/team/app", 20},
		{"referrers", `{"manifests":[` + entry + "," + entry + `]}%.0s`, ocispec.MediaTypeImageIndex, referrers, "HOST/team/app", 3},
		{"large referrers", `{"manifests":[` + large + `]}%.0s`, ocispec.MediaTypeImageIndex, referrers, "HOST/team/app", 3},
		{"empty pages of Docker Hub", `{"results":[],"next":%s}`, jsonType, hubTeam, "docker.io/team", 20},
		{"repositories of Docker Hub", `{"results":[{"name":"a"},{"name":"b"}],"next":%s}`, jsonType, hubTeam, "docker.io/team", 6},
		{"empty pages of push times", `{"results":[],"next":%s}`, jsonType, hubPushed, "docker.io/team/app", 20},
		{"push times", `{"results":[{"name":"a"},{"name":"b"}],"next":%s}`, jsonType, hubPushed, "docker.io/team/app", 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			host, seen := serve(t, endless(test.page, test.mediaType))
			c := newClient(t, Options{HubAPI: "http://" + host})
			c.limits.pages, c.limits.names, c.limits.referrers = 20, 10, 5
			err := test.list(c, host)
			place := strings.Replace(test.place, "HOST", host, 1)
			if !errors.Is(err, content.ErrInvalid) || !strings.Contains(err.Error(), place) {
				t.Fatalf("got %v, want invalid, %s", err, place)
			}
			golden.Text(t, strings.ReplaceAll(err.Error(), host, "HOST"))
			if n := len(seen.lines()); n != test.requests {
				t.Errorf("%d requests, want %d: %q", n, test.requests, seen.lines())
			}
		})
	}
}
