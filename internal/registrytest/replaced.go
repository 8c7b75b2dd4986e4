package registrytest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// replacement is what GET and HEAD of a path answer instead of the truth.
type replacement struct {
	mediaType string
	digest    string // what the header says
	open      func() io.ReadSeeker
}

// replacements are the contents that a registry serves in place of its own.
type replacements struct {
	next http.Handler

	mu     sync.Mutex
	byPath map[string]replacement
}

func (r *replacements) put(path string, with replacement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byPath == nil {
		r.byPath = map[string]replacement{}
	}
	r.byPath[path] = with
}

func (r *replacements) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	with, ok := r.byPath[req.URL.Path]
	r.mu.Unlock()
	if !ok || writes(req) {
		r.next.ServeHTTP(w, req)
		return
	}
	w.Header().Set("Content-Type", with.mediaType)
	w.Header().Set("Docker-Content-Digest", with.digest)
	http.ServeContent(w, req, "", time.Time{}, with.open())
}

// ReplaceManifest makes the registry answer raw to requests for a manifest by the given tag or digest
// and, in the case of a tag, by raw's own digest too. Nothing is checked: raw need not have
// the requested digest, nor be a manifest. Tag lists do not show it.
func (s *Server) ReplaceManifest(repo, reference, mediaType string, raw []byte) {
	claimed := digest.Digest(reference)
	if claimed.Validate() != nil {
		claimed = digest.FromBytes(raw)
	}
	with := replacement{mediaType, claimed.String(), reader(raw)}
	s.replaced.put(manifestPath(repo, reference), with)
	s.replaced.put(manifestPath(repo, claimed.String()), with)
}

// ReplaceListing answers raw to every GET of a listing, whatever the query is. The path is
// "/v2/team/app/tags/list" or "/v2/_catalog" with the media type application/json, or
// "/v2/team/app/referrers/sha256:…" with that of an index.
func (s *Server) ReplaceListing(path, mediaType string, raw []byte) {
	s.replaced.put(path, replacement{mediaType: mediaType, open: reader(raw)})
}

// BigManifest answers size bytes of JSON that begins as an index does, and never ends,
// under a tag and under the digest that the tag is said to have.
func (s *Server) BigManifest(repo, tag string, size int64) {
	claimed := digest.FromString("big " + strconv.FormatInt(size, 10))
	with := replacement{"application/vnd.oci.image.index.v1+json", claimed.String(), func() io.ReadSeeker {
		return io.NewSectionReader(endless(`{"schemaVersion":2,"manifests":[`), 0, size)
	}}
	s.replaced.put(manifestPath(repo, tag), with)
	s.replaced.put(manifestPath(repo, claimed.String()), with)
}

// ReplaceBlob makes the registry answer raw to requests for the blob, whatever raw's digest and size are.
func (s *Server) ReplaceBlob(repo string, d digest.Digest, raw []byte) {
	with := replacement{"application/octet-stream", d.String(), reader(raw)}
	s.replaced.put(blobPath(repo, d), with)
}

// CorruptBlob flips the last bit of a blob that is there, for all who read it.
func (s *Server) CorruptBlob(repo string, d digest.Digest) {
	s.t.Helper()
	raw := s.Blob(repo, d)
	if len(raw) == 0 {
		s.t.Fatalf("%s has no blob %s to corrupt", repo, d)
	}
	raw[len(raw)-1] ^= 1
	s.ReplaceBlob(repo, d, raw)
}

// Truth forgets what was replaced.
func (s *Server) Truth() {
	s.replaced.mu.Lock()
	defer s.replaced.mu.Unlock()
	s.replaced.byPath = nil
}

func manifestPath(repo, reference string) string {
	return fmt.Sprintf("/v2/%s/manifests/%s", repo, reference)
}

func blobPath(repo string, d digest.Digest) string { return fmt.Sprintf("/v2/%s/blobs/%s", repo, d) }

func reader(raw []byte) func() io.ReadSeeker {
	return func() io.ReadSeeker { return bytes.NewReader(raw) }
}

// endless is a beginning and spaces after it.
type endless string

func (e endless) ReadAt(p []byte, offset int64) (int, error) {
	n := 0
	if offset < int64(len(e)) {
		n = copy(p, e[offset:])
	}
	for i := n; i < len(p); i++ {
		p[i] = ' '
	}
	return len(p), nil
}
