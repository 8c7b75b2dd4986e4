package registrytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// direct is a connection to the registry that passes by everything around it.
type direct struct{ core http.Handler }

var _ http.RoundTripper = direct{}

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody
	}
	d.core.ServeHTTP(recorder, r)
	answer := recorder.Result()
	answer.Request = r
	return answer, nil
}

func (s *Server) ask(method, path string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	req := httptest.NewRequest(method, path, nil)
	req.Header["Accept"] = content.ManifestMediaTypes()
	s.core.ServeHTTP(recorder, req)
	return recorder
}

// ManifestDigest is the digest of what a tag points at; empty if there is no such tag.
func (s *Server) ManifestDigest(repo, tag string) digest.Digest {
	return digest.Digest(s.ask(http.MethodHead, manifestPath(repo, tag)).Header().Get("Docker-Content-Digest"))
}

// Manifest is the bytes and the media type of a manifest, by tag or by digest; nil and
// empty if it is not there.
func (s *Server) Manifest(repo, reference string) (raw []byte, mediaType string) {
	answer := s.ask(http.MethodGet, manifestPath(repo, reference))
	if answer.Code != http.StatusOK {
		return nil, ""
	}
	return answer.Body.Bytes(), answer.Header().Get("Content-Type")
}

// HasBlob reports whether a repository has a blob.
func (s *Server) HasBlob(repo string, d digest.Digest) bool {
	return s.ask(http.MethodHead, blobPath(repo, d)).Code == http.StatusOK
}

// Blob is the bytes of a blob; nil if it is not there.
func (s *Server) Blob(repo string, d digest.Digest) []byte {
	answer := s.ask(http.MethodGet, blobPath(repo, d))
	if answer.Code != http.StatusOK {
		return nil
	}
	return answer.Body.Bytes()
}

// Tags are the tags of a repository, sorted; none if it is not there. It sees past
// [TagPages].
func (s *Server) Tags(repo string) (tags []string) {
	last := ""
	for {
		var page struct{ Tags []string }
		answer := s.ask(http.MethodGet, "/v2/"+repo+"/tags/list?last="+last)
		if answer.Code != http.StatusOK || json.Unmarshal(answer.Body.Bytes(), &page) != nil || len(page.Tags) == 0 {
			return tags
		}
		tags = append(tags, page.Tags...)
		last = page.Tags[len(page.Tags)-1]
	}
}

// DeleteManifest removes a tag, or a manifest given by digest with its tags.
func (s *Server) DeleteManifest(repo, reference string) { s.remove(manifestPath(repo, reference)) }

// DeleteBlob removes a blob, as a garbage collection might.
func (s *Server) DeleteBlob(repo string, d digest.Digest) { s.remove(blobPath(repo, d)) }

func (s *Server) remove(path string) {
	s.t.Helper()
	if answer := s.ask(http.MethodDelete, path); answer.Code != http.StatusAccepted {
		s.t.Fatalf("DELETE %s: %d %s", path, answer.Code, answer.Body)
	}
}

// Complete is nil if everything under a tag or digest is there and has the digest and size
// that it should have: what may never be wrong about a tag. Foreign layers may be missing.
func (s *Server) Complete(repo, reference string) error {
	raw, mediaType := s.Manifest(repo, reference)
	if raw == nil {
		return fmt.Errorf("no manifest %s/%s", repo, reference)
	}
	if want := digest.Digest(reference); want.Validate() == nil && want != digest.FromBytes(raw) {
		return fmt.Errorf("manifest %s has the digest %s", reference, digest.FromBytes(raw))
	}
	m, err := content.ParseManifest(content.NewDescriptor(mediaType, raw), raw)
	if err != nil {
		return err
	}
	var errs []error
	for _, child := range m.Manifests {
		errs = append(errs, s.Complete(repo, child.Digest.String()))
	}
	for _, blob := range m.Blobs() {
		if s.HasBlob(repo, blob.Digest) || !content.IsForeign(blob) {
			errs = append(errs, s.completeBlob(repo, blob))
		}
	}
	return errors.Join(errs...)
}

func (s *Server) completeBlob(repo string, d content.Descriptor) error {
	raw := s.Blob(repo, d.Digest)
	if raw == nil {
		return fmt.Errorf("no blob %s@%s", repo, d.Digest)
	}
	if int64(len(raw)) != d.Size || digest.FromBytes(raw) != d.Digest {
		return fmt.Errorf("blob %s@%s of %d bytes is %d others", repo, d.Digest, d.Size, len(raw))
	}
	return nil
}

// Repositories are those that ever had a tag.
func (s *Server) Repositories() []string {
	var list struct{ Repositories []string }
	if err := json.Unmarshal(s.ask(http.MethodGet, "/v2/_catalog").Body.Bytes(), &list); err != nil {
		s.t.Fatal(err)
	}
	return list.Repositories
}

// Sessions returns the paths of the open upload sessions.
func (s *Server) Sessions() []string {
	s.dialect.mu.Lock()
	opened := slices.Clone(s.dialect.opened)
	s.dialect.mu.Unlock()
	return slices.DeleteFunc(opened, func(path string) bool { return s.ask(http.MethodGet, path).Code != http.StatusNoContent })
}

// Reference is the name of an image here, as users write it: host/repo:tag or
// host/repo@digest.
func (s *Server) Reference(repo, reference string) string {
	separator := ":"
	if strings.Contains(reference, ":") {
		separator = "@"
	}
	return s.Host() + "/" + repo + separator + reference
}
