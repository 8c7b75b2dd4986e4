package registrytest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// quirks are what some registries do otherwise.
type quirks struct {
	settings settings
	pulls    *pulls
	storage  *storage
	sessions *sessions
	dialect  *dialect
	core     http.Handler
	next     http.Handler

	mu        sync.Mutex
	collected map[string]bool // paths of blobs that were mounted during garbage collection
}

func (q *quirks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := parseRoute(r.URL.Path)
	if q.settings.has(QuotaHeaders) && at.kind == kindManifest && !writes(r) && !q.pulls.admit(w, r) {
		return
	}
	deep := q.settings.has(TwoComponents) && strings.Count(at.repo, "/") > 1
	if writes(r) && (deep || slices.ContainsFunc(q.settings.readOnly, func(p string) bool { return like(p, at.repo) })) {
		refuse(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
		return
	}
	switch {
	case r.URL.Path == "/v2/_catalog" && q.settings.has(NoCatalog):
		http.NotFound(w, r)
	case at.kind == kindUpload:
		q.upload(relocated(q.settings, q.storage, w), r, at)
	case at.kind == kindBlob && !writes(r):
		q.readBlob(w, r)
	case at.kind == kindManifest:
		q.manifest(w, r, at)
	default:
		q.next.ServeHTTP(w, r)
	}
}

func (q *quirks) upload(w http.ResponseWriter, r *http.Request, at route) {
	if r.Method == http.MethodPost && r.URL.Query().Get("mount") != "" {
		var answered bool
		if r, answered = q.mount(w, r, at); answered {
			return
		}
	}
	if q.settings.has(InGC) {
		w = &editedAnswer{ResponseWriter: w, edit: func(status int, _ http.Header) { q.collect(r, at, status) }}
	}
	q.sessions.serve(w, r, at)
}

// collect records that a blob was mounted during garbage collection, or was uploaded after that.
func (q *quirks) collect(r *http.Request, at route, status int) {
	if status != http.StatusCreated {
		return
	}
	query := r.URL.Query()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.collected == nil {
		q.collected = map[string]bool{}
	}
	q.collected[blobPath(at.repo, digest.Digest(query.Get("mount")+query.Get("digest")))] = query.Get("mount") != ""
}

// inGC answers a request for blobs that are being garbage collected, and reports whether it did.
func (q *quirks) inGC(w http.ResponseWriter, paths ...string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.ContainsFunc(paths, func(path string) bool { return q.collected[path] }) {
		return false
	}
	refuse(w, http.StatusNotFound, "NOT_FOUND", "the asking blob is in GC, mark it as non existing")
	return true
}

// mount refuses or changes a mount.
func (q *quirks) mount(w http.ResponseWriter, r *http.Request, at route) (as *http.Request, answered bool) {
	query := r.URL.Query()
	d, from := digest.Digest(query.Get("mount")), query.Get("from")
	other, has := from != at.repo, q.settings.has
	switch {
	case other && has(Mount400):
		refuse(w, http.StatusBadRequest, "UNSUPPORTED", "cross-repository mount is not supported")
		return r, true
	case other && has(Mount401):
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "unauthorized to access repository "+from)
		return r, true
	case other && has(Mount404):
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return r, true
	case has(Mount202), !other && has(ProbeRefused), has(MountCommitted) && !q.dialect.isReferenced(from, d):
		return withoutQuery(r, "mount", "from"), false
	case has(MountAny):
		if holder := q.dialect.holder(r, d); holder != "" {
			r = withoutQuery(r, "from")
			r.URL.RawQuery += "&from=" + holder
		}
	}
	return r, false
}

