package registry

import (
	"net/http"
	"net/url"
	"sync"

	"github.com/opencontainers/go-digest"
)

// maxRedirects bounds the blobs whose redirects are known.
const maxRedirects = 256

// redirects are the URLs to which a registry has redirected requests for blobs, so that each range of a blob costs one
// request. Such a URL is usually signed, and valid for some minutes. The zero value is ready.
type redirects struct {
	mu   sync.Mutex
	urls map[redirectedBlob]*url.URL
}

// redirectedBlob is a blob in a repository.
type redirectedBlob struct {
	repository string
	digest     digest.Digest
}

// of returns the URL of a blob; nil if none is known.
func (r *redirects) of(blob redirectedBlob) *url.URL {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.urls[blob]
}

func (r *redirects) keep(blob redirectedBlob, at *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.urls == nil {
		r.urls = map[redirectedBlob]*url.URL{}
	}
	if len(r.urls) >= maxRedirects {
		for other := range r.urls {
			delete(r.urls, other)
			break
		}
	}
	r.urls[blob] = at
}

// forget forgets the URL of a blob, unless another one is known meanwhile.
func (r *redirects) forget(blob redirectedBlob, at *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.urls[blob] == at {
		delete(r.urls, blob)
	}
}

// expired reports whether a status means that a URL is no longer valid. The registry is then asked for a new one. Object
// stores also answer 400 to an expired token.
func expired(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return true
	}
	return false
}
