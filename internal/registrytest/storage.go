package registrytest

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// storagePath is below what the second host serves the registry's paths.
const storagePath = "/storage"

// storage is the second host: an object store whose URLs are signed.
type storage struct {
	url  string // of the host
	next http.Handler

	mu        sync.Mutex
	signature int
}

// ExpireRedirects lets the second host refuse, with 403, all URLs that were handed out.
func (s *Server) ExpireRedirects() {
	s.storage.mu.Lock()
	defer s.storage.mu.Unlock()
	s.storage.signature++
}

func (s *storage) valid() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strconv.Itoa(s.signature)
}

// sign is the URL at the second host for a path and query of the registry.
func (s *storage) sign(at *url.URL) string {
	query := at.Query()
	query.Set("signature", s.valid())
	return s.url + storagePath + strings.TrimPrefix(at.Path, storagePath) + "?" + query.Encode()
}

func (s *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, storagePath)
	switch {
	case !ok:
		http.NotFound(w, r)
	case r.Header.Get("Authorization") != "":
		http.Error(w, "Only one auth mechanism allowed", http.StatusBadRequest)
	case r.URL.Query().Get("signature") != s.valid():
		http.Error(w, "Request has expired", http.StatusForbidden)
	default:
		r = withoutQuery(r, "signature")
		r.URL.Path = path
		s.next.ServeHTTP(w, r)
	}
}

// relocate serves the second host.
func relocate(settings settings, storage *storage) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, w = ranged(settings, r, w)
		storage.ServeHTTP(relocated(settings, storage, w), r)
	})
}

// relocated lets the Location of an upload point to the second host.
func relocated(settings settings, storage *storage, w http.ResponseWriter) http.ResponseWriter {
	if !settings.has(LocationElsewhere) {
		return w
	}
	return &editedAnswer{ResponseWriter: w, edit: func(_ int, h http.Header) {
		location, err := url.Parse(h.Get("Location"))
		if err == nil && parseRoute(location.Path).kind == kindUpload {
			h.Set("Location", storage.sign(location))
		}
	}}
}