func (q *quirks) readBlob(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead && q.inGC(w, r.URL.Path) {
		return
	}
	if q.settings.has(BlobRedirect) && q.has(r) {
		w.Header().Set("Location", q.storage.sign(r.URL))
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	r, w = ranged(q.settings, r, w)
	q.zipped(w, r)
}

func (q *quirks) has(r *http.Request) bool {
	head := r.Clone(r.Context())
	head.Method = http.MethodHead
	head.Header.Del("Range")
	return answerOf(q.core, head).Code == http.StatusOK
}

func (q *quirks) manifest(w http.ResponseWriter, r *http.Request, at route) {
	named := digest.Digest(at.name).Validate() != nil
	switch {
	case r.Method == http.MethodPut && q.settings.has(InGC):
		raw, err := io.ReadAll(r.Body)
		m, invalid := content.ParseManifest(content.Descriptor{MediaType: r.Header.Get("Content-Type"), Digest: digest.FromBytes(raw)}, raw)
		if err != nil || invalid == nil && q.inGC(w, blobPaths(at.repo, m)...) {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		q.next.ServeHTTP(w, r)
	case r.Method == http.MethodPut && named && q.settings.has(TagImmutable):
		raw, err := io.ReadAll(r.Body)
		if there := q.dialect.pointsAt(r, at.repo, at.name); err == nil && there != "" && there != digest.FromBytes(raw) {
			refuse(w, http.StatusBadRequest, "TAG_INVALID", "The requested tag already exists and cannot be overwritten.")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		q.next.ServeHTTP(w, r)
	case r.Method == http.MethodDelete && named && q.settings.has(TagDeleteRefused):
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
	case !writes(r):
		q.zipped(w, r)
		if named && q.settings.has(TagMoves) {
			q.dialect.moveTag(r, at)
		}
	default:
		q.next.ServeHTTP(w, r)
	}
}

func blobPaths(repo string, m *content.Manifest) (paths []string) {
	for _, blob := range m.Blobs() {
		paths = append(paths, blobPath(repo, blob.Digest))
	}
	return paths
}

// zipped compresses the body of a 200 answer, and omits the length of one without a body.
func (q *quirks) zipped(w http.ResponseWriter, r *http.Request) {
	if !q.settings.has(GzipUnasked) {
		q.next.ServeHTTP(w, r)
		return
	}
	answer := answerOf(q.next, r)
	if answer.Code == http.StatusOK {
		answer.Header().Set("Content-Encoding", "gzip")
		answer.Header().Del("Content-Length")
	}
	if answer.Code != http.StatusOK || r.Method == http.MethodHead {
		replay(w, answer)
		return
	}
	var body bytes.Buffer
	zip := gzip.NewWriter(&body)
	_, _ = zip.Write(answer.Body.Bytes())
	_ = zip.Close() // a buffer does not fail
	maps.Copy(w.Header(), answer.Header())
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	_, _ = w.Write(body.Bytes())
}

// answerOf returns a handler's answer.
func answerOf(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, r)
	return recorder
}

// ranged changes a range request to the one that the registry with its quirks answers.
func ranged(settings settings, r *http.Request, w http.ResponseWriter) (*http.Request, http.ResponseWriter) {
	asked := r.Header.Get("Range")
	var first, last int64
	_, err := fmt.Sscanf(asked, "bytes=%d-%d", &first, &last)
	switch {
	case settings.has(RangeIgnored):
		r = r.Clone(r.Context())
		r.Header.Del("Range")
		return r, &editedAnswer{ResponseWriter: w, edit: func(_ int, h http.Header) { h.Del("Accept-Ranges") }}
	case err != nil || first == 0 || !settings.has(RangeWrong) && !settings.has(RangeShifted):
		return r, w
	}
	r = r.Clone(r.Context())
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first-1, last-1))
	if !settings.has(RangeShifted) {
		return r, w
	}
	return r, &editedAnswer{ResponseWriter: w, edit: func(_ int, h http.Header) {
		_, size, _ := strings.Cut(h.Get("Content-Range"), "/")
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", first, last, size))
	}}
}

// withoutQuery is r without some parameters.
func withoutQuery(r *http.Request, keys ...string) *http.Request {
	r = r.Clone(r.Context())
	query := r.URL.Query()
	for _, key := range keys {
		query.Del(key)
	}
	r.URL.RawQuery = query.Encode()
	return r
}

// editedAnswer changes the header of an answer before it goes out.
type editedAnswer struct {
	http.ResponseWriter
	edit func(status int, header http.Header)
	done bool
}

func (a *editedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *editedAnswer) WriteHeader(status int) {
	if !a.done {
		a.done = true
		a.edit(status, a.Header())
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *editedAnswer) Write(p []byte) (int, error) {
	if !a.done {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}
