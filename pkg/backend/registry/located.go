package registry

import (
	"net/http"
	"net/url"
	"sync"

	"github.com/opencontainers/go-digest"
)

// maxLocated bounds the blobs whose redirects are known.
const maxLocated = 256

// located has the URLs that a registry has redirected requests for blobs to, so that each range of a blob costs one
// request. Such a URL is usually signed, and valid for some minutes. The zero value is ready.
type located struct {
	mu   sync.Mutex
	urls map[locatedBlob]*url.URL
}

// locatedBlob is a blob in a repository.
type locatedBlob struct {
	repository string
	digest     digest.Digest
}

// of returns the URL of a blob; nil if none is known.
func (l *located) of(blob locatedBlob) *url.URL {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.urls[blob]
}

func (l *located) keep(blob locatedBlob, at *url.URL) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.urls == nil {
		l.urls = map[locatedBlob]*url.URL{}
	}
	if len(l.urls) >= maxLocated {
		for other := range l.urls {
			delete(l.urls, other)
			break
		}
	}
	l.urls[blob] = at
}

func (l *located) forget(blob locatedBlob) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.urls, blob)
}

// expired reports whether an answer says that a URL is no longer valid. Then the registry is asked for another one.
func expired(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound || status == http.StatusGone
}
