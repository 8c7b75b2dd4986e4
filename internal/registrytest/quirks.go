package registrytest

import (
	"net/http"
	"net/http/httptest"
	"slices"

	"github.com/opencontainers/go-digest"
)

// quirks are what some registries do otherwise.
type quirks struct {
	settings settings
	storage  *storage
	core     http.Handler
	next     http.Handler
}

func (q *quirks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := parseRoute(r.URL.Path)
	if writes(r) && slices.ContainsFunc(q.settings.readOnly, func(p string) bool { return like(p, at.repo) }) {
		refuse(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
		return
	}
	switch at.kind {
	case kindUpload:
		if r.Method == http.MethodPost && q.refusesMount(r, at.repo) {
			r = withoutQuery(r, "mount", "from")
		}
		w = relocated(q.settings, q.storage, w)
	case kindBlob:
		if q.settings.redirectBlobs && !writes(r) && q.has(r) {
			w.Header().Set("Location", q.storage.sign(r.URL))
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		r, w = ranged(q.settings, r, w)
	}
	q.next.ServeHTTP(w, r)
}

func (q *quirks) refusesMount(r *http.Request, to string) bool {
	query := r.URL.Query()
	d := query.Get("mount")
	return q.settings.mount != nil && d != "" && !q.settings.mount(query.Get("from"), to, digest.Digest(d))
}

func (q *quirks) has(r *http.Request) bool {
	recorder := httptest.NewRecorder()
	head := r.Clone(r.Context())
	head.Method = http.MethodHead
	head.Header.Del("Range")
	q.core.ServeHTTP(recorder, head)
	return recorder.Code == http.StatusOK
}

// ranged forgets ranges where the registry has none.
func ranged(settings settings, r *http.Request, w http.ResponseWriter) (*http.Request, http.ResponseWriter) {
	if !settings.noRanges {
		return r, w
	}
	r = r.Clone(r.Context())
	r.Header.Del("Range")
	return r, &editedAnswer{ResponseWriter: w, edit: func(h http.Header) { h.Del("Accept-Ranges") }}
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
	edit func(http.Header)
	done bool
}

func (a *editedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *editedAnswer) WriteHeader(status int) {
	if !a.done {
		a.done = true
		a.edit(a.Header())
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *editedAnswer) Write(p []byte) (int, error) {
	if !a.done {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}
